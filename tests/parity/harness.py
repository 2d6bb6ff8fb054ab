"""What the parity tests share: PyTorch's counterpart of an operator, inputs, comparison."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail
from dovetail import dtypes as d
from dovetail.ops import FUNCTIONS
from dovetail.ops.schema import REGISTRY, OpDef, Sample

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

__all__ = [
    "ADAPTED",
    "DTYPES",
    "arguments_of",
    "compare",
    "cotangents",
    "counterparts",
    "operators",
    "outcome",
    "published",
    "samples",
    "to_ours",
    "to_torch",
    "torch_call",
]

DTYPES = (
    d.float64, d.float32, d.bfloat16, d.float16, d.int64, d.uint8, d.bool_, d.complex64,
)  # fmt: skip

# (rtol, atol), as tight as PyTorch's own suite
TOLERANCE = {
    "float64": (1e-7, 1e-9),
    "float32": (1.3e-6, 1e-5),
    "bfloat16": (1.6e-2, 1e-2),
    "float16": (1e-3, 2e-3),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-9),
}

# where a function may be published, besides the namespace itself
HOMES = [
    importlib.import_module(name)
    for name in ("dovetail.nn.functional", "dovetail.special", "dovetail.linalg")
    if importlib.util.find_spec(name)
]

# operators that PyTorch keeps under another name or in another place
ELSEWHERE: dict[str, str] = {
    "shift_left": "bitwise_left_shift",
    "shift_right": "bitwise_right_shift",
    "fft_c2c": "_fft_c2c",
    "fft_r2c": "_fft_r2c",
    "fft_c2r": "_fft_c2r",
}


def operators() -> list[OpDef]:
    """Every public record that has samples, by name."""
    return [
        op
        for name, op in sorted(REGISTRY.items())
        if op.samples is not None and op.function is not None and counterparts(op)
    ]


# How far PyTorch itself is off: it leaves out the leading 1 of denominators that Cephes has.
OFF_THERE = {
    "airy_ai": 2e-7, "bessel_j0": 8e-7, "bessel_j1": 8e-7, "bessel_y0": 8e-7, "bessel_y1": 8e-7,
}  # fmt: skip

# Operators whose arguments are dovetail's own; other tests compare them through what calls them.
OWN = {
    "index", "index_put",
    # records whose words and shapes nn.functional settles
    "affine_grid", "grid_sample", "local_response_norm",
    # records of rows, whose shapes and other norms nn.functional settles
    "cosine_embedding_loss", "multi_margin_loss", "multilabel_margin_loss", "pairwise_distance",
    "triplet_margin_loss",
}  # fmt: skip


def _bce_with_logits(
    x: Any, t: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> Any:
    return torch.nn.functional.binary_cross_entropy_with_logits(
        x, t, weight, pos_weight=pos_weight, reduction=reduction
    )


# Operators that take their tensors first, where PyTorch has other arguments between them.
ADAPTED: dict[str, Callable[..., Any]] = {
    "unfold": torch.Tensor.unfold,  # nn.functional.unfold is another operator
    "layer_norm": lambda x, w, b, normalized_shape, eps: torch.nn.functional.layer_norm(
        x, normalized_shape, w, b, eps
    ),
    "rms_norm": lambda x, w, normalized_shape, eps: torch.nn.functional.rms_norm(
        x, normalized_shape, w, eps
    ),
    "group_norm": lambda x, w, b, num_groups, eps: torch.nn.functional.group_norm(
        x, num_groups, w, b, eps
    ),
    "binary_cross_entropy_with_logits": _bce_with_logits,
    "poisson_nll_loss": torch.nn.functional.poisson_nll_loss,  # torch has another order
    "elu": lambda x, alpha=1.0, scale=1.0, input_scale=1.0: torch._C._nn.elu(
        x, alpha, scale, input_scale
    ),
}


def counterparts(op: OpDef) -> list[Callable[..., Any]]:
    """PyTorch's functions of the same name; they may differ in their arguments."""
    if op.name in OWN:
        return []
    if op.name in ADAPTED:
        return [ADAPTED[op.name]]
    name = ELSEWHERE.get(op.name, op.name)
    homes = (torch, torch.nn.functional, torch.special, torch.linalg, torch.Tensor)
    found = [getattr(home, name, None) for home in homes]
    return [f for f in found if callable(f)]


def published(op: OpDef) -> Callable[..., Any]:
    """What users call: with ``out=`` where the operator has it."""
    found = [FUNCTIONS.get(op.name), *(getattr(home, op.name, None) for home in HOMES)]
    if op.function is not None:
        home = sys.modules.get(op.function.__module__)
        found.append(getattr(home, op.name, None))
    function = next((f for f in found if callable(f)), op.function)
    return op.function if op.name in ADAPTED else function  # type: ignore[return-value]


def outcome(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What a call returns, or the exception it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*args, **kwargs)
        except Exception as error:
            return error


def torch_call(op: OpDef, sample: Any, arguments: Any) -> Any:
    """PyTorch's result, or the exception it raises."""
    kwargs = {
        k: getattr(torch, v.name) if isinstance(v, d.dtype) else to_torch(v)
        for k, v in sample.kwargs.items()
    }
    first: Any = None
    for function in counterparts(op):
        result = outcome(function, arguments, kwargs)
        if not isinstance(result, TypeError):
            return result
        first = first or result  # another function of the name may take these arguments
    return first


def samples(op: OpDef, dtype: d.dtype, seed: int = 0) -> list[Sample]:
    """The record's samples for a dtype."""
    assert op.samples is not None
    return op.samples(np.random.default_rng(seed), dtype)


def arguments_of(sample: Sample, device: Any) -> tuple[Any, dict[str, Any]]:
    """A sample as dovetail's arguments; the tensors are not contiguous."""
    return to_ours(sample.args, device), {k: to_ours(v, device) for k, v in sample.kwargs.items()}


def scattered(array: np.ndarray) -> np.ndarray:
    """The same values in memory with gaps, transposed where there are dims to transpose."""
    if not array.ndim or not array.size:
        return array
    wide = np.zeros((*array.shape[::-1][:-1], array.shape[0] * 2), array.dtype)
    view = wide[..., ::2].transpose()
    view[...] = array
    return view


def _map(value: Any, make: Callable[[np.ndarray], Any]) -> Any:
    if isinstance(value, np.ndarray):
        return make(value)
    if isinstance(value, list):
        return [_map(v, make) for v in value]
    if isinstance(value, tuple):
        return tuple(_map(v, make) for v in value)
    return value


def to_ours(value: Any, device: Any, requires_grad: bool = False, layout: bool = True) -> Any:
    """Arrays in ``value`` as dovetail tensors; not contiguous unless ``layout`` is False."""

    def make(array: np.ndarray) -> Any:
        kind = d.from_numpy_dtype(array.dtype)
        source = scattered(array) if layout else array
        strides = tuple(s // array.itemsize for s in source.strides)
        if array.size:
            x = dovetail.empty_strided(array.shape, strides, dtype=kind, device=device)
        else:
            x = dovetail.empty(array.shape, dtype=kind, device=device)
        x.copy_(dovetail.tensor(array, dtype=kind))
        return x.requires_grad_() if requires_grad and kind.category >= 2 else x

    return _map(value, make)


def torch_tensor(array: np.ndarray, layout: bool = True) -> Any:
    """A PyTorch tensor with the values of an array, bfloat16 included."""
    if d.from_numpy_dtype(array.dtype) is d.bfloat16:
        x = torch.from_numpy(np.array(array.astype(np.float32))).to(torch.bfloat16)
    else:
        x = torch.from_numpy(np.array(array))
    if not layout or not array.size:
        return x
    strides = tuple(s // array.itemsize for s in scattered(array).strides)
    return torch.empty_strided(array.shape, strides, dtype=x.dtype).copy_(x)


def to_torch(value: Any, requires_grad: bool = False, layout: bool = True) -> Any:
    """Arrays in ``value`` as PyTorch tensors, laid out as :func:`to_ours` does."""

    def make(array: np.ndarray) -> Any:
        x = torch_tensor(array, layout)
        floats = x.dtype.is_floating_point or x.dtype.is_complex
        return x.requires_grad_() if requires_grad and floats else x

    return _map(value, make)


def tensors_in(value: Any) -> list[Any]:
    """Every tensor (of either library) in nested arguments, in order."""
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in tensors_in(v)]
    return [value] if isinstance(value, (dovetail.Tensor, torch.Tensor)) else []


def as_numpy(x: Any) -> np.ndarray:
    """Values of a tensor of either library; bfloat16 as float32."""
    x = x.detach()
    if isinstance(x, dovetail.Tensor):
        x = x.cpu()
        return (x.float() if x.dtype is d.bfloat16 else x).numpy()
    x = x.float() if x.dtype is torch.bfloat16 else x
    return x.numpy(force=True)  # type: ignore[no-any-return]


def compare(
    ours: Any, theirs: Any, what: str, *, dtype: str = "", loosen: float = 1.0, off: float = 0.0
) -> None:
    """Same structure, dtype, shape and (within the dtype's tolerance) values.

    Args:
        off: how far ``theirs`` may be off by itself.

    Raises:
        AssertionError: they are not; its text begins with ``what``.
    """
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs), what
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            compare(a, b, f"{what}[{i}]", dtype=dtype, loosen=loosen, off=off)
        return
    if not isinstance(theirs, torch.Tensor):
        assert ours == theirs or (ours != ours and theirs != theirs), f"{what}: {ours} != {theirs}"
        return
    assert repr(ours.dtype) == repr(theirs.dtype), f"{what}: {ours.dtype} != {theirs.dtype}"
    assert tuple(ours.shape) == tuple(theirs.shape), f"{what}: {ours.shape} != {theirs.shape}"
    a, b = as_numpy(ours), as_numpy(theirs)
    name = dtype or ours.dtype.name
    if name in TOLERANCE and a.dtype.kind in "fc":
        rtol, atol = TOLERANCE[name]
        np.testing.assert_allclose(a, b, rtol * loosen, max(atol * loosen, off), err_msg=what)
    else:
        np.testing.assert_array_equal(a, b, err_msg=what)


def cotangents(outputs: list[Any], seed: int) -> list[np.ndarray]:
    """Random gradients for outputs of either library."""
    rng = np.random.default_rng(seed)
    made = []
    for o in outputs:
        v = rng.standard_normal(tuple(o.shape))
        if "complex" in str(o.dtype):
            v = v + 1j * rng.standard_normal(tuple(o.shape))
        made.append(np.asarray(v))
    return made
