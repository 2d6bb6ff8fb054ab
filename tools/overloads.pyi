# ruff: noqa
"""Signatures that one function's own cannot say: the result's type depends on an argument.

Read by ``signatures.py``, in the words of the stubs that these go into. Functions are those of
``dovetail``; a class in lower case is a namespace.
"""

# Reductions with and without a dim.

def max(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def max(
    input: Tensor, dim: _int, keepdim: _bool = False, *, out: tuple[Tensor, ...] | None = None
) -> return_types.max: ...
def max(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def min(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def min(
    input: Tensor, dim: _int, keepdim: _bool = False, *, out: tuple[Tensor, ...] | None = None
) -> return_types.min: ...
def min(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def median(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def median(
    input: Tensor, dim: _int, keepdim: _bool = False, *, out: tuple[Tensor, ...] | None = None
) -> return_types.median: ...
def nanmedian(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def nanmedian(
    input: Tensor, dim: _int, keepdim: _bool = False, *, out: tuple[Tensor, ...] | None = None
) -> return_types.nanmedian: ...
def std_mean(
    input: Tensor,
    dim: _int | Sequence[_int] | None = None,
    unbiased: _bool | None = None,
    keepdim: _bool = False,
    *,
    correction: _float | None = None,
    out: tuple[Tensor, ...] | None = None,
) -> tuple[Tensor, Tensor]: ...
def var_mean(
    input: Tensor,
    dim: _int | Sequence[_int] | None = None,
    unbiased: _bool | None = None,
    keepdim: _bool = False,
    *,
    correction: _float | None = None,
    out: tuple[Tensor, ...] | None = None,
) -> tuple[Tensor, Tensor]: ...

# Results of one tensor or of several.

def where(condition: Tensor) -> tuple[Tensor, ...]: ...
def where(
    condition: Tensor,
    input: Tensor | Number,
    other: Tensor | Number,
    *,
    out: Tensor | None = None,
) -> Tensor: ...
def nonzero(
    input: Tensor, *, out: Tensor | None = None, as_tuple: Literal[False] = False
) -> Tensor: ...
def nonzero(input: Tensor, *, as_tuple: Literal[True]) -> tuple[Tensor, ...]: ...
def atleast_1d(tensor: Tensor, /) -> Tensor: ...
def atleast_1d(tensors: Sequence[Tensor], /) -> tuple[Tensor, ...]: ...
def atleast_1d(first: Tensor, second: Tensor, /, *tensors: Tensor) -> tuple[Tensor, ...]: ...
def atleast_2d(tensor: Tensor, /) -> Tensor: ...
def atleast_2d(tensors: Sequence[Tensor], /) -> tuple[Tensor, ...]: ...
def atleast_2d(first: Tensor, second: Tensor, /, *tensors: Tensor) -> tuple[Tensor, ...]: ...
def atleast_3d(tensor: Tensor, /) -> Tensor: ...
def atleast_3d(tensors: Sequence[Tensor], /) -> tuple[Tensor, ...]: ...
def atleast_3d(first: Tensor, second: Tensor, /, *tensors: Tensor) -> tuple[Tensor, ...]: ...
def unique(
    input: Tensor,
    sorted: _bool = True,
    return_inverse: Literal[False] = False,
    return_counts: Literal[False] = False,
    dim: _int | None = None,
) -> Tensor: ...
def unique(
    input: Tensor,
    sorted: _bool = True,
    return_inverse: _bool = False,
    return_counts: _bool = False,
    dim: _int | None = None,
) -> tuple[Tensor, ...]: ...
def unique_consecutive(
    input: Tensor,
    return_inverse: Literal[False] = False,
    return_counts: Literal[False] = False,
    dim: _int | None = None,
) -> Tensor: ...
def unique_consecutive(
    input: Tensor,
    return_inverse: _bool = False,
    return_counts: _bool = False,
    dim: _int | None = None,
) -> tuple[Tensor, ...]: ...

# Operands and bounds in several forms.

def einsum(equation: str, *operands: Tensor | Sequence[Tensor]) -> Tensor: ...
def lerp(
    input: Tensor, end: Tensor, weight: Tensor | _float, *, out: Tensor | None = None
) -> Tensor: ...
def arange(
    end: Number,
    *,
    out: Tensor | None = None,
    dtype: _dtype | None = None,
    layout: _layout | None = None,
    device: DeviceLike | None = None,
    requires_grad: _bool = False,
    pin_memory: _bool = False,
) -> Tensor: ...
def arange(
    start: Number,
    end: Number,
    step: Number = 1,
    *,
    out: Tensor | None = None,
    dtype: _dtype | None = None,
    layout: _layout | None = None,
    device: DeviceLike | None = None,
    requires_grad: _bool = False,
    pin_memory: _bool = False,
) -> Tensor: ...
def randint(
    high: _int,
    size: Sequence[_int],
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: _dtype | None = None,
    layout: _layout | None = None,
    device: DeviceLike | None = None,
    requires_grad: _bool = False,
    pin_memory: _bool = False,
) -> Tensor: ...
def randint(
    low: _int,
    high: _int,
    size: Sequence[_int],
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: _dtype | None = None,
    layout: _layout | None = None,
    device: DeviceLike | None = None,
    requires_grad: _bool = False,
    pin_memory: _bool = False,
) -> Tensor: ...
def randint_like(
    input: Tensor,
    high: _int,
    *,
    generator: Generator | None = None,
    dtype: _dtype | None = None,
    layout: _layout | None = None,
    device: DeviceLike | None = None,
    requires_grad: _bool = False,
    pin_memory: _bool = False,
    memory_format: _memory_format = ...,
) -> Tensor: ...
def randint_like(
    input: Tensor,
    low: _int,
    high: _int,
    *,
    generator: Generator | None = None,
    dtype: _dtype | None = None,
    layout: _layout | None = None,
    device: DeviceLike | None = None,
    requires_grad: _bool = False,
    pin_memory: _bool = False,
    memory_format: _memory_format = ...,
) -> Tensor: ...
def normal(
    mean: Tensor | _float,
    std: Tensor | _float = 1.0,
    size: Sequence[_int] | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: _dtype | None = None,
    layout: _layout | None = None,
    device: DeviceLike | None = None,
    requires_grad: _bool = False,
    pin_memory: _bool = False,
) -> Tensor: ...
def full_like(
    input: Tensor,
    fill_value: Number,
    *,
    dtype: _dtype | None = None,
    layout: _layout | None = None,
    device: DeviceLike | None = None,
    requires_grad: _bool = False,
    pin_memory: _bool = False,
    memory_format: _memory_format = ...,
) -> Tensor: ...

class Tensor:
    def atleast_1d(self) -> Tensor: ...
    def atleast_2d(self) -> Tensor: ...
    def atleast_3d(self) -> Tensor: ...
    def to(
        self,
        dtype: _dtype,
        non_blocking: _bool = False,
        copy: _bool = False,
        *,
        memory_format: _memory_format | None = None,
    ) -> Tensor: ...
    def to(
        self,
        device: DeviceLike | None = None,
        dtype: _dtype | None = None,
        non_blocking: _bool = False,
        copy: _bool = False,
        *,
        memory_format: _memory_format | None = None,
    ) -> Tensor: ...
    def to(
        self,
        other: Tensor,
        non_blocking: _bool = False,
        copy: _bool = False,
        *,
        memory_format: _memory_format | None = None,
    ) -> Tensor: ...
    def view(self, dtype: _dtype) -> Tensor: ...
    def view(self, *shape: _int | Sequence[_int], size: Sequence[_int] | None = None) -> Tensor: ...
    def type(self, dtype: None = None, non_blocking: _bool = False) -> str: ...
    def type(self, dtype: _dtype | str, non_blocking: _bool = False) -> Tensor: ...
    def where(self, condition: Tensor, other: Tensor | Number) -> Tensor: ...
    def item(self) -> _int | _float | _bool: ...
    def tolist(self) -> Any: ...
    def repeat(self, *repeats: _int | Sequence[_int]) -> Tensor: ...
    def sum_to_size(self, *size: _int | Sequence[_int]) -> Tensor: ...
    def scatter_(
        self,
        dim: _int,
        index: Tensor,
        src: Tensor | Number | None = None,
        *,
        value: Number | None = None,
        reduce: Literal["add", "multiply"] | None = None,
    ) -> Tensor: ...
    def random_(self, *, generator: Generator | None = None) -> Tensor: ...
    def random_(self, to: _int, *, generator: Generator | None = None) -> Tensor: ...
    def random_(
        self, from_: _int, to: _int | None, /, *, generator: Generator | None = None
    ) -> Tensor: ...
    def uniform_(
        self, from_: _float = 0.0, to: _float = 1.0, /, *, generator: Generator | None = None
    ) -> Tensor: ...
    def new_tensor(
        self,
        data: Any,
        *,
        dtype: _dtype | None = None,
        device: DeviceLike | None = None,
        requires_grad: _bool = False,
    ) -> Tensor: ...
    def new_full(
        self,
        size: Sequence[_int],
        fill_value: Number,
        *,
        dtype: _dtype | None = None,
        device: DeviceLike | None = None,
        requires_grad: _bool = False,
    ) -> Tensor: ...
    def new_empty_strided(
        self,
        size: Sequence[_int],
        stride: Sequence[_int],
        *,
        dtype: _dtype | None = None,
        device: DeviceLike | None = None,
        requires_grad: _bool = False,
    ) -> Tensor: ...
    def new_empty(
        self,
        *size: _int | Sequence[_int],
        dtype: _dtype | None = None,
        device: DeviceLike | None = None,
        requires_grad: _bool = False,
    ) -> Tensor: ...
    def new_zeros(
        self,
        *size: _int | Sequence[_int],
        dtype: _dtype | None = None,
        device: DeviceLike | None = None,
        requires_grad: _bool = False,
    ) -> Tensor: ...
    def new_ones(
        self,
        *size: _int | Sequence[_int],
        dtype: _dtype | None = None,
        device: DeviceLike | None = None,
        requires_grad: _bool = False,
    ) -> Tensor: ...
    def index_put(
        self, indices: tuple[Tensor | None, ...], values: Tensor, accumulate: _bool = False
    ) -> Tensor: ...
    def index_put_(
        self, indices: tuple[Tensor | None, ...], values: Tensor, accumulate: _bool = False
    ) -> Tensor: ...
    def copy_(self, src: Tensor | Number, non_blocking: _bool = False) -> Tensor: ...
    def new(self, *args: Any) -> Tensor: ...
    def record_stream(self, stream: Any) -> None: ...
    def __getitem__(self, index: Any) -> Tensor: ...
    def __setitem__(self, index: Any, value: Tensor | Number | NDArray[Any]) -> None: ...
    def __complex__(self) -> _complex: ...
    def __float__(self) -> _float: ...
    def __int__(self) -> _int: ...
