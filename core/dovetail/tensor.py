"""Tensor: a view of a Storage, with the history that backward follows.

Only what makes a tensor a tensor is here. The operators attach themselves as methods when
``dovetail.ops`` is imported; conversions, printing and indexing live in files of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import AccumulateGrad, Node, OutputNode
from dovetail.autograd.hooks import add_hook
from dovetail.late_binding import BATCHED, DEVICES, TENSORS
from dovetail.storage import Storage
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail._tensor_methods import TensorMethods
    from dovetail.device import device as Device
    from dovetail.dtypes import dtype as DType
    from dovetail.spec import Size, Spec
else:
    TensorMethods = object

__all__ = ["Tensor", "check_dim", "is_tensor", "layout", "new_tensor", "storage_of", "strided"]

new = object.__new__


class layout:
    """How elements are kept: always strided here."""

    def __repr__(self) -> str:
        return "torch.strided"


strided = layout()
Layout = layout  # inside the class the name is a property's


class Tensor(TensorMethods):
    """An n-dimensional array on a device, with PyTorch's meaning.

    Made by the factory functions (:func:`dovetail.tensor`, ``zeros``, …) and by operators.
    """

    # _array is what the device's kernels take; None for a view until a kernel needs it.
    # _storage is None until a view, an in-place write or a saved output needs it; _offset (in
    # elements) has a meaning only with it. _node is None exactly when no gradient is required.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_array",
        "_base",
        "_node",
        "_offset",
        "_spec",
        "_storage",
    )

    _spec: Spec
    _array: Any
    _node: Any
    _storage: Storage | None
    _offset: int
    _base: Tensor | None

    _grad: Tensor | None = None
    _views: list[Any] | None = None
    _inference = False
    _is_parameter = False
    __array_priority__ = 1000

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Tensor:
            return TENSORS.construct(*args, **kwargs)
        return new(cls)

    # Facts.

    @property
    def shape(self) -> Size:
        """The size of each dim."""
        return self._spec.shape

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return self._spec.dtype

    @property
    def device(self) -> Device:
        """Where the elements are."""
        return self._spec.device

    @property
    def layout(self) -> Layout:
        """Always ``strided``."""
        return strided

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return self._spec.ndim

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._spec.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._spec.nbytes

    @overload
    def size(self) -> Size: ...
    @overload
    def size(self, dim: int) -> int: ...
    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dim."""
        if dim is None:
            return self._spec.shape
        return self._spec.shape[check_dim(dim, self._spec.ndim)]

    def dim(self) -> int:
        """The number of dims."""
        return self._spec.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self._spec.numel

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self._spec.dtype.itemsize

    @overload
    def stride(self) -> tuple[int, ...]: ...
    @overload
    def stride(self, dim: int) -> int: ...
    def stride(self, dim: int | None = None) -> Any:
        """The strides in elements, or that of one dim."""
        if dim is None:
            return self._spec.strides
        return self._spec.strides[check_dim(dim, self._spec.ndim)]

    def storage_offset(self) -> int:
        """Elements from the start of the storage to this tensor's first."""
        return 0 if self._storage is None else self._offset

    def data_ptr(self) -> int:
        """The address of the first element (a handle on devices without addresses)."""
        storage = storage_of(self)
        if not self._spec.numel or storage.buffer is None:
            return 0
        return storage.data_ptr() + self._offset * self._spec.dtype.itemsize

    @property
    def _version(self) -> int:
        return 0 if self._storage is None else self._storage.version

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point one."""
        return self._spec.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return self._spec.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has negative values."""
        return self._spec.dtype.is_signed

    @property
    def is_meta(self) -> bool:
        """Whether the tensor has no data."""
        return self._spec.device.type == "meta"

    @property
    def is_cpu(self) -> bool:
        """Whether the data is in host memory."""
        return self._spec.device.type == "cpu"

    # History.

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start or stop recording operations on this leaf.

        Raises:
            RuntimeError: not floating point, or not a leaf.
        """
        node = self._node
        if requires_grad:
            if self._spec.batch is not None:
                raise RuntimeError(
                    "You are attempting to call Tensor.requires_grad_() (or perhaps using "
                    "torch.autograd.functional.* APIs) inside of a function being transformed by "
                    "vmap. This is unsupported, please attempt to use the functions in torch.func "
                    "instead, or call requires_grad_() outside of a function being transformed."
                )
            if node is None:
                if self._spec.dtype.category < 2:
                    raise RuntimeError(
                        "only Tensors of floating point and complex dtype can require gradients "
                        f"(got {self._spec.dtype}; convert with .float() first)"
                    )
                if self._inference and not mode.inference:
                    raise RuntimeError(
                        "Setting requires_grad=True on inference tensor outside InferenceMode is "
                        "not allowed."
                    )
                self._node = AccumulateGrad(self)
        elif node is not None:
            if not node.accumulates:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use "
                    "a computed variable in a subgraph that doesn't require differentiation use "
                    "var_no_grad = var.detach()."
                )
            self._node = None
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self._node is None or self._node.accumulates

    @property
    def grad_fn(self) -> Any:
        """The node that made this tensor, or None for a leaf."""
        node = self._node
        if node is None or node.accumulates:
            return None
        return node.parent if type(node) is OutputNode else node

    @property
    def output_nr(self) -> int:
        """Which output of ``grad_fn`` this is."""
        return self._node.index if type(self._node) is OutputNode else 0

    @property
    def retains_grad(self) -> bool:
        """Whether ``retain_grad`` was called on this non-leaf."""
        return self._node is not None and self._node._retain is not None

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in ``grad``.

        Raises:
            RuntimeError: the tensor does not require grad.
        """
        import weakref

        if self._node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if not self._node.accumulates:
            self._node._retain = weakref.ref(self)
            self._node.is_special = True

    def register_hook(self, hook: Callable[[Any], Any]) -> Any:
        """Call ``hook(grad)`` when this tensor's gradient is known; a result replaces it.

        Raises:
            RuntimeError: the tensor does not require grad.
        """
        if self._node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        return add_hook(self._node, "_tensor_hooks", hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Any], None]) -> Any:
        """Call ``hook(leaf)`` each time a gradient was added to this leaf.

        Raises:
            RuntimeError: not a leaf that requires grad.
        """
        if self._node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if not self._node.accumulates:
            raise RuntimeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors"
            )
        return add_hook(self._node, "_post_hooks", hook)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add gradients to the leaves; see :func:`dovetail.autograd.backward`."""
        gradients = None if gradient is None else (gradient,)
        TENSORS.backward((self,), gradients, retain_graph, create_graph, inputs)

    def detach(self) -> Tensor:
        """The same memory without history."""
        if self._spec.batch is not None:
            return BATCHED.detached(self)
        storage_of(self)
        return self._alias()

    def detach_(self) -> Tensor:
        """Forget the history, in place.

        Raises:
            RuntimeError: this is a view.
        """
        if self._base is not None:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using "
                "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set "
                "as True, gradients are views of DDP buckets, and hence detach_() cannot be called "
                "on these gradients."
            )
        self._node = None
        if self._spec.batch is not None:
            self._array = self.detach()._array
        return self

    @property
    def data(self) -> Tensor:
        """The same memory, not recorded and not guarded by the version counter."""
        if self._spec.batch is not None:
            return self.detach()
        made = self._alias()
        made._storage = storage_of(self).shadow()
        return made

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._node is not None and value._spec.dtype.category < 2:
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point or complex "
                f"dtype, got {value._spec.dtype}"
            )
        # One version on, so that a graph which saved the old memory notices.
        self._storage = storage_of(value).shadow(self._version + 1)
        self._spec, self._array, self._offset = value._spec, value._array, value._offset

    def _is_view(self) -> bool:
        return self._base is not None

    def is_inference(self) -> bool:
        """Whether the tensor was made in inference mode."""
        return self._inference

    # Inside the package.

    def _alias(self) -> Tensor:
        """A second tensor over the same memory, without history."""
        made = new(Tensor)
        made._spec = self._spec
        made._array = self._array
        made._storage = storage_of(self)
        made._offset = self._offset
        made._node = None
        made._base = None
        return made

    def _materialize(self) -> Any:
        """The array of a view, made at its first use."""
        array = self._array
        if array is None:
            storage = self._storage
            if storage is None:
                return None  # meta
            array = self._array = storage.state.view(storage, self._spec, self._offset)
        return array

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        if not self._spec.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._spec.shape[0]

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward added up here, or None.

        Warns:
            UserWarning: there is none since this is not a leaf and nobody called ``retain_grad``.
        """
        if self._grad is None and not self.is_leaf and not self.retains_grad:
            warn(_NO_GRAD, UserWarning)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        if value is not None and getattr(value, "_spec", None) is not self._spec:
            _check_grad(self, value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def __dir__(self) -> list[str]:
        return sorted(set(object.__dir__(self)))


_NO_GRAD = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
    "attribute won't be populated during autograd.backward(). If you indeed want the .grad field "
    "to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If you "
    "access the non-leaf Tensor by mistake, make sure you access the leaf Tensor instead."
)


def _check_grad(tensor: Tensor, value: Any) -> None:
    """Refuse what is no gradient for ``tensor``, in PyTorch's words."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"assigned grad expected to be a Tensor or None but got grad of type {type(value)}"
        )
    want, have = tensor._spec, value._spec
    for what, a, b in (
        ("data of a different type", want.dtype, have.dtype),
        ("data located on a different device", want.device, have.device),
        ("data of a different size", want.shape, have.shape),
    ):
        if a != b:
            raise RuntimeError(f"assigned grad has {what}: expected {a}, got {b}")


def new_tensor(
    spec: Spec,
    array: Any,
    storage: Storage | None = None,
    offset: int = 0,
    node: Node | None = None,
) -> Tensor:
    """A Tensor over an array that already exists."""
    made = new(Tensor)
    made._spec = spec
    made._array = array
    made._storage = storage
    made._offset = offset
    made._node = node
    made._base = None
    return made


def storage_of(tensor: Tensor) -> Storage:
    """The Storage of a tensor, made from its array when there is none yet."""
    storage = tensor._storage
    if storage is None:
        state = DEVICES.state_of(tensor._spec.device)
        storage = tensor._storage = state.storage_from_array(tensor._array)
        tensor._offset = 0
        node = tensor._node
        if node is not None:
            node = getattr(node, "parent", node)
            if node.saved:
                node.adopt(tensor, storage)
    return storage


def check_dim(dim: int, ndim: int) -> int:
    """``dim`` counted from the front.

    Raises:
        IndexError: out of range, in PyTorch's words.
        TypeError: not an integer.
    """
    if dim.__class__ is not int:
        if isinstance(dim, bool) or not hasattr(dim, "__index__"):
            raise TypeError(f"argument 'dim' must be int, not {type(dim).__name__}")
        dim = dim.__index__()
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], "
            f"but got {dim})"
        )
    return dim + bound if dim < 0 else dim


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)
