"""Dynamic quantization beside PyTorch's, and where it does more: convolutions, and no silence."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
from quantized_pairs import as_ours, as_theirs, drawn, numbers, pair, same_state, torch_quiet

import dovetail as dt

torch = pytest.importorskip("torch")
q = dt.ao.quantization


class CourseModule(dt.nn.Module):
    """The program that a course shows: a convolution alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = dt.nn.Conv2d(3, 64, kernel_size=3, stride=1)

    def forward(self, x: Any) -> Any:
        return self.conv(x)


def test_the_course_s_call_quantizes_the_convolution() -> None:
    """PyTorch gives the model back as it is, without a word."""
    model = CourseModule()
    made = dt.quantization.quantize_dynamic(
        model=model, qconfig_spec={dt.nn.Conv2d}, dtype=dt.qint8
    )
    assert type(made.conv) is dt.ao.nn.quantized.dynamic.Conv2d
    assert made.conv.weight().dtype is dt.qint8
    assert [layer.name for layer in q.quantization_report(made).quantized] == ["conv"]
    assert type(model.conv) is dt.nn.Conv2d
    x = dt.tensor(drawn(2, 3, 12, 12))
    wanted, found = numbers(model(x)), numbers(made(x))
    assert 0 < np.abs(wanted - found).max() < 0.03 * np.abs(wanted).max()

    with torch_quiet():
        theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3))
        silent = torch.quantization.quantize_dynamic(theirs, {torch.nn.Conv2d}, torch.qint8)
    assert type(silent[0]) is torch.nn.Conv2d


def test_the_files_are_smaller() -> None:
    def size(model: Any) -> int:
        file = io.BytesIO()
        dt.save(model.state_dict(), file)
        return len(file.getvalue())

    model = dt.nn.Sequential(dt.nn.Conv2d(16, 64, 3), dt.nn.Linear(256, 256))
    made = q.quantize_dynamic(model, {dt.nn.Conv2d, dt.nn.Linear})
    assert size(made) < 0.3 * size(model)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_convolutions(n: int, transposed: bool, batched: bool) -> None:
    """Against the float layer with the input and the weight rounded as they are."""
    kind = f"Conv{'Transpose' if transposed else ''}{n}d"
    layer = getattr(dt.nn, kind)(4, 6, 3, stride=2, padding=1, groups=2)
    made = q.quantize_dynamic(dt.nn.Sequential(layer), {type(layer)})[0]
    assert type(made).__name__ == kind
    assert type(made).__module__.endswith("quantized.dynamic.conv")
    shape = (2, 4, *(7, 6, 5)[:n]) if batched else (4, *(7, 6, 5)[:n])
    x = dt.tensor(drawn(*shape))
    rounded = dt.quantize_per_tensor_dynamic(x, dt.quint8, True).dequantize()
    layer.weight = dt.nn.Parameter(made.weight().dequantize())
    np.testing.assert_allclose(numbers(made(x)), numbers(layer(rounded)), rtol=1e-4, atol=1e-5)
    with pytest.raises((ValueError, RuntimeError)):
        made(dt.ones(3, 5, 2, 2, 2, 2))


@pytest.mark.parametrize("n", [1, 2])
def test_convolutions_beside_pytorch(n: int) -> None:
    """PyTorch has the layers, though ``quantize_dynamic`` does not use them.

    Theirs round the output to 7 bits too ("poor numerical accuracy", they warn); ours do not, and
    are nearer to the float layer.
    """
    theirs, ours = pair(
        lambda lib: lib.nn.Sequential(getattr(lib.nn, f"Conv{n}d")(3, 5, 3, padding=1))
    )
    x = drawn(2, 3, *(9, 8)[:n])
    exact = numbers(ours(dt.tensor(x)))
    with torch_quiet():
        theirs[0].qconfig = torch.ao.quantization.default_dynamic_qconfig
        a = getattr(torch.ao.nn.quantized.dynamic, f"Conv{n}d").from_float(theirs[0])
        wanted = numbers(a(torch.from_numpy(x)))
    b = q.quantize_dynamic(ours, {type(ours[0])})[0]
    for state in (b.state_dict(), as_ours(a.state_dict())):
        b.load_state_dict(state)
        found = numbers(b(dt.tensor(x)))
        assert np.abs(wanted - found).max() <= np.ptp(wanted) / 120
        assert np.abs(found - exact).mean() < np.abs(wanted - exact).mean()
    assert list(a.state_dict()) == list(b.state_dict())


@pytest.mark.parametrize("config", ["default_dynamic_qconfig", "per_channel_dynamic_qconfig"])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias: bool, config: str) -> None:
    theirs, ours = pair(
        lambda lib: lib.nn.Sequential(
            lib.nn.Linear(40, 8, bias=bias), lib.nn.ReLU(), lib.nn.Linear(8, 3)
        )
    )
    with torch_quiet():
        a = torch.ao.quantization.quantize_dynamic(
            theirs, {torch.nn.Linear: getattr(torch.ao.quantization, config)}
        )
    b = q.quantize_dynamic(ours, {dt.nn.Linear: getattr(q, config)})
    assert repr(a) == repr(b)
    same_state(a, b)
    for seed in range(5):
        x = drawn(6, 40, seed=seed, spread=1.0 + seed)
        np.testing.assert_allclose(
            numbers(a(torch.tensor(x))), numbers(b(dt.tensor(x))), rtol=1e-3, atol=1e-3
        )
    x = drawn(2, 6, 40)
    b.load_state_dict(as_ours(a.state_dict()))
    a.load_state_dict(as_theirs(b.state_dict()))
    np.testing.assert_allclose(
        numbers(a(torch.tensor(x))), numbers(b(dt.tensor(x))), rtol=1e-3, atol=1e-3
    )


def test_half_precision_weights() -> None:
    theirs, ours = pair(lambda lib: lib.nn.Sequential(lib.nn.Linear(20, 6)))
    with torch_quiet():
        a = torch.ao.quantization.quantize_dynamic(theirs, dtype=torch.float16)
    b = q.quantize_dynamic(ours, dtype=dt.float16)
    assert repr(a) == repr(b)
    x = drawn(4, 20)
    np.testing.assert_allclose(
        numbers(a(torch.tensor(x))), numbers(b(dt.tensor(x))), rtol=1e-5, atol=1e-5
    )
    same_state(a, b)
    b.load_state_dict(as_ours(a.state_dict()))
    assert b[0]._packed_params.dtype is dt.float16
    recurrent = q.quantize_dynamic(dt.nn.Sequential(dt.nn.LSTM(5, 6)), dtype=dt.float16)[0]
    assert recurrent._all_weight_values[0].weight_ih.dtype is dt.float16
    recurrent(dt.tensor(drawn(3, 2, 5)))


@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}]
)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_layers(kind: str, options: dict[str, Any]) -> None:
    theirs, ours = pair(lambda lib: lib.nn.Sequential(getattr(lib.nn, kind)(6, 5, **options)))
    with torch_quiet():
        a = torch.ao.quantization.quantize_dynamic(theirs, {getattr(torch.nn, kind)})[0]
    b = q.quantize_dynamic(ours, {getattr(dt.nn, kind)})[0]
    assert repr(a) == repr(b)
    x = drawn(4, 3, 6)
    with torch_quiet():
        wanted, last = a(torch.tensor(x))
    found, state = b(dt.tensor(x))
    np.testing.assert_allclose(numbers(wanted), numbers(found), atol=2e-3)
    pairs = zip(last, state, strict=True) if kind == "LSTM" else [(last, state)]
    for s, t in pairs:
        np.testing.assert_allclose(numbers(s), numbers(t), atol=2e-3)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells(kind: str) -> None:
    theirs, ours = pair(lambda lib: lib.nn.Sequential(getattr(lib.nn, kind)(6, 5)))
    with torch_quiet():
        a = torch.ao.quantization.quantize_dynamic(theirs, {getattr(torch.nn, kind)})[0]
    b = q.quantize_dynamic(ours, {getattr(dt.nn, kind)})[0]
    assert repr(a) == repr(b)
    x = drawn(4, 6)
    with torch_quiet():
        wanted = a(torch.tensor(x))
    found = b(dt.tensor(x))
    if kind == "LSTMCell":
        wanted, found = wanted[0], found[0]
    np.testing.assert_allclose(numbers(wanted), numbers(found), atol=2e-3)
    again = q.quantize_dynamic(
        dt.nn.Sequential(getattr(dt.nn, kind)(6, 5)), {getattr(dt.nn, kind)}
    )[0]
    again.load_state_dict(b.state_dict())
    repeat = again(dt.tensor(x))
    assert (numbers(repeat[0] if kind == "LSTMCell" else repeat) == numbers(found)).all()


def test_plain_recurrent_layers_and_packed_sequences() -> None:
    for nonlinearity in ("tanh", "relu"):
        layer = dt.nn.RNN(6, 5, nonlinearity=nonlinearity)
        made = q.quantize_dynamic(dt.nn.Sequential(layer), {dt.nn.RNN})[0]
        x = dt.tensor(drawn(4, 3, 6))
        assert (made(x)[0] - layer(x)[0]).abs().max().item() < 0.05
    layer = dt.nn.LSTM(6, 5, bidirectional=True)
    made = q.quantize_dynamic(dt.nn.Sequential(layer))[0]
    packed = dt.nn.utils.rnn.pack_padded_sequence(x, [4, 3, 1])
    assert (made(packed)[0].data - layer(packed)[0].data).abs().max().item() < 0.05
    again = dt.ao.nn.quantized.dynamic.LSTM(6, 5, bidirectional=True)
    again.load_state_dict(made.state_dict())
    assert (again(packed)[0].data == made(packed)[0].data).all()
    file = io.BytesIO()
    dt.save(made.state_dict(), file)
    file.seek(0)
    again.load_state_dict(dt.load(file))
    with pytest.raises(RuntimeError, match="Expected"):
        made(dt.ones(2, 2, 7))


def test_layers_that_stay_are_named() -> None:
    model = dt.nn.Sequential(
        dt.nn.LSTM(6, 5, proj_size=3),
        dt.nn.Bilinear(2, 2, 2),
        dt.nn.Linear(2, 2),
        dt.nn.Conv2d(1, 1, 1),
    )
    spec = {dt.nn.LSTM, dt.nn.Bilinear, "2", dt.nn.GRU, "head"}
    with pytest.warns(q.QuantizationWarning) as caught:
        made = q.quantize_dynamic(model, spec)
    text = str(caught[0].message)
    assert len(caught) == 1
    for part in (
        "0 (LSTM): projections (proj_size) are not quantized",
        "1 (Bilinear): there is no quantized Bilinear",
        "GRU (qconfig_spec): the model has nothing of it",
        "head (qconfig_spec): the model has nothing of it",
    ):
        assert part in text
    report = q.quantization_report(made)
    assert [layer.name for layer in report.quantized] == ["2"]
    assert ("3", "not asked for") in [(layer.name, layer.reason) for layer in report.skipped]
    assert "DynamicQuantizedLinear" in str(report)
    assert q.quantization_report(model) is None


def test_half_precision_convolutions_are_named() -> None:
    with pytest.warns(q.QuantizationWarning, match=r"0 \(Conv2d\).*not float16"):
        made = q.quantize_dynamic(
            dt.nn.Sequential(dt.nn.Conv2d(1, 1, 1)), {dt.nn.Conv2d}, dtype=dt.float16
        )
    assert type(made[0]) is dt.nn.Conv2d


def test_what_is_not_asked_for_does_not_warn() -> None:
    model = dt.nn.Sequential(dt.nn.Conv2d(1, 1, 1), dt.nn.Linear(1, 1))
    made = q.quantize_dynamic(model)
    assert type(made[0]) is dt.nn.Conv2d
    assert str(q.quantization_report(made)).splitlines()[0].endswith("stays: not asked for")


def test_in_place_and_wrong_dtypes() -> None:
    model = dt.nn.Sequential(dt.nn.Linear(4, 4))
    assert q.quantize_dynamic(model, inplace=True) is model
    assert model[0].weight().dtype is dt.qint8
    for lib in (torch, dt):
        with torch_quiet(), pytest.raises(ValueError, match="Provide full qconfig"):
            lib.ao.quantization.quantize_dynamic(lib.nn.Sequential(), dtype=lib.qint32)
        with torch_quiet(), pytest.raises(RuntimeError, match="Unknown dtype"):
            lib.ao.quantization.quantize_dynamic(
                lib.nn.Sequential(), {lib.nn.Linear}, dtype=lib.qint32
            )


def test_eight_bits_of_input_are_closer_than_seven() -> None:
    model = dt.nn.Sequential(dt.nn.Linear(200, 20))
    made = q.quantize_dynamic(model)
    x = dt.tensor(drawn(50, 200))
    seven = (made(x) - model(x)).square().mean().item()
    made[0].reduce_range = False
    assert (made(x) - model(x)).square().mean().item() < seven


def test_models_are_saved_whole_and_copied() -> None:
    model = dt.nn.Sequential(dt.nn.Linear(6, 8), dt.nn.LSTM(8, 4))
    made = q.quantize_dynamic(model)
    x = dt.tensor(drawn(5, 3, 6))
    wanted = numbers(made(x)[0])
    file = io.BytesIO()
    dt.save(made, file)
    file.seek(0)
    for twin in (dt.load(file, weights_only=False), copy.deepcopy(made)):
        assert (numbers(twin(x)[0]) == wanted).all()
    assert q.quantization_report(copy.deepcopy(made)) is not None


def test_inside_of_a_transformer() -> None:
    layer = dt.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    made = q.quantize_dynamic(layer)
    assert repr(made.linear1).startswith("DynamicQuantizedLinear")
    x = dt.tensor(drawn(2, 5, 16))
    assert 0 < (made(x) - layer(x)).abs().max().item() < 0.1
