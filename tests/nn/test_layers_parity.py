"""Every layer prints, names its state and computes as PyTorch's does, gradients included."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt
import dovetail.nn

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

from nn_parity import (  # noqa: E402
    array,
    assert_same,
    copy_state,
    given,
    gradients,
    outcome,
    quietly,
    same_outcome,
)

# layer -> (constructor arguments, shape of the input) …; a shape may be a list of shapes, or None
# where the values are random
CASES = {
    "Identity": [("54, unused=1", (2, 3))],
    "Linear": [("4, 3", (2, 4)), ("4, 3, bias=False", (2, 5, 4)), ("4, 3", (4,)), ("4, 0", (2, 4))],
    "Bilinear": [("3, 4, 2", [(5, 3), (5, 4)]), ("3, 4, 2, False", [(2, 5, 3), (2, 5, 4)])],
    "Flatten": [("", (2, 3, 4)), ("0, 1", (2, 3, 4)), ("start_dim=-2", (2, 3, 4))],
    "Unflatten": [("1, (2, 3)", (4, 6)), ("-1, [3, 2]", (4, 6))],
    "Conv1d": [
        ("4, 6, 3", (2, 4, 9)),
        ("4, 6, 3, stride=2, padding=1, dilation=2, groups=2", (2, 4, 9)),
        ("4, 6, 4, padding='same', bias=False", (2, 4, 9)),
        ("4, 6, 3, padding='valid'", (4, 9)),
        ("2, 2, 3, padding=2, padding_mode='circular'", (2, 2, 6)),
        ("2, 2, 3, padding='same', padding_mode='replicate', dilation=2", (2, 2, 6)),
    ],
    "Conv2d": [
        ("3, 4, 3", (2, 3, 7, 6)),
        ("3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)", (2, 3, 7, 6)),
        ("4, 8, 3, groups=4, bias=False", (2, 4, 7, 6)),
        ("3, 4, 2, padding='same'", (3, 7, 6)),
        ("3, 4, 1, stride=2", (2, 3, 7, 6)),
        ("3, 4, 3, padding=1, padding_mode='reflect'", (2, 3, 7, 6)),
        ("3, 4, 3, padding=(2, 1), padding_mode='circular'", (2, 3, 7, 6)),
        ("3, 4, 3, padding=1", (0, 3, 7, 6)),
    ],
    "Conv3d": [
        ("2, 3, 2", (2, 2, 4, 5, 3)),
        ("2, 4, (1, 2, 3), stride=(1, 2, 1), padding=(0, 1, 1), groups=2", (2, 2, 4, 5, 3)),
        ("2, 3, 2, padding=1, padding_mode='replicate'", (2, 4, 5, 3)),
    ],
    "ConvTranspose1d": [
        ("4, 6, 3", (2, 4, 5)),
        ("4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2", (2, 4, 5)),
    ],
    "ConvTranspose2d": [
        ("3, 4, 3, stride=2, padding=1, output_padding=(1, 0), bias=False", (2, 3, 4, 3)),
        ("3, 4, 2", (3, 4, 3)),
    ],
    "ConvTranspose3d": [("2, 3, 2, stride=2, dilation=(1, 2, 1)", (2, 2, 3, 2, 3))],
    "MaxPool1d": [
        ("2", (2, 3, 7)),
        ("3, stride=2, padding=1, dilation=2", (2, 3, 9)),
        ("3, 2, ceil_mode=True", (3, 8)),
        ("2, return_indices=True", (2, 3, 7)),
    ],
    "MaxPool2d": [
        ("2", (2, 3, 7, 6)),
        ("(3, 2), stride=(2, 1), padding=(1, 0), dilation=1", (2, 3, 7, 6)),
        ("3, 2, 1, ceil_mode=True, return_indices=True", (2, 3, 7, 6)),
        ("2", (3, 7, 6)),
    ],
    "MaxPool3d": [("2", (2, 2, 4, 5, 6)), ("(1, 2, 3), return_indices=True", (2, 2, 4, 5, 6))],
    "AvgPool1d": [("2", (2, 3, 7)), ("3, 2, 1, ceil_mode=True", (2, 3, 8)), ("[2]", (3, 7))],
    "AvgPool2d": [
        ("2", (2, 3, 7, 6)),
        ("3, stride=2, padding=1", (2, 3, 7, 6)),
        ("3, 2, 1, ceil_mode=True, count_include_pad=False", (2, 3, 8, 6)),
        ("(2, 3), divisor_override=5", (3, 7, 6)),
    ],
    "AvgPool3d": [("2", (2, 2, 4, 5, 6)), ("3, 2, 1, count_include_pad=False", (2, 2, 4, 5, 6))],
    "AdaptiveAvgPool1d": [("3", (2, 3, 7)), ("1", (3, 7))],
    "AdaptiveAvgPool2d": [
        ("1", (2, 3, 7, 6)),
        ("(3, 4)", (2, 3, 7, 6)),
        ("(None, 8)", (2, 3, 7, 6)),
    ],
    "AdaptiveAvgPool3d": [("(2, 3, 1)", (2, 2, 4, 5, 6))],
    "AdaptiveMaxPool1d": [("3", (2, 3, 7)), ("3, return_indices=True", (2, 3, 7))],
    "AdaptiveMaxPool2d": [("(3, 4)", (2, 3, 7, 6)), ("(None, 2), True", (3, 7, 6))],
    "AdaptiveMaxPool3d": [("(2, 3, 1)", (2, 2, 4, 5, 6))],
    "BatchNorm1d": [
        ("3", (5, 3)),
        ("3, eps=1e-3, momentum=0.5", (5, 3, 4)),
        ("3, affine=False", (5, 3)),
        ("3, track_running_stats=False", (5, 3)),
        ("3, momentum=None", (5, 3)),
        ("3, bias=False", (5, 3)),
    ],
    "BatchNorm2d": [("3", (4, 3, 5, 6)), ("3, momentum=None, affine=False", (4, 3, 5, 6))],
    "BatchNorm3d": [("3", (4, 3, 2, 3, 2))],
    "InstanceNorm1d": [("3", (2, 3, 5)), ("3, affine=True", (3, 5))],
    "InstanceNorm2d": [
        ("3", (2, 3, 5, 4)),
        ("3, affine=True, track_running_stats=True", (2, 3, 5, 4)),
    ],
    "InstanceNorm3d": [("3, affine=True, bias=False", (2, 3, 2, 3, 2))],
    "LayerNorm": [
        ("4", (3, 4)),
        ("(3, 4), eps=1e-3", (2, 3, 4)),
        ("[4], bias=False", (2, 3, 4)),
        ("4, elementwise_affine=False", (2, 3, 4)),
    ],
    "GroupNorm": [
        ("2, 6", (3, 6, 4)),
        ("3, 6, affine=False", (3, 6, 4, 2)),
        ("1, 6, bias=False", (3, 6)),
    ],
    "RMSNorm": [("4", (3, 4)), ("(3, 4), eps=1e-3", (2, 3, 4)), ("4, None, False", (3, 4))],
    "LocalResponseNorm": [("3", (2, 5, 4)), ("2, 0.1, 0.5, 2.0", (2, 5, 4, 3))],
    "Dropout": [("0.0", (4, 3)), ("p=1.0", (4, 3)), ("0.25, inplace=True", None)],
    "Dropout1d": [("0.0", (2, 4, 3)), ("1.0", (4, 3))],
    "Dropout2d": [("0.0", (2, 4, 3, 2)), ("1.0", (2, 4, 3, 2))],
    "Dropout3d": [("0.0", (2, 4, 3, 2, 2)), ("1.0", (4, 3, 2, 2))],
    "AlphaDropout": [("0.0", (4, 3)), ("1.0", (4, 3))],
    "FeatureAlphaDropout": [("0.0", (4, 3))],
    "ReLU": [("", (4, 3)), ("inplace=True", (4, 3))],
    "ReLU6": [("", (4, 3)), ("True", (4, 3))],
    "LeakyReLU": [("", (4, 3)), ("0.2, inplace=True", (4, 3))],
    "RReLU": [("", None), ("0.1, 0.1", (4, 3))],
    "ELU": [("", (4, 3)), ("alpha=0.5, inplace=True", (4, 3))],
    "CELU": [("", (4, 3)), ("0.5", (4, 3))],
    "SELU": [("", (4, 3)), ("inplace=True", (4, 3))],
    "GELU": [("", (4, 3)), ("approximate='tanh'", (4, 3)), ("'bad'", (4, 3))],
    "SiLU": [("", (4, 3)), ("inplace=True", (4, 3))],
    "Mish": [("", (4, 3)), ("inplace=True", (4, 3))],
    "Sigmoid": [("", (4, 3))],
    "Tanh": [("", (4, 3))],
    "LogSigmoid": [("", (4, 3))],
    "Softplus": [("", (4, 3)), ("2, 1", (4, 3))],
    "Softsign": [("", (4, 3))],
    "Tanhshrink": [("", (4, 3))],
    "Hardshrink": [("", (4, 3)), ("0.3", (4, 3))],
    "Softshrink": [("", (4, 3)), ("0.3", (4, 3))],
    "Hardtanh": [("", (4, 3)), ("-0.5, 0.25, inplace=True", (4, 3))],
    "Hardswish": [("", (4, 3)), ("inplace=True", (4, 3))],
    "Hardsigmoid": [("", (4, 3)), ("inplace=True", (4, 3))],
    "Threshold": [("0.1, 20", (4, 3)), ("0.1, 20, True", (4, 3))],
    "PReLU": [("", (4, 3)), ("3, 0.1", (4, 3, 2))],
    "GLU": [("", (3, 4)), ("0", (4, 3)), ("", (4, 3))],
    "Softmax": [("1", (4, 3)), ("dim=0", (4, 3, 2))],
    "LogSoftmax": [("1", (4, 3))],
    "Softmin": [("1", (4, 3))],
    "Softmax2d": [("", (2, 4, 3, 2)), ("", (4, 3, 2)), ("", (4, 3))],
    "ZeroPad1d": [("2", (2, 3, 4)), ("(1, -2)", (3, 4))],
    "ZeroPad2d": [("(1, 2, 0, 3)", (2, 3, 4, 5))],
    "ZeroPad3d": [("1", (2, 3, 4, 5, 3))],
    "ConstantPad1d": [("2, 3.5", (2, 3, 4))],
    "ConstantPad2d": [("(1, 2, 0, 3), -1", (2, 3, 4, 5))],
    "ConstantPad3d": [("1, 0.5", (2, 3, 4, 5, 3))],
    "ReflectionPad1d": [("2", (2, 3, 4)), ("4", (2, 3, 4))],
    "ReflectionPad2d": [("(1, 2, 0, 3)", (2, 3, 4, 5))],
    "ReflectionPad3d": [("1", (2, 3, 4, 5, 3))],
    "ReplicationPad1d": [("(3, 0)", (2, 3, 4))],
    "ReplicationPad2d": [("5", (3, 4, 5))],
    "ReplicationPad3d": [("1", (2, 3, 4, 5, 3))],
    "CircularPad1d": [("(3, 4)", (2, 3, 4)), ("5", (2, 3, 4))],
    "CircularPad2d": [("(1, 2, 0, 3)", (2, 3, 4, 5))],
    "CircularPad3d": [("1", (2, 3, 4, 5, 3))],
    "CosineSimilarity": [("", [(4, 3), (4, 3)]), ("dim=0", [(4, 3), (4, 1)])],
    "PairwiseDistance": [("", [(4, 3), (4, 3)]), ("1, keepdim=True", [(4, 3), (3,)])],
    "PixelShuffle": [("2", (2, 8, 3, 4)), ("2", (2, 3, 3, 4))],
    "PixelUnshuffle": [("2", (2, 3, 6, 4)), ("2", (2, 3, 5, 4))],
    "ChannelShuffle": [("2", (2, 6, 3)), ("4", (2, 6, 3))],
}
NAMED = [(name, args, shape) for name, cases in CASES.items() for args, shape in cases]
IDS = [f"{name}({args}) of {shape}" for name, args, shape in NAMED]


def build(lib, name, args):
    return quietly(lambda: eval(f"nn.{name}({args})", {"nn": lib.nn}))


def inputs_of(shape):
    rng = np.random.default_rng(7)
    shapes = shape if isinstance(shape, list) else [shape]
    return [torch.from_numpy(rng.standard_normal(s)) for s in shapes]


@pytest.mark.parametrize(("name", "args", "shape"), NAMED, ids=IDS)
def test_text_and_state(name, args, shape):
    def run(lib):
        layer = build(lib, name, args)
        facts = [(k, tuple(v.shape), str(v.dtype)) for k, v in layer.state_dict().items()]
        asks = [(k, p.requires_grad) for k, p in layer.named_parameters()]
        return repr(layer), facts, asks, layer.state_dict()._metadata

    same_outcome(run)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "args", "shape"), [case for case in NAMED if case[2]])
def test_values_and_gradients(name, args, shape, training, device):
    theirs = build(torch, name, args).double().train(training)
    mine = build(dt, name, args).double().train(training).to(device)
    copy_state(theirs, mine, device)

    def run(module, *inputs):
        # Other values first, so that running statistics have a history; not in place on a leaf.
        module(*(x.detach() * 0.5 + 1 for x in inputs))
        return module(*(x * 1 for x in inputs))

    samples = inputs_of(shape)
    expected = quietly(lambda: attempt(theirs, [x.clone().requires_grad_() for x in samples], run))
    got = quietly(lambda: attempt(mine, [given(x, device, True) for x in samples], run))
    assert got[0] == expected[0], (got, expected)
    if got[0] == "value":
        # PyTorch takes the constant 1/6 of hardsigmoid's gradient in float32.
        assert_same(got[1], expected[1], 1e-7 if name == "Hardsigmoid" else 1e-9)
        for key, value in theirs.state_dict().items():
            np.testing.assert_allclose(
                array(mine.state_dict()[key]), array(value), rtol=1e-9, atol=1e-12
            )


def attempt(module, inputs, run):
    try:
        return "value", gradients(module, inputs, run)
    except (RuntimeError, ValueError, IndexError, NotImplementedError) as error:
        return type(error).__name__, str(error)


WRONG = {
    "groups": ("Conv2d", "3, 4, 3, groups=2"),
    "no groups": ("Conv2d", "4, 4, 3, groups=0"),
    "outputs of groups": ("Conv2d", "4, 3, 3, groups=2"),
    "strided same": ("Conv1d", "4, 4, 3, stride=2, padding='same'"),
    "mode of transposed": ("ConvTranspose2d", "4, 4, 3, padding_mode='reflect'"),
    "chance": ("Dropout", "1.5"),
    "groups of channels": ("GroupNorm", "4, 6"),
    "hardtanh": ("Hardtanh", "1, 0"),
    "features": ("Bilinear", "0, 1, 2"),
    "arguments": ("Sigmoid", "3"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options(name):
    layer, args = WRONG[name]
    same_outcome(lambda lib: build(lib, layer, args))


@pytest.mark.parametrize("padding", ["'reflect'", "'left'"])
def test_unknown_padding_is_named(padding):
    for option in ("padding", "padding_mode"):
        if (option, padding) == ("padding_mode", "'reflect'"):
            continue
        made = outcome(lambda lib, o=option: build(lib, "Conv1d", f"1, 1, 1, {o}={padding}"), dt)
        assert made[0] == "ValueError"
        assert padding in made[1]


SHAPES = {
    "batch norm of 2-D": ("BatchNorm2d", "3", (2, 3)),
    "batch norm of one value": ("BatchNorm1d", "3", (1, 3)),
    "instance norm": ("InstanceNorm2d", "3", (2, 3)),
    "instance norm of channels": ("InstanceNorm2d", "3, affine=True", (2, 4, 5, 5)),
    "instance norm of one place": ("InstanceNorm1d", "3", (2, 3, 1)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_wrong_inputs(name):
    layer, args, shape = SHAPES[name]
    same_outcome(lambda lib: build(lib, layer, args)(lib.zeros(*shape)))


def call(module, *inputs):
    return module(*inputs)


def test_embedding(device):
    indices = torch.tensor([[0, 4, 2], [4, 4, 1]])
    for args in ("5, 3", "5, 3, padding_idx=-1", "5, 3, 2, scale_grad_by_freq=True"):
        theirs = build(torch, "Embedding", args).double()
        mine = build(dt, "Embedding", args).double().to(device)
        assert repr(mine) == repr(theirs)
        if theirs.padding_idx is not None:
            assert float(mine.weight[mine.padding_idx].abs().sum()) == 0
        copy_state(theirs, mine, device)
        for dtype in (torch.int64, torch.int32):
            theirs.zero_grad()
            mine.zero_grad()
            expected = gradients(theirs, [indices.to(dtype)], call)
            assert_same(gradients(mine, [given(indices.to(dtype), device)], call), expected, 1e-12)


def test_embedding_max_norm(device):
    table = torch.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    theirs = torch.nn.Embedding.from_pretrained(table.clone(), max_norm=1.0)
    mine = dt.nn.Embedding.from_pretrained(given(table, device), max_norm=1.0)
    indices = torch.tensor([0, 1, 0])
    assert_same([mine(given(indices, device))], [theirs(indices)], 1e-6)
    assert_same([mine.weight], [theirs.weight], 1e-6)
    assert not mine.weight.requires_grad


@pytest.mark.parametrize("args", ["3, 0", "3, 2, 5", "3, 2, sparse=True", "3, 2, max_norm=2.0"])
def test_embedding_options(args):
    same_outcome(lambda lib: repr(build(lib, "Embedding", args)))


def test_transposed_output_size(device):
    for size in ([9], [10], [2, 6, 10], [11], [1, 2]):
        x = torch.randn(2, 4, 5)

        def run(lib, size=size, x=x):
            layer = lib.nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1)
            return tuple(layer(x if lib is torch else given(x), size).shape)

        expected = outcome(run, torch)
        assert outcome(run, dt)[0] == expected[0]
        if expected[0] == "value":
            assert outcome(run, dt) == expected


def test_channels_last_weights(device):
    """A model in channels_last computes the same."""
    theirs = torch.nn.Conv2d(3, 4, 3)
    mine = dt.nn.Conv2d(3, 4, 3).to(device)
    copy_state(theirs, mine, device)
    mine = mine.to(memory_format=dt.channels_last)
    theirs = theirs.to(memory_format=torch.channels_last)
    assert mine.weight.stride() == theirs.weight.stride()
    x = torch.randn(2, 3, 6, 5)
    assert_same([mine(given(x, device))], [theirs(x)], 1e-5)
