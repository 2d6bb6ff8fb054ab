"""The same model in PyTorch and in dovetail, and what their quantized forms must have in common."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import dovetail as dt


@contextmanager
def torch_quiet() -> Iterator[None]:
    """PyTorch warns that its eager quantization will go, and of its own kernels' accuracy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def numbers(x: Any) -> np.ndarray:
    """A tensor's values, of a quantized one its numbers."""
    if x.is_quantized:
        x = x.dequantize()
    return np.asarray(x.detach().cpu().numpy())


def integers(x: Any) -> np.ndarray:
    """A quantized tensor's integers."""
    return np.asarray(x.int_repr().cpu().numpy())


def drawn(*shape: int, seed: int = 0, spread: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """Numbers that are the same for both."""
    values = np.random.default_rng(seed).normal(size=shape) * spread + shift
    return values.astype(np.float32)


def pair(build: Callable[[Any], Any]) -> tuple[Any, Any]:
    """``build(torch)`` and ``build(dovetail)`` with the same parameters and buffers."""
    import torch

    with torch_quiet():
        torch.manual_seed(3)
        theirs = build(torch)
    ours = build(dt)
    state = {k: dt.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    return theirs, ours


def calibrated(theirs: Any, ours: Any, batches: list[np.ndarray], qconfig: str) -> tuple[Any, Any]:
    """Both after ``prepare``, data and ``convert``."""
    import torch

    with torch_quiet():
        theirs.qconfig = _config(torch, qconfig)
        watched = torch.ao.quantization.prepare(theirs)
        for x in batches:
            watched(torch.from_numpy(x))
        made = torch.ao.quantization.convert(watched)
    ours.qconfig = _config(dt, qconfig)
    mine = dt.ao.quantization.prepare(ours)
    for x in batches:
        mine(dt.from_numpy(x))
    return made, dt.ao.quantization.convert(mine)


def _config(lib: Any, name: str) -> Any:
    found = getattr(lib.ao.quantization, name, None)
    if found is not None:
        return found
    return lib.ao.quantization.get_default_qconfig(name)


def within_a_step(theirs: Any, ours: Any, steps: float = 1.0) -> None:
    """Results that are at most so many of the coarser scale's steps apart, nearly all equal."""
    assert str(theirs.dtype) == str(ours.dtype)
    assert tuple(theirs.shape) == tuple(ours.shape)
    step = theirs.q_scale() if theirs.is_quantized else 0.0
    a, b = numbers(theirs), numbers(ours)
    assert np.abs(a - b).max(initial=0) <= steps * step * 1.01
    assert (np.abs(a - b) > 0.5 * step).mean() <= 0.05


def same_state(theirs: Any, ours: Any) -> None:
    """State dicts with the same keys, dtypes and nearly the same values."""
    a, b = theirs.state_dict(), ours.state_dict()
    assert list(a) == list(b)
    for key, value in a.items():
        same_value(key, value, b[key])


def same_value(key: str, a: Any, b: Any) -> None:
    """Two entries of state dicts."""
    if isinstance(a, tuple):
        assert isinstance(b, tuple)
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same_value(f"{key}[{i}]", x, y)
    elif a is None or not hasattr(a, "shape"):
        assert str(a) == str(b), key
    else:
        assert str(a.dtype) == str(b.dtype), key
        assert tuple(a.shape) == tuple(b.shape), key
        if a.is_quantized:
            assert str(a.qscheme()) == str(b.qscheme()), key
            assert np.abs(integers(a).astype(int) - integers(b)).max(initial=0) <= 1, key
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-4, atol=2e-2, err_msg=key)


def as_ours(state: Any) -> dict[str, Any]:
    """PyTorch's state dict as ours, by way of a file."""
    import io

    import torch

    file = io.BytesIO()
    with torch_quiet():
        torch.save(state, file)
    file.seek(0)
    return dt.load(file)  # type: ignore[return-value]


def as_theirs(state: Any) -> dict[str, Any]:
    """Our state dict as PyTorch's, by way of a file."""
    import io

    import torch

    file = io.BytesIO()
    dt.save(state, file)
    file.seek(0)
    with torch_quiet():
        return torch.load(file)  # type: ignore[no-any-return]
