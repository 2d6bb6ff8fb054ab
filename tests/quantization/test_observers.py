"""Observers beside PyTorch's: scale, zero point, state and text after the same data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quantized_pairs import drawn, numbers, torch_quiet

import dovetail as dt

torch = pytest.importorskip("torch")

BATCHES = [
    drawn(4, 5, 6, seed=i, spread=spread, shift=spread)
    for i, spread in enumerate((1.0, 3.0, 0.5, 2.0))
]
PER_TENSOR = ("MinMaxObserver", "MovingAverageMinMaxObserver", "HistogramObserver")
PER_CHANNEL = ("PerChannelMinMaxObserver", "MovingAveragePerChannelMinMaxObserver")


def made(lib: Any, kind: str, **options: Any) -> Any:
    known = {k: getattr(lib, v) if isinstance(v, str) else v for k, v in options.items()}
    return getattr(lib.ao.quantization, kind)(**known)


def same(kind: str, batches: list[np.ndarray] = BATCHES, **options: Any) -> None:
    with torch_quiet():
        theirs = made(torch, kind, **options)
        for x in batches:
            theirs(torch.from_numpy(x))
        wanted = theirs.calculate_qparams()
    ours = made(dt, kind, **options)
    for x in batches:
        assert ours(dt.from_numpy(x)).shape == x.shape
    for a, b in zip(wanted, ours.calculate_qparams(), strict=True):
        assert str(a.dtype) == str(b.dtype)
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-6)
    state = ours.state_dict()
    assert list(theirs.state_dict()) == list(state)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(numbers(value), numbers(state[key]), rtol=1e-5, atol=1e-3)
    assert repr(theirs) == repr(ours)
    again = made(dt, kind, **options)
    again.load_state_dict({k: dt.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    for a, b in zip(wanted, again.calculate_qparams(), strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-6)


@pytest.mark.parametrize("reduce_range", [False, True])
@pytest.mark.parametrize("qscheme", ["per_tensor_affine", "per_tensor_symmetric"])
@pytest.mark.parametrize("dtype", ["quint8", "qint8"])
@pytest.mark.parametrize("kind", PER_TENSOR)
def test_per_tensor(kind: str, dtype: str, qscheme: str, reduce_range: bool) -> None:
    if dtype == "quint8" and "symmetric" in qscheme and reduce_range and kind != PER_TENSOR[2]:
        for lib in (torch, dt):
            with torch_quiet(), pytest.raises(NotImplementedError, match="Cannot reduce range"):
                made(lib, kind, dtype=dtype, qscheme=qscheme, reduce_range=True)
        return
    same(kind, dtype=dtype, qscheme=qscheme, reduce_range=reduce_range)


@pytest.mark.parametrize("kind", PER_TENSOR)
def test_a_range_of_one_s_own(kind: str) -> None:
    same(kind, quant_min=0, quant_max=127)
    same(kind, quant_min=0, quant_max=127, qscheme="per_tensor_symmetric")
    same(kind, dtype="qint8", quant_min=-127, quant_max=127, eps=2**-12)


@pytest.mark.parametrize("ch_axis", [0, 1, 2])
@pytest.mark.parametrize(
    "qscheme",
    ["per_channel_affine", "per_channel_symmetric", "per_channel_affine_float_qparams"],
)
@pytest.mark.parametrize("kind", PER_CHANNEL)
def test_per_channel(kind: str, qscheme: str, ch_axis: int) -> None:
    for dtype in ("qint8", "quint8"):
        same(kind, dtype=dtype, qscheme=qscheme, ch_axis=ch_axis)


def test_histograms_of_ranges_that_grow() -> None:
    growing = [drawn(1000, seed=i, spread=s, shift=m) for i, (s, m) in enumerate(
        ((1.0, 0.0), (0.1, 5.0), (2.0, -9.0), (0.5, 0.0))
    )]  # fmt: skip
    same("HistogramObserver", growing)
    outlier = [np.append(drawn(5000), 400.0).astype(np.float32)]
    same("HistogramObserver", outlier)
    same("HistogramObserver", [np.full(7, 3.0, np.float32), drawn(100)])


def test_unseen_observers_warn_and_say_one_and_zero() -> None:
    for kind in (*PER_TENSOR, *PER_CHANNEL):
        with pytest.warns(UserWarning, match="must run observer before"):
            scale, zero_point = made(dt, kind).calculate_qparams()
        assert (scale.tolist(), zero_point.tolist()) == ([1.0], [0])


def test_infinities_are_left_out_of_histograms() -> None:
    observer = dt.ao.quantization.HistogramObserver()
    with pytest.warns(UserWarning, match="inf detected"):
        observer(dt.tensor([1.0, float("inf"), -2.0]))
    assert observer.max_val.item() == 1.0


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("MinMaxObserver", {"dtype": "float32"}, AssertionError),
        ("MinMaxObserver", {"qscheme": "per_channel_affine"}, NotImplementedError),
        ("PerChannelMinMaxObserver", {"qscheme": "per_tensor_affine"}, NotImplementedError),
        ("MinMaxObserver", {"quant_min": 3, "quant_max": 9}, AssertionError),
        ("MinMaxObserver", {"quant_min": 0, "quant_max": 0}, AssertionError),
        ("MinMaxObserver", {"dtype": "qint8", "quant_min": -500, "quant_max": 500}, AssertionError),
        ("HistogramObserver", {"is_dynamic": True}, NotImplementedError),
        ("MovingAverageMinMaxObserver", {"is_dynamic": True}, NotImplementedError),
    ],
)
def test_what_observers_refuse(kind: str, options: Any, error: type[Exception]) -> None:
    for lib in (torch, dt):
        with torch_quiet(), pytest.raises(error):
            made(lib, kind, **options)


@pytest.mark.parametrize(
    "kind", ["PlaceholderObserver", "NoopObserver", "RecordingObserver", "ReuseInputObserver"]
)
def test_observers_that_find_no_scale(kind: str) -> None:
    theirs, ours = made(torch, kind), made(dt, kind)
    x = dt.ones(2)
    assert ours(x) is x
    assert str(theirs.dtype) == str(ours.dtype)
    assert repr(theirs) == repr(ours)
    with pytest.raises(Exception, match="calculate_qparams should not be called"):
        ours.calculate_qparams()


def test_recorded_tensors_are_copies() -> None:
    observer = dt.ao.quantization.RecordingObserver()
    x = dt.ones(2)
    observer(x)
    x.zero_()
    assert [t.tolist() for t in observer.get_tensor_value()] == [[1.0, 1.0]]


def test_factories() -> None:
    calls: list[int] = []
    q = dt.ao.quantization
    factory = q.MinMaxObserver.with_args(quant_min=0, quant_max=15).with_args(dtype=dt.quint8)
    first, second = factory(), factory()
    assert first is not second
    assert (first.quant_min, first.quant_max) == (0, 15)
    counted = q.MinMaxObserver.with_callable_args(quant_max=lambda: calls.append(1) or 31)
    assert (counted(quant_min=0).quant_max, calls) == (31, [1])


@pytest.mark.parametrize("backend", ["x86", "fbgemm", "qnnpack", "onednn"])
def test_default_qconfigs_make_the_same_modules(backend: str) -> None:
    for name, versions in (("get_default_qconfig", (0,)), ("get_default_qat_qconfig", (0, 1))):
        for version in versions:
            with torch_quiet():
                theirs = getattr(torch.ao.quantization, name)(backend, version)
                wanted = (repr(theirs.activation()), repr(theirs.weight()))
            ours = getattr(dt.ao.quantization, name)(backend, version)
            assert (repr(ours.activation()), repr(ours.weight())) == wanted
            assert dt.ao.quantization.qconfig_equals(
                ours, getattr(dt.ao.quantization, name)(backend, version)
            )
    for lib in (torch, dt):
        with pytest.raises(AssertionError, match="not supported"):
            lib.ao.quantization.get_default_qconfig("tpu")


def test_a_qconfig_wants_factories() -> None:
    for lib in (torch, dt):
        q = lib.ao.quantization
        with pytest.raises(ValueError, match="observer instance"):
            q.QConfig(activation=q.MinMaxObserver(), weight=q.MinMaxObserver)
