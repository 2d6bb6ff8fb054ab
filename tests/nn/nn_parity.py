"""Running the same lines against PyTorch and dovetail, and comparing what came of them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail as dt

is_narrow = False
"""Whether the device has no float64: what PyTorch has in float64 is float32 there."""


def kind_of(tensor: Any) -> str:
    """The name of a dtype, as this test is to compare it."""
    name = str(tensor.dtype).split(".")[-1]
    return "float32" if is_narrow and name == "float64" else name


def outcome(run: Callable[[Any], Any], lib: Any) -> tuple[str, ...]:
    """What ``run(lib)`` gave, as text: its value, or the class and sentence of its error."""
    try:
        return ("value", plain(run(lib)))
    except Exception as error:
        name = type(error).__name__
        return (_Either(name) if name == "OutOfRangeError" else name, plain(error))


class _Either(str):
    """The class of an index out of range, where PyTorch raises the one or the other."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return other in ("IndexError", "RuntimeError") or str.__eq__(self, other)


def plain(value: Any) -> str:
    """A value's text without what tells the two libraries apart."""
    return re.sub(r"\b(torch|dovetail)(\.\w+)*\.(?=\w+\b)", "", str(value))


def same_outcome(run: Callable[[Any], Any]) -> None:
    """Assert that both libraries give the same value or the same error."""
    import torch

    assert outcome(run, dt) == outcome(run, torch)


def array(tensor: Any) -> np.ndarray:
    """The values of a tensor of either library."""
    return tensor.detach().cpu().numpy()


def given(tensor: Any, device: Any = "cpu", requires_grad: bool = False) -> Any:
    """A PyTorch tensor as a dovetail one."""
    made = dt.from_numpy(array(tensor).copy()).to(device)
    return made.requires_grad_(requires_grad)


def copy_state(source: Any, target: Any, device: Any = "cpu") -> None:
    """Load a PyTorch module's state into a dovetail module."""
    target.load_state_dict({k: given(v, device) for k, v in source.state_dict().items()})


def gradients(module: Any, inputs: list[Any], run: Callable[..., Any]) -> list[Any]:
    """The output of a module, its gradients for floating inputs, and those for its parameters."""
    result = run(module, *inputs)
    outputs = list(result) if isinstance(result, tuple) else [result]
    total = 0
    for i, output in enumerate(o for o in outputs if o.is_floating_point()):
        # A weighting that tells every element apart.
        weights = np.cos(np.arange(output.numel()) + i).reshape(tuple(output.shape))
        total = total + (output * like(weights, output)).sum()
    if total.requires_grad:
        total.backward()
    wanted = [x.grad for x in inputs if x.is_floating_point()]
    return outputs + wanted + [p.grad for p in module.parameters()]


def like(values: np.ndarray, tensor: Any) -> Any:
    """An array as a tensor of the library, dtype and device of another."""
    if isinstance(tensor, dt.Tensor):
        return dt.from_numpy(values).to(tensor.device, tensor.dtype)
    import torch

    return torch.from_numpy(values).to(tensor.dtype)


def assert_same(mine: list[Any], theirs: list[Any], tolerance: float) -> None:
    """Assert that two lists of tensors agree in shape, dtype and value."""
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert tuple(a.shape) == tuple(b.shape)
            assert kind_of(a) == kind_of(b)
            np.testing.assert_allclose(array(a), array(b), rtol=tolerance, atol=tolerance)


def quietly(run: Callable[[], Any]) -> Any:
    """``run()`` without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run()
