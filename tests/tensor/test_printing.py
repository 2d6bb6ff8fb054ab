"""Printed tensors read as PyTorch prints them, letter for letter."""

from __future__ import annotations

import math
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest

import dovetail as dt
from dovetail import dtypes, printing
from dovetail.printing import format_array, get_printoptions, printoptions, set_printoptions


@pytest.fixture(autouse=True)
def _default_options() -> Iterator[None]:
    before = get_printoptions()
    set_printoptions(profile="default")
    yield
    set_printoptions(**before)


def shown(values: object, kind: dtypes.dtype, **options: object) -> str:
    return format_array(np.asarray(values, kind.numpy), dtype=kind, **options)


# Each text was printed by PyTorch 2.13.
GOLDEN = [
    (3.14159, "float32", "tensor(3.1416)"),
    (7, "int64", "tensor(7)"),
    (True, "bool_", "tensor(True)"),
    ([1.0, 2.0, -3.0], "float32", "tensor([ 1.,  2., -3.])"),
    ([1.0, math.inf, math.nan], "float32", "tensor([1., inf, nan])"),
    ([0.5, -math.inf, math.nan], "float32", "tensor([0.5000,   -inf,    nan])"),
    ([0.0, -0.0], "float32", "tensor([0., -0.])"),
    ([1e-8, 1.0], "float32", "tensor([1.0000e-08, 1.0000e+00])"),
    ([1e10, 1.0], "float32", "tensor([1.0000e+10, 1.0000e+00])"),
    ([1.0, 1000.5], "float32", "tensor([1.0000e+00, 1.0005e+03])"),
    ([[1, -20], [300, 4]], "int64", "tensor([[  1, -20],\n        [300,   4]])"),
    ([1, 2], "int32", "tensor([1, 2], dtype=torch.int32)"),
    ([255, 0], "uint8", "tensor([255,   0], dtype=torch.uint8)"),
    ([0.1], "float64", "tensor([0.1000], dtype=torch.float64)"),
    ([0.1], "float16", "tensor([0.1000], dtype=torch.float16)"),
    ([0.1, 1e30], "bfloat16", "tensor([1.0010e-01, 1.0003e+30], dtype=torch.bfloat16)"),
    ([True, False], "bool_", "tensor([ True, False])"),
    ([1 + 2j, 0.5 - 1j], "complex64", "tensor([1.0000+2.j, 0.5000-1.j])"),
    (3 - 1j, "complex128", "tensor(3.-1.j, dtype=torch.complex128)"),
    ([], "float32", "tensor([])"),
    ([], "int64", "tensor([], dtype=torch.int64)"),
    (np.zeros((0, 3)), "float32", "tensor([], size=(0, 3))"),
    (np.zeros((2, 0)), "float64", "tensor([], size=(2, 0), dtype=torch.float64)"),
    (np.arange(2000.0), "float32", "tensor([0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., "
     "1.9970e+03, 1.9980e+03,\n        1.9990e+03])"),
    (np.ones((1, 1, 1)), "float32", "tensor([[[1.]]])"),
    (np.zeros((2, 1, 2, 1)), "int64",
     "tensor([[[[0],\n          [0]]],\n\n\n        [[[0],\n          [0]]]])"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind", "text"), GOLDEN)
def test_golden_texts(values: object, kind: str, text: str) -> None:
    assert shown(values, getattr(dtypes, kind)) == text


def test_summary_keeps_the_edges_of_every_long_dim() -> None:
    with printoptions(threshold=10, edgeitems=1):
        assert shown(np.arange(20).reshape(4, 5), dtypes.int64) == (
            "tensor([[ 0,  ...,  4],\n        ...,\n        [15,  ..., 19]])"
        )
    with printoptions(threshold=10, edgeitems=0):
        assert shown(np.arange(20), dtypes.int64) == "tensor([...], size=(20,))"


def test_only_the_edges_may_be_given_with_the_whole_shape() -> None:
    whole = np.arange(6000).reshape(60, 100)
    edges = np.concatenate([whole[:3], whole[-3:]])
    edges = np.concatenate([edges[:, :3], edges[:, -3:]], 1)
    assert format_array(edges, dtype=dtypes.int64, shape=(60, 100)) == shown(whole, dtypes.int64)


def test_suffixes_come_in_order_and_wrap() -> None:
    text = shown([0.5], dtypes.float64, device="loop:0", history="grad_fn=<LogSoftmaxBackward0>")
    assert text == (
        "tensor([0.5000], device='loop:0', dtype=torch.float64,\n"
        "       grad_fn=<LogSoftmaxBackward0>)"
    )
    assert format_array(None, dtype=dtypes.int64, shape=(2, 3), device="meta") == (
        "tensor(..., device='meta', size=(2, 3), dtype=torch.int64)"
    )


def test_the_default_dtype_is_not_named() -> None:
    assert shown([0.5], dtypes.float64, default_dtype=dtypes.float64) == "tensor([0.5000])"
    assert shown([0.5], dtypes.float32, default_dtype=dtypes.float64) == (
        "tensor([0.5000], dtype=torch.float32)"
    )
    assert shown([1j], dtypes.complex128, default_dtype=dtypes.float64) == "tensor([0.+1.j])"


def test_options() -> None:
    set_printoptions(precision=2, linewidth=20)
    assert shown([1.234, 2.0, 3.0], dtypes.float32) == "tensor([1.23, 2.00,\n        3.00])"
    set_printoptions(sci_mode=True)
    assert shown([1.0], dtypes.float32) == "tensor([1.00e+00])"
    set_printoptions(profile="short")
    assert get_printoptions() == {
        "precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80, "sci_mode": None
    }  # fmt: skip
    with printoptions(profile="full"):
        assert printing.PRINT_OPTS.threshold == math.inf
    assert printing.PRINT_OPTS.threshold == 1000


# ---------------------------------------------------------------- parity


def _some_floats(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = rng.standard_normal(shape) * 10.0 ** rng.integers(-8, 12)
    kind = rng.integers(0, 6)
    if kind == 0:
        values = np.round(values)
    elif kind == 1:
        values = np.round(rng.standard_normal(shape) * 4)
    elif kind == 2:
        values = values * 10.0 ** rng.integers(-6, 6, shape)
    elif kind == 3:
        odd = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0], shape)
        values = np.where(rng.random(shape) < 0.5, odd, rng.standard_normal(shape))
    elif kind == 4:
        edge = rng.choice([-1e-5, 99999.99999, -0.99999999, 9999.99999, 0.1, 5e-324, 1e308])
        values = np.full(shape, edge)
    return values


def _random_values(rng: np.random.Generator, kind: dtypes.dtype) -> np.ndarray:
    shape = tuple(int(n) for n in rng.choice([0, 1, 2, 3, 4, 5, 7, 12, 30], rng.integers(0, 5)))
    if math.prod(shape) > 5000:
        shape = shape[:2]
    if kind is dtypes.bool_:
        return rng.random(shape) < rng.choice([0.0, 0.5, 1.0])
    if kind.category == 1:
        top = dtypes.iinfo(kind).max if rng.random() < 0.5 else 10
        return rng.integers(0 if kind is dtypes.uint8 else -9, top, shape).astype(kind.numpy)
    values = _some_floats(rng, shape)
    with np.errstate(all="ignore"):
        if kind.is_complex:
            values = values + 1j * _some_floats(rng, shape)
        return values.astype(kind.numpy)


def _random_options(rng: np.random.Generator) -> dict[str, object]:
    if rng.random() < 0.5:
        return {"profile": str(rng.choice(["default", "short", "full"]))}
    return {
        "precision": int(rng.integers(0, 8)),
        "threshold": float(rng.choice([0, 1, 5, 100, 1000, math.inf])),
        "edgeitems": int(rng.choice([0, 1, 2, 3, 4])),
        "linewidth": int(rng.choice([5, 20, 40, 80, 200])),
        "sci_mode": [None, True, False][rng.integers(3)],
    }


@pytest.mark.parametrize("kind", dtypes.ALL, ids=lambda d: d.name)
def test_random_arrays_print_as_pytorch_prints_them(kind: dtypes.dtype) -> None:
    torch = pytest.importorskip("torch", reason="parity extra not installed")
    rng = np.random.default_rng(kind.itemsize * 7 + kind.category)
    before = torch._tensor_str.get_printoptions()
    try:
        for _ in range(120):
            values = np.asarray(_random_values(rng, kind))
            options = _random_options(rng)
            for where in (torch.set_printoptions, set_printoptions):
                where(profile="default")
                where(**options)
            if kind is dtypes.bfloat16:
                theirs = torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
            else:
                theirs = torch.from_numpy(values)
            assert format_array(values, dtype=kind) == repr(theirs), (values, options)
    finally:
        torch.set_printoptions(**before)


# --------------------------------------------------------------- tensors


def test_tensors() -> None:
    x = dt.tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == str(x) == "tensor([1., 2.], requires_grad=True)"
    assert repr(x + 1) == "tensor([2., 3.], grad_fn=<AddBackward0>)"
    h = x * 1
    h[0] = 5
    assert repr(h) == "tensor([5., 2.], grad_fn=<CopySlices>)"
    assert repr(x[:1]) == "tensor([1.], grad_fn=<SliceBackward0>)"
    assert repr(dt.zeros(2, 3, device="meta")) == "tensor(..., device='meta', size=(2, 3))"
    assert repr(dt.tensor([0.5], dtype=dt.bfloat16)) == "tensor([0.5000], dtype=torch.bfloat16)"
    assert repr(dt.arange(6).reshape(2, 3).t()) == (
        "tensor([[0, 3],\n        [1, 4],\n        [2, 5]])"
    )


def test_parameters_and_subclasses() -> None:
    from dovetail.nn.parameter import Parameter

    class Mine(dt.Tensor):
        pass

    class Weight(Parameter):
        pass

    assert repr(Parameter(dt.ones(2))) == (
        "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    )
    assert repr(Weight(dt.ones(2))) == (
        "Parameter containing:\nParameter(Weight([1., 1.], requires_grad=True))"
    )
    mine = dt.ones(2)
    mine.__class__ = Mine
    assert repr(mine) == "Mine([1., 1.])"


def test_a_summary_fetches_only_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    x = dt.arange(40000).reshape(100, 400)
    expected = repr(x)
    fetched = []
    fetch = printing._on_host
    monkeypatch.setattr(printing, "_on_host", lambda t: fetched.append(t.numel()) or fetch(t))
    monkeypatch.setattr(printing, "_host_arrays", lambda tensor: False)
    assert repr(x) == expected
    assert sum(fetched) == 36


def test_a_device_other_than_the_cpu_is_named(device: dt.device) -> None:
    x = dt.arange(20000, device=device).reshape(100, 200)
    named = "" if device.type == "cpu" else f", device='{x.device}'"
    assert repr(x[0, :2]) == f"tensor([0, 1]{named})"
    assert repr(x) == repr(x.cpu())[:-1] + named + ")"


def test_bfloat16_is_exact_in_print() -> None:
    values = np.asarray([1 / 3], ml_dtypes.bfloat16)
    with printoptions(precision=10):
        assert format_array(values, dtype=dtypes.bfloat16) == (
            "tensor([0.3339843750], dtype=torch.bfloat16)"
        )
