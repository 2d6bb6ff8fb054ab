"""Calibrated models beside PyTorch's: outputs within a step, state dicts, text, fused layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from quantized_pairs import (
    as_ours,
    as_theirs,
    calibrated,
    drawn,
    integers,
    numbers,
    pair,
    same_state,
    torch_quiet,
    within_a_step,
)

import dovetail as dt

torch = pytest.importorskip("torch")

Build = Callable[[Any], Any]


def between(*layers: Callable[[Any], Any]) -> Build:
    """Layers between the two stubs."""

    def build(lib: Any) -> Any:
        q = lib.ao.quantization
        return lib.nn.Sequential(q.QuantStub(), *(make(lib) for make in layers), q.DeQuantStub())

    return build


# name -> (layers, shape of a batch, modules to fuse)
MODELS: dict[str, tuple[tuple[Callable[[Any], Any], ...], tuple[int, ...], list[list[str]]]] = {
    "linear": ((lambda lib: lib.nn.Linear(12, 5),), (4, 12), []),
    "linear without bias": ((lambda lib: lib.nn.Linear(12, 5, bias=False),), (2, 3, 12), []),
    "linear relu": (
        (lambda lib: lib.nn.Linear(12, 5), lambda lib: lib.nn.ReLU()), (4, 12), [["1", "2"]],
    ),
    "conv1d": ((lambda lib: lib.nn.Conv1d(3, 4, 3, padding=1),), (2, 3, 9), []),
    "conv2d": ((lambda lib: lib.nn.Conv2d(3, 6, 3, stride=2, padding=1),), (2, 3, 9, 8), []),
    "conv2d groups": (
        (lambda lib: lib.nn.Conv2d(4, 8, 3, groups=4, dilation=2),), (2, 4, 9, 8), [],
    ),
    "conv2d reflect": (
        (lambda lib: lib.nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),), (2, 3, 6, 7), [],
    ),
    "conv3d": ((lambda lib: lib.nn.Conv3d(2, 3, 2, bias=False),), (1, 2, 4, 5, 4), []),
    "conv bn relu": (
        (lambda lib: lib.nn.Conv2d(3, 6, 3), lambda lib: lib.nn.BatchNorm2d(6),
         lambda lib: lib.nn.ReLU()), (2, 3, 8, 8), [["1", "2", "3"]],
    ),
    "conv bn": (
        (lambda lib: lib.nn.Conv2d(3, 6, 3), lambda lib: lib.nn.BatchNorm2d(6)), (2, 3, 8, 8),
        [["1", "2"]],
    ),
    "bn relu": (
        (lambda lib: lib.nn.BatchNorm2d(3), lambda lib: lib.nn.ReLU()), (2, 3, 5, 5), [["1", "2"]],
    ),
    "batch norm": ((lambda lib: lib.nn.BatchNorm2d(3),), (2, 3, 5, 5), []),
    "layer norm": ((lambda lib: lib.nn.LayerNorm(12),), (4, 12), []),
    "group norm": ((lambda lib: lib.nn.GroupNorm(2, 4),), (2, 4, 5, 5), []),
    "instance norm": ((lambda lib: lib.nn.InstanceNorm2d(4, affine=True),), (2, 4, 5, 5), []),
    "relu": ((lambda lib: lib.nn.ReLU(),), (4, 12), []),
    "relu6": ((lambda lib: lib.nn.ReLU6(),), (4, 12), []),
    "hardswish": ((lambda lib: lib.nn.Hardswish(),), (4, 12), []),
    "elu": ((lambda lib: lib.nn.ELU(),), (4, 12), []),
    "leaky relu": ((lambda lib: lib.nn.LeakyReLU(0.2),), (4, 12), []),
    "sigmoid": ((lambda lib: lib.nn.Sigmoid(),), (4, 12), []),
    "max pool": ((lambda lib: lib.nn.MaxPool2d(2),), (2, 3, 6, 6), []),
    "avg pool": ((lambda lib: lib.nn.AdaptiveAvgPool2d(2),), (2, 3, 6, 6), []),
    "dropout": ((lambda lib: lib.nn.Dropout(),), (4, 12), []),
    "network": (
        (lambda lib: lib.nn.Conv2d(1, 6, 3), lambda lib: lib.nn.BatchNorm2d(6),
         lambda lib: lib.nn.ReLU(), lambda lib: lib.nn.MaxPool2d(2), lambda lib: lib.nn.Flatten(),
         lambda lib: lib.nn.Linear(54, 10)), (5, 1, 8, 8), [["1", "2", "3"]],
    ),
}  # fmt: skip


def both(name: str, qconfig: str) -> tuple[Any, Any, tuple[int, ...]]:
    layers, shape, fused = MODELS[name]
    theirs, ours = pair(between(*layers))
    for lib, model in ((torch, theirs), (dt, ours)):
        with torch_quiet():
            model.eval()
            for norm in model:  # statistics that are not 0 and 1
                if hasattr(norm, "running_mean") and norm.running_mean is not None:
                    norm.running_mean.copy_(lib.linspace(-0.5, 0.5, norm.num_features))
                    norm.running_var.copy_(lib.linspace(0.5, 2.0, norm.num_features))
    if fused:
        theirs = torch.ao.quantization.fuse_modules(theirs, fused)
        ours = dt.ao.quantization.fuse_modules(ours, fused)
    batches = [drawn(*shape, seed=i, spread=1.0 + i) for i in range(3)]
    return (*calibrated(theirs, ours, batches, qconfig), shape)


@pytest.mark.parametrize("qconfig", ["x86", "qnnpack", "default_qconfig"])
@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, qconfig: str) -> None:
    theirs, ours, shape = both(name, qconfig)
    same_state(theirs, ours)
    # The same scales exactly, so that what is compared is the arithmetic.
    ours.load_state_dict(as_ours(theirs.state_dict()))
    assert repr(theirs) == repr(ours)
    x = drawn(*shape, seed=9)
    with torch_quiet():
        a = theirs[:-1](torch.from_numpy(x))
    b = ours[:-1](dt.from_numpy(x))
    within_a_step(a, b)
    assert numbers(ours(dt.from_numpy(x))).shape == tuple(b.shape)


@pytest.mark.parametrize("name", ["network", "conv3d", "linear without bias", "layer norm"])
def test_state_dicts_both_ways(name: str) -> None:
    theirs, ours, shape = both(name, "x86")
    x = drawn(*shape, seed=9)
    theirs.load_state_dict(as_theirs(ours.state_dict()))
    with torch_quiet():
        within_a_step(theirs[:-1](torch.from_numpy(x)), ours[:-1](dt.from_numpy(x)))
    again = copy.deepcopy(ours)
    for module in again.modules():
        if hasattr(module, "zero_point") and isinstance(module.zero_point, int):
            module.zero_point, module.scale = 1, 99.0
    result = again.load_state_dict(ours.state_dict())
    assert not result.missing_keys
    assert not result.unexpected_keys
    assert (integers(again[:-1](dt.tensor(x))) == integers(ours[:-1](dt.tensor(x)))).all()


def test_what_a_state_dict_lacks_or_has_wrong_is_told() -> None:
    _, ours, _ = both("network", "x86")
    state = ours.state_dict()
    gone = ("1.weight", "6._packed_params._packed_params", "6.scale")
    lacking = {k: v for k, v in state.items() if k not in gone}
    with pytest.raises(RuntimeError, match=r"Missing key.*1\.weight.*6\.scale.*_packed_params"):
        ours.load_state_dict(lacking)
    wrong = dict(state)
    wrong["1.weight"] = both("conv2d", "qnnpack")[1].state_dict()["1.weight"]
    with pytest.raises(RuntimeError, match=r"size mismatch for 1\.weight"):
        ours.load_state_dict(wrong)


@pytest.mark.parametrize("name", ["same", "softmax", "sigmoid"])
def test_what_pytorch_does_not_have(name: str) -> None:
    """Padding by name, and softmax: beside the float model."""
    layer, shape = {
        "same": (dt.nn.Conv2d(3, 4, 2, padding="same"), (2, 3, 6, 7)),
        "softmax": (dt.nn.Softmax(1), (4, 12)),
        "sigmoid": (dt.nn.Sigmoid(), (4, 12)),
    }[name]
    q = dt.ao.quantization
    model = q.QuantWrapper(layer).eval()
    model.qconfig = q.get_default_qconfig("onednn")
    batches = [dt.tensor(drawn(*shape, seed=i)) for i in range(3)]
    made = q.quantize(model, lambda m: [m(x) for x in batches], ())
    for x in batches:
        wanted, found = numbers(model(x)), made(x)
        assert np.abs(wanted - numbers(found)).max() < 0.02 * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("n", [1, 2, 3])
def test_transposed_convolutions(n: int) -> None:
    """PyTorch's engine for these takes weights per tensor."""
    shape = (2, 4, *(5, 6, 4)[:n])
    options = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}
    theirs, ours = pair(
        between(lambda lib: getattr(lib.nn, f"ConvTranspose{n}d")(4, 6, 3, **options))
    )
    batches = [drawn(*shape, seed=i) for i in range(2)]
    engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = "qnnpack" if n < 3 else engine
    try:
        a, b = calibrated(theirs.eval(), ours.eval(), batches, "qnnpack")
        b.load_state_dict(as_ours(a.state_dict()))
        assert repr(a) == repr(b)
        x = drawn(*shape, seed=9)
        with torch_quiet():
            wanted = a[:-1](torch.from_numpy(x))
        within_a_step(wanted, b[:-1](dt.from_numpy(x)))
    finally:
        torch.backends.quantized.engine = engine


class Residual:
    """A sum, a product and a join of quantized tensors, in either library."""

    def __new__(cls, lib: Any) -> Any:
        class Model(lib.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                q = lib.ao.quantization
                self.quant, self.dequant = q.QuantStub(), q.DeQuantStub()
                self.linear = lib.nn.Linear(6, 6)
                for name in ("add", "mul", "cat", "relu"):
                    setattr(self, name, lib.ao.nn.quantized.FloatFunctional())

            def forward(self, x: Any) -> Any:
                x = self.quant(x)
                y = self.linear(x)
                total = self.add.add(x, y)
                total = self.cat.cat([total, self.mul.mul(x, y)], 1)
                total = self.relu.add_relu(total, total)
                total = self.relu.mul_scalar(self.relu.add_scalar(total, 0.7), 1.5)
                return self.dequant(total)

        return Model()


def test_functional_modules() -> None:
    theirs, ours = pair(Residual)
    batches = [drawn(4, 6, seed=i) for i in range(3)]
    a, b = calibrated(theirs.eval(), ours.eval(), batches, "x86")
    same_state(a, b)
    b.load_state_dict(as_ours(a.state_dict()))
    assert repr(a) == repr(b)
    x = drawn(4, 6, seed=9)
    with torch_quiet():
        wanted = numbers(a(torch.from_numpy(x)))
    step = a.relu.scale * 1.5
    assert np.abs(wanted - numbers(b(dt.from_numpy(x)))).max() <= 2 * step


@pytest.mark.parametrize("number", [-300.0, -3.0, -0.2, 0.0, 0.2, 3.0, 300.0])
@pytest.mark.parametrize("name", ["add_scalar", "mul_scalar"])
def test_sums_and_products_with_numbers(name: str, number: float) -> None:
    x = drawn(5, 7)
    made = []
    for lib in (torch, dt):
        q = lib.quantize_per_tensor(lib.tensor(x), 0.05, 60, lib.quint8)
        made.append(getattr(lib.ao.nn.quantized.QFunctional(), name)(q, number))
    a, b = made
    assert (a.q_zero_point(), pytest.approx(a.q_scale(), rel=1e-5)) == (
        b.q_zero_point(), b.q_scale(),
    )  # fmt: skip
    within_a_step(a, b)


def test_embeddings() -> None:
    for kind, call in (
        ("Embedding", lambda m, lib: m(lib.tensor([[0, 3], [9, 3]]))),
        ("EmbeddingBag", lambda m, lib: m(lib.tensor([0, 3, 9, 3]), lib.tensor([0, 1]))),
    ):
        options = {} if kind == "Embedding" else {"mode": "sum"}
        theirs, ours = pair(
            lambda lib, k=kind, o=options: lib.nn.Sequential(getattr(lib.nn, k)(10, 12, **o))
        )
        with torch_quiet():
            a = torch.ao.quantization.quantize_dynamic(theirs, dtype=torch.quint8)
        b = dt.ao.quantization.quantize_dynamic(ours, dtype=dt.quint8)
        assert repr(a) == repr(b)
        same_state(a, b)
        np.testing.assert_allclose(numbers(call(a[0], torch)), numbers(call(b[0], dt)), atol=1e-5)
        b.load_state_dict(as_ours(a.state_dict()))
        np.testing.assert_allclose(numbers(call(a[0], torch)), numbers(call(b[0], dt)), atol=1e-5)


def test_functions() -> None:
    x, w = drawn(2, 3, 6, 6), drawn(4, 3, 3, 3, seed=1)
    names = {
        "conv2d": lambda f, q, k, lib: f.conv2d(q, k, None, scale=0.1, zero_point=60),
        "max_pool2d": lambda f, q, k, lib: f.max_pool2d(q, 2),
        "avg_pool2d": lambda f, q, k, lib: f.avg_pool2d(q, 2),
        "adaptive_avg_pool2d": lambda f, q, k, lib: f.adaptive_avg_pool2d(q, 2),
        "interpolate": lambda f, q, k, lib: f.interpolate(q, scale_factor=2, mode="nearest"),
        "hardtanh": lambda f, q, k, lib: f.hardtanh(q, -0.5, 0.5),
        "clamp": lambda f, q, k, lib: f.clamp(q, -0.5, 0.5),
        "leaky_relu": lambda f, q, k, lib: f.leaky_relu(q, 0.2),
        "elu": lambda f, q, k, lib: f.elu(q, 0.05, 30),
        "hardswish": lambda f, q, k, lib: f.hardswish(q, 0.05, 30),
        "hardsigmoid": lambda f, q, k, lib: f.hardsigmoid(q),
    }
    for name, call in names.items():
        made = []
        for lib in (torch, dt):
            q = lib.quantize_per_tensor(lib.tensor(x), 0.05, 60, lib.quint8)
            k = lib.quantize_per_tensor(lib.tensor(w), 0.05, 0, lib.qint8)
            with torch_quiet():
                made.append(call(lib.ao.nn.quantized.functional, q, k, lib))
        within_a_step(*made)
        if name not in ("conv2d", "clamp", "hardsigmoid"):
            with pytest.raises(ValueError, match="must be quantized"):
                call(dt.ao.nn.quantized.functional, dt.tensor(x), None, dt)


def test_layers_without_a_quantized_form_are_named() -> None:
    q = dt.ao.quantization
    model = dt.nn.Sequential(
        q.QuantStub(),
        dt.nn.Linear(4, 4),
        q.DeQuantStub(),
        dt.nn.Bilinear(4, 4, 2),
        dt.nn.Linear(4, 2),
    )
    model.qconfig = q.default_qconfig
    model[4].qconfig = None
    watched = q.prepare(model)
    watched[1](dt.ones(2, 4))
    with (
        pytest.warns(q.QuantizationWarning, match=r"3 \(Bilinear\): there is no quantized"),
        pytest.warns(UserWarning, match="must run observer"),
    ):
        made = q.convert(watched)
    report = q.quantization_report(made)
    assert [layer.name for layer in report.quantized] == ["1"]
    assert [(x.name, x.reason) for x in report.skipped] == [
        ("3", "there is no quantized Bilinear"), ("4", "not asked for"),
    ]  # fmt: skip


def test_hooks_of_a_layer_stay() -> None:
    q = dt.ao.quantization
    seen: list[str] = []
    model = dt.nn.Sequential(q.QuantStub(), dt.nn.Linear(4, 4), q.DeQuantStub())
    model[1].register_forward_hook(lambda m, i, o: seen.append(type(m).__module__) or None)
    model.qconfig = q.default_qconfig
    watched = q.prepare(model)
    watched(dt.ones(2, 4))
    q.convert(watched)(dt.ones(2, 4))
    assert [name.rpartition(".")[2] for name in seen] == ["linear", "linear"]
    assert "quantized" in seen[1]


def test_floats_for_a_quantized_layer_are_refused_as_by_pytorch() -> None:
    """A QuantStub was forgotten, the mistake that is made most."""
    calls = (
        lambda lib: lib.ao.nn.quantized.Linear(3, 2)(lib.zeros(1, 3)),
        lambda lib: lib.ao.nn.quantized.Conv2d(3, 2, 1)(lib.zeros(1, 3, 4, 4)),
        lambda lib: lib.ao.nn.quantized.QFunctional().add(lib.zeros(2), lib.zeros(2)),
        lambda lib: lib.ao.nn.quantized.QFunctional().mul_scalar(lib.zeros(2), 2.0),
    )
    for call in calls:
        with torch_quiet(), pytest.raises(NotImplementedError):
            call(torch)
        with pytest.raises(NotImplementedError, match=r"quantized tensor, got one of .*QuantStub"):
            call(dt)


def test_quantize_does_it_all() -> None:
    q = dt.ao.quantization
    model = q.QuantWrapper(dt.nn.Linear(4, 4))
    model.qconfig = q.get_default_qconfig()
    data = [(dt.tensor(drawn(3, 4, seed=i)), 0) for i in range(3)]
    made = q.quantize(model, q.default_eval_fn, [data])
    assert repr(made.module).startswith("QuantizedLinear")
    x = dt.tensor(drawn(3, 4))
    assert (made(x) - model.module(x)).abs().max().item() < 0.1
    wrapped = q.add_quant_dequant(model.module)
    assert type(wrapped) is dt.nn.Linear  # no qconfig of its own
    model.module.qconfig = model.qconfig
    assert isinstance(q.add_quant_dequant(dt.nn.Sequential(model.module))[0], q.QuantWrapper)


def test_prepare_without_a_qconfig_warns() -> None:
    with pytest.warns(UserWarning, match="None of the submodule got qconfig"):
        dt.ao.quantization.prepare(dt.nn.Sequential(dt.nn.Linear(2, 2)))


def test_observer_state_dicts() -> None:
    q = dt.ao.quantization
    model = q.QuantWrapper(dt.nn.Linear(4, 4))
    model.qconfig = q.default_qconfig
    watched, other = q.prepare(model), q.prepare(model)
    watched(dt.ones(2, 4))
    state = q.get_observer_state_dict(watched)
    assert state
    assert all("activation_post_process" in key for key in state)
    q.load_observer_state_dict(other, state)
    assert q.get_observer_state_dict(other).keys() == state.keys()
    assert other.quant.activation_post_process.max_val.item() == 1.0


def test_fusing_beside_pytorch() -> None:
    def build(lib: Any) -> Any:
        n = lib.nn
        return n.Sequential(
            n.Conv1d(2, 3, 3), n.BatchNorm1d(3), n.ReLU(), n.Conv1d(3, 3, 1), n.ReLU(), n.Flatten(),
            n.Linear(18, 4), n.BatchNorm1d(4), n.Linear(4, 2), n.ReLU(),
        )  # fmt: skip

    names = [["0", "1", "2"], ["3", "4"], ["6", "7"], ["8", "9"]]
    theirs, ours = pair(build)
    x = drawn(2, 2, 8)
    a = torch.ao.quantization.fuse_modules(theirs.eval(), names)
    b = dt.ao.quantization.fuse_modules(ours.eval(), names)
    assert repr(a) == repr(b)
    np.testing.assert_allclose(numbers(a(torch.tensor(x))), numbers(b(dt.tensor(x))), atol=1e-6)
    a = torch.ao.quantization.fuse_modules_qat(theirs.train(), names)
    b = dt.ao.quantization.fuse_modules_qat(ours.train(), names)
    assert repr(a) == repr(b)
    mixed = build(dt).eval()
    mixed[1].train()
    with pytest.raises(AssertionError, match="same mode"):
        dt.ao.quantization.fuse_modules(mixed, ["0", "1"])
    for lib in (torch, dt):
        with pytest.raises((AssertionError, NotImplementedError)):
            lib.ao.quantization.fuse_modules(build(lib).eval(), ["0", "3"])
