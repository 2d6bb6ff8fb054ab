"""Layers in fixed point: which numbers their products read, and how a model gets them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from fixed_point_reference import Operand, fixed, smallest_point

import dovetail as dt
from dovetail import nn
from dovetail.fixed_point import Adjustment, prepare, report, restore

LAYERS = {
    "linear": (lambda lib: lib.nn.Linear(6, 4), (5, 6)),
    "linear_nd": (lambda lib: lib.nn.Linear(6, 4, bias=False), (2, 3, 6)),
    "conv1d": (lambda lib: lib.nn.Conv1d(4, 6, 3, stride=2, padding=1), (3, 4, 9)),
    "conv2d": (lambda lib: lib.nn.Conv2d(4, 6, (3, 2), padding=1, dilation=2, groups=2),
               (2, 4, 8, 7)),
    "conv2d_unbatched": (lambda lib: lib.nn.Conv2d(3, 4, 3, padding="same"), (3, 6, 6)),
    "conv2d_circular": (
        lambda lib: lib.nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 2, 5, 5)),
    "conv3d": (lambda lib: lib.nn.Conv3d(2, 3, 2, bias=False), (2, 2, 4, 3, 5)),
}  # fmt: skip


def numbers(shape: Any, seed: int, heavy: bool = False) -> np.ndarray:
    """Normal; or small beside one that is large, which int8 would lose."""
    rng = np.random.default_rng(seed)
    if not heavy:
        return rng.normal(size=shape).astype(np.float32)
    x = rng.uniform(0.2, 0.45, size=shape) * rng.choice([-1, 1], size=shape)
    x.flat[seed] = 127
    return x.astype(np.float32)


def by_the_rule(x: np.ndarray) -> np.ndarray:
    """What a quantizer that has just begun makes of ``x``."""
    return Operand().see(x)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("heavy", [False, True], ids=["int8", "wider"])
def test_products_read_quantized_operands(name: str, heavy: bool, device: dt.device) -> None:
    """Forward and both gradients as PyTorch's in float64, from operands that NumPy quantized."""
    torch = pytest.importorskip("torch")
    make, shape = LAYERS[name]
    layer = prepare(make(dt)).to(device)
    with dt.no_grad():
        layer.weight.copy_(dt.tensor(numbers(layer.weight.shape, 3, heavy)))
    x = numbers(shape, 1, heavy)
    input = dt.tensor(x, device=device, requires_grad=True)
    y = layer(input)
    g = numbers(tuple(y.shape), 2, heavy)
    y.backward(dt.tensor(g, device=device))

    theirs = make(torch).double()
    state = {k: v for k, v in layer.state_dict().items() if "quantizer" not in k}
    weight = by_the_rule(state["weight"].cpu().numpy())
    theirs.load_state_dict({k: torch.tensor(v.cpu().numpy()) for k, v in state.items()})
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(weight))
    their_input = torch.tensor(by_the_rule(x), requires_grad=True)
    their_y = theirs(their_input)
    their_y.backward(torch.tensor(by_the_rule(g)))

    pairs = {
        "y": (y.detach(), their_y.detach()),
        "input": (input.grad, their_input.grad),
        "weight": (layer.weight.grad, theirs.weight.grad),
    }
    if layer.bias is not None:
        pairs["bias"] = (layer.bias.grad, theirs.bias.grad)
    for what, (mine, expected) in pairs.items():
        scale = float(expected.abs().max())
        np.testing.assert_allclose(
            mine.cpu().numpy(), expected.numpy(), rtol=0, atol=2e-6 * scale, err_msg=what
        )
    quantizers = (layer.activation_quantizer, layer.weight_quantizer, layer.gradient_quantizer)
    assert [q.bits for q in quantizers] == [16 if heavy else 8] * 3


def test_int8_products_are_what_integers_give(device: dt.device) -> None:
    """No rounding of float32 shows in sums of up to 1,024 products of two int8."""
    layer = prepare(nn.Linear(1024, 3, bias=False)).to(device)
    x = numbers((4, 1024), 3)
    y = layer(dt.tensor(x, device=device)).detach().cpu().numpy()
    w = layer.weight.detach().cpu().numpy()
    points = [smallest_point(v, 8) for v in (x, w)]
    integers = [
        (fixed(v, s, 8) / np.exp2(s)).astype(np.int64) for v, s in zip((x, w), points, strict=True)
    ]
    assert all(np.abs(i).max() >= 64 for i in integers)
    np.testing.assert_array_equal(y, (integers[0] @ integers[1].T) * np.exp2(sum(points)))


def test_the_bias_is_added_as_it_is() -> None:
    layer = prepare(nn.Linear(2, 1))
    with dt.no_grad():
        layer.weight.fill_(0)
        layer.bias.fill_(0.123456)
    assert layer(dt.ones(1, 2)).item() == pytest.approx(0.123456, rel=1e-7)


def test_one_step_by_hand() -> None:
    """y = ŵ x̂, dx = ŵ dŷ, dw = x̂ dŷ, on numbers that can be followed."""
    layer = prepare(nn.Linear(2, 1, bias=False))
    with dt.no_grad():
        layer.weight.copy_(dt.tensor([[1.0, 0.3]]))
    x = dt.tensor([[127.0, 0.6]], requires_grad=True)
    y = layer(x)
    # x: step 1, so 0.6 -> 1, Diff = log2(0.4 / 127.6 + 1) = 0.005. w: step 1/64, 0.3 -> 19/64.
    assert y.item() == 127 + 19 / 64
    y.backward(dt.tensor([[0.7]]))
    # dy: step 1/128 (0.7 · 128 = 89.6), so 90/128.
    assert x.grad.tolist() == [[90 / 128, 90 / 128 * 19 / 64]]
    assert layer.weight.grad.tolist() == [[127 * 90 / 128, 90 / 128]]


def test_a_layer_used_twice_takes_two_steps() -> None:
    layer = prepare(nn.Linear(3, 3))
    layer(layer(dt.ones(1, 3))).sum().backward()
    (only,) = report(layer).layers
    assert (only.activation.steps, only.weight.steps, only.gradient.steps) == (2, 2, 2)


def test_frozen_and_unneeded_gradients() -> None:
    model = prepare(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)))
    model[0].requires_grad_(False)
    model(dt.ones(1, 3)).sum().backward()
    assert model[0].weight.grad is None
    assert model[1].weight.grad is not None
    first, second = report(model).layers
    assert (first.gradient.steps, second.gradient.steps) == (0, 1)
    with dt.no_grad():
        assert not model(dt.ones(1, 3)).requires_grad


def test_autocast_stays_outside(device: dt.device) -> None:
    dt.manual_seed(0)
    layer = prepare(nn.Linear(8, 4)).to(device)
    x = dt.randn(3, 8, device=device)
    expected = layer(x)
    with dt.autocast(device.type, dtype=dt.bfloat16):
        found = layer(x)
        lower = layer(x.to(dt.bfloat16))
        assert (x @ x.t()).dtype is dt.bfloat16  # on again after the layer
    assert found.dtype is lower.dtype is dt.float32
    assert found.tolist() == expected.tolist()


def test_dtypes() -> None:
    double = prepare(nn.Linear(3, 2).double())
    assert double(dt.ones(1, 3, dtype=dt.float64)).dtype is dt.float64
    with pytest.raises(TypeError, match="quantize: x must be float32 or float64, got"):
        prepare(nn.Linear(3, 2).half())(dt.ones(1, 3, dtype=dt.float16))


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Sequential(nn.Flatten(), nn.Linear(16, 5)),
        nn.Linear(5, 2),
    )


def test_prepare_leaves_the_model_alone() -> None:
    model = network()
    before = repr(model)
    made = prepare(model)
    assert repr(model) == before
    kinds = [type(m) for m in made.modules() if hasattr(m, "weight_quantizer")]
    fixed_point = dt.fixed_point
    assert kinds == [fixed_point.Conv2d, fixed_point.Linear, fixed_point.Linear]
    assert isinstance(made[0], nn.Conv2d)
    assert isinstance(made[4], nn.Linear)
    for name, parameter in made.named_parameters():
        original = dict(model.named_parameters())[name]
        assert parameter is not original
        assert parameter.tolist() == original.tolist()


def test_prepare_in_place_keeps_objects() -> None:
    model = network().eval()
    parameters, first = list(model.parameters()), model[0]
    calls = []
    first.register_forward_hook(lambda *_: calls.append(1))
    assert prepare(model, inplace=True) is model
    assert model[0] is first
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert not any(m.training for m in model.modules())
    model(dt.ones(1, 1, 4, 4))
    assert calls == [1]
    assert restore(model, inplace=True) is model
    assert type(model[0]) is nn.Conv2d
    assert list(model.state_dict()) == list(network().state_dict())


def test_rules_and_exclusions() -> None:
    model = prepare(
        network(), activation=Adjustment(bits=16), gradient=Adjustment(max_bits=8), exclude=["3.1"]
    )
    assert type(model[3][1]) is nn.Linear
    assert model[0].activation_quantizer.bits == 16
    assert model[4].weight_quantizer.adjustment == Adjustment()
    assert model[4].gradient_quantizer.adjustment.max_bits == 8
    with pytest.raises(ValueError, match=r"prepare: exclude must name layers of Linear, .*'1'"):
        prepare(network(), exclude=["1"])
    with pytest.raises(ValueError, match="prepare: the model must have a layer of Linear"):
        prepare(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="found none"):
        prepare(prepare(nn.Linear(2, 2)))


def test_layers_of_another_formula_are_left() -> None:
    attention = nn.MultiheadAttention(4, 2)
    model = nn.Sequential(nn.Linear(4, 4), attention, nn.ConvTranspose1d(4, 2, 3))
    made = prepare(model)
    assert type(made[1].out_proj) is type(attention.out_proj)
    assert type(made[2]) is nn.ConvTranspose1d


def test_restore() -> None:
    model = network()
    made = prepare(model)
    back = restore(made)
    assert hasattr(made[0], "weight_quantizer")
    assert repr(back) == repr(model)
    x = dt.randn(2, 1, 4, 4)
    assert back.eval()(x).tolist() == model.eval()(x).tolist()


def test_checkpoints_of_the_plain_model_both_ways() -> None:
    plain, made = network(), prepare(network())
    keys = made.load_state_dict(plain.state_dict(), strict=False)
    assert keys.unexpected_keys == []
    assert len(keys.missing_keys) == 9
    assert all(k.endswith("_quantizer._extra_state") for k in keys.missing_keys)
    assert made[0].weight.tolist() == plain[0].weight.tolist()
    with pytest.raises(RuntimeError, match=r"activation_quantizer\._extra_state"):
        made.load_state_dict(plain.state_dict())
    assert plain.load_state_dict(made.state_dict(), strict=False).missing_keys == []


def test_copies_are_apart() -> None:
    made = prepare(nn.Linear(2, 2))
    made(dt.ones(1, 2))
    other = copy.deepcopy(made)
    other(dt.ones(1, 2))
    assert (made.activation_quantizer.step, other.activation_quantizer.step) == (1, 2)


def test_pruning_and_weight_norm_on_top() -> None:
    layer = prepare(nn.Linear(4, 2))
    nn.utils.prune.l1_unstructured(layer, "weight", 0.5)
    nn.utils.parametrizations.weight_norm(other := prepare(nn.Linear(4, 2)))
    for made in (layer, other):
        made(dt.ones(1, 4)).sum().backward()
        assert made.weight_quantizer.step == 1
        assert all(p.grad is not None for p in made.parameters())
