"""Mistakes in calls of nn.functional: the class PyTorch raises, and a sentence that helps."""

from __future__ import annotations

import pytest

import dovetail as dt
import dovetail.nn

F = dt.nn.functional


def zeros(*shape):
    return dt.zeros(*shape)


def test_the_course_example_of_conv2d():
    """A 2-D weight: the sentence says what a weight must be, and what came."""
    with pytest.raises(RuntimeError) as caught:
        F.conv2d(zeros(1, 3, 5, 5), dt.zeros(3, 1))
    assert str(caught.value) == (
        "conv2d: weight must be 4-D (out_channels, in_channels/groups, kH, kW), got shape (3, 1)"
    )


CONVOLUTIONS = {
    "weight of conv1d": (
        lambda: F.conv1d(zeros(1, 3, 5), zeros(2, 3)),
        r"conv1d: weight must be 3-D \(out_channels, in_channels/groups, kW\), got shape \(2, 3\)",
    ),
    "weight of conv_transpose3d": (
        lambda: F.conv_transpose3d(zeros(1, 3, 5, 5, 5), zeros(2, 3)),
        r"weight must be 5-D \(in_channels, out_channels/groups, kD, kH, kW\)",
    ),
    "input": (
        lambda: F.conv2d(zeros(5, 5), zeros(2, 3, 1, 1)),
        r"conv2d: input must be 4-D .* or 3-D .*, got shape \(5, 5\)",
    ),
    "channels": (
        lambda: F.conv2d(zeros(1, 4, 5, 5), zeros(2, 3, 1, 1)),
        r"conv2d: input must have 3 channels for groups=1 and weight of shape \(2, 3, 1, 1\), "
        r"got 4 channels \(input of shape \(1, 4, 5, 5\)\)",
    ),
    "groups": (
        lambda: F.conv2d(zeros(1, 6, 5, 5), zeros(3, 3, 1, 1), groups=2),
        "out_channels must be divisible by groups=2",
    ),
    "no groups": (
        lambda: F.conv2d(zeros(1, 6, 5, 5), zeros(3, 3, 1, 1), groups=0),
        "groups must be greater than 0",
    ),
    "bias": (
        lambda: F.conv2d(zeros(1, 3, 5, 5), zeros(2, 3, 1, 1), zeros(3)),
        r"bias must have shape \(2,\), one per output channel, got shape \(3,\)",
    ),
    "stride": (
        lambda: F.conv2d(zeros(1, 3, 5, 5), zeros(2, 3, 1, 1), stride=0),
        r"stride must be greater than 0, got \(0, 0\)",
    ),
    "stride of three": (
        lambda: F.conv2d(zeros(1, 3, 5, 5), zeros(2, 3, 1, 1), stride=(1, 1, 1)),
        r"stride must be one number or 2 of them, got \(1, 1, 1\)",
    ),
    "padding": (
        lambda: F.conv2d(zeros(1, 3, 5, 5), zeros(2, 3, 1, 1), padding=-1),
        "padding must not be negative",
    ),
    "padding by name": (
        lambda: F.conv2d(zeros(1, 3, 5, 5), zeros(2, 3, 1, 1), padding="some"),
        "padding must be 'same', 'valid' or numbers, got 'some'",
    ),
    "strided same": (
        lambda: F.conv2d(zeros(1, 3, 5, 5), zeros(2, 3, 1, 1), stride=2, padding="same"),
        "padding='same' needs stride 1",
    ),
    "window": (
        lambda: F.conv2d(zeros(1, 3, 2, 2), zeros(2, 3, 3, 3)),
        r"the window must fit in the padded input, got a window of \(3, 3\)",
    ),
    "transposed channels": (
        lambda: F.conv_transpose2d(zeros(1, 4, 5, 5), zeros(3, 2, 1, 1)),
        "conv_transpose2d: input must have 3 channels",
    ),
    "sizes of a transposed output": (
        lambda: F.conv_transpose2d(zeros(1, 3, 4, 9), zeros(3, 2, 1, 2), padding=3),
        r"conv_transpose: output sizes must not be negative, got \(-2, 4\)",
    ),
    "output padding": (
        lambda: F.conv_transpose1d(zeros(1, 3, 5), zeros(3, 2, 1), output_padding=1),
        "output padding must be smaller than either stride or dilation",
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name):
    call, sentence = CONVOLUTIONS[name]
    with pytest.raises(RuntimeError, match=sentence):
        call()


POOLING = {
    "input": (lambda: F.max_pool2d(zeros(4, 4), 2), r"max_pool2d: input must be 4-D"),
    "padding": (
        lambda: F.max_pool2d(zeros(1, 1, 4, 4), 3, padding=2),
        "pad should be at most half of effective kernel size, but got pad=2, kernel_size=3",
    ),
    "negative padding": (lambda: F.avg_pool1d(zeros(1, 1, 4), 2, padding=-1), "not be negative"),
    "kernel of three": (
        lambda: F.max_pool2d(zeros(1, 4, 4), (2, 2, 2)),
        "kernel_size must be one number or 2 of them",
    ),
    "no kernel": (lambda: F.avg_pool2d(zeros(1, 4, 4), 0), "kernel_size must be greater than 0"),
    "no stride": (lambda: F.avg_pool2d(zeros(1, 4, 4), 2, 0), "stride must be greater than 0"),
    "window": (lambda: F.avg_pool2d(zeros(1, 2, 2), 3), "the window must fit in the padded input"),
    "divisor": (
        lambda: F.avg_pool2d(zeros(1, 4, 4), 2, divisor_override=0),
        "divisor_override must not be zero",
    ),
    "adaptive size": (
        lambda: F.adaptive_avg_pool2d(zeros(1, 4, 4), -1),
        "output_size must not be negative",
    ),
    "adaptive input": (lambda: F.adaptive_max_pool1d(zeros(4), 1), "input must be 3-D"),
}


@pytest.mark.parametrize("name", POOLING)
def test_pooling(name):
    call, sentence = POOLING[name]
    with pytest.raises(RuntimeError, match=sentence):
        call()


OTHERS = {
    "evaluation without statistics": (
        lambda: F.batch_norm(zeros(2, 3), None, None),
        RuntimeError,
        "running_mean must be defined in evaluation mode",
    ),
    "statistics of other channels": (
        lambda: F.batch_norm(zeros(2, 3), zeros(2), zeros(3)),
        RuntimeError,
        "running_mean should contain 3 elements not 2",
    ),
    "batch norm of a vector": (
        lambda: F.batch_norm(zeros(3), None, None, training=True),
        RuntimeError,
        "at least 2 dims",
    ),
    "layer norm": (
        lambda: F.layer_norm(zeros(2, 3), (4,)),
        RuntimeError,
        r"Given normalized_shape=\[4\], expected input with shape \[\*, 4\], but got input of size"
        r"\[2, 3\]",
    ),
    "layer norm of nothing": (lambda: F.layer_norm(zeros(2, 3), ()), RuntimeError, "at least one"),
    "layer norm weight": (
        lambda: F.layer_norm(zeros(2, 3), (3,), weight=zeros(2)),
        RuntimeError,
        r"weight must have the shape normalized_shape=\(3,\), got shape \(2,\)",
    ),
    "group norm": (
        lambda: F.group_norm(zeros(2, 3), 2),
        RuntimeError,
        r"divisible by num_groups, but got input of shape \[2, 3\] and num_groups=2",
    ),
    "mirrored, cut off": (
        lambda: F.pad(zeros(1, 1, 3), (-2, -2), "reflect"),
        RuntimeError,
        "Calculated output W: -1",
    ),
    "around, cut off": (
        lambda: F.pad(zeros(1, 1, 3), (-3, 1), "circular"),
        RuntimeError,
        "an empty dimension",
    ),
    "response norm": (lambda: F.local_response_norm(zeros(2, 3), 2), ValueError, "3D or higher"),
    "linear": (
        lambda: F.linear(zeros(2, 3), zeros(2, 4)),
        RuntimeError,
        r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x2\)",
    ),
    "bilinear": (
        lambda: F.bilinear(zeros(2, 3), zeros(2, 4), zeros(5, 4, 3)),
        RuntimeError,
        r"bilinear: inputs must be \(\*, in1\)",
    ),
    "embedding of floats": (
        lambda: F.embedding(zeros(1), zeros(2, 3)),
        RuntimeError,
        "Expected tensor for argument #1 'indices'",
    ),
    "embedding out of range": (
        lambda: F.embedding(dt.tensor([5]), zeros(2, 3)),
        IndexError,
        "index out of range",
    ),
    "embedding padding": (
        lambda: F.embedding(dt.tensor([0]), zeros(2, 3), padding_idx=2),
        AssertionError,
        "within num_embeddings",
    ),
    "sparse embedding": (
        lambda: F.embedding(dt.tensor([0]), zeros(2, 3), sparse=True),
        NotImplementedError,
        "sparse must be False",
    ),
    "one_hot of floats": (lambda: F.one_hot(zeros(1)), RuntimeError, "LongTensor"),
    "one_hot range": (
        lambda: F.one_hot(dt.tensor([0, 3]), 2),
        RuntimeError,
        "Class values must be smaller than num_classes",
    ),
    "odd glu": (lambda: F.glu(zeros(2, 3)), RuntimeError, "Halving dimension must be even"),
    "scalar glu": (lambda: F.glu(dt.tensor(1.0)), RuntimeError, "does not support scalars"),
    "gelu": (lambda: F.gelu(zeros(1), "fast"), RuntimeError, "either none or tanh"),
    "softshrink": (lambda: F.softshrink(zeros(1), -1), RuntimeError, "lambda must be greater"),
    "hardtanh": (lambda: F.hardtanh(zeros(1), 1, -1), ValueError, "min_val cannot be greater"),
    "prelu": (
        lambda: F.prelu(zeros(2, 3), zeros(2)),
        RuntimeError,
        "Mismatch of parameter numbers",
    ),
    "odd pads": (lambda: F.pad(zeros(3), (1,)), RuntimeError, "divisible by 2"),
    "pad mode": (lambda: F.pad(zeros(1, 3), (1, 1), "mirror"), NotImplementedError, "mode mirror"),
    "pixel shuffle": (lambda: F.pixel_shuffle(zeros(1, 3, 2, 2), 2), RuntimeError, "divisible"),
    "pixel shuffle of 2-D": (lambda: F.pixel_shuffle(zeros(2, 2), 2), RuntimeError, "3 dims"),
    "pixel unshuffle": (lambda: F.pixel_unshuffle(zeros(1, 3, 3, 2), 2), RuntimeError, "divisible"),
    "channel shuffle": (lambda: F.channel_shuffle(zeros(1, 3, 2), 2), RuntimeError, "divisible"),
    "channel shuffle of 2-D": (lambda: F.channel_shuffle(zeros(1, 3), 3), RuntimeError, "2 dims"),
    "weighted loss": (
        lambda: F.mse_loss(zeros(2), zeros(2), weight=zeros(3)),
        ValueError,
        "same size",
    ),
    "probabilities of integers": (
        lambda: F.cross_entropy(zeros(2, 3), zeros(2, 3).long()),
        RuntimeError,
        "Expected floating point type for target with class probabilities",
    ),
    "ignored probabilities": (
        lambda: F.cross_entropy(zeros(2, 3), zeros(2, 3), ignore_index=1),
        RuntimeError,
        "ignore_index is not supported for floating point target",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions(name):
    call, kind, sentence = OTHERS[name]
    with pytest.raises(kind, match=sentence):
        call()


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.parametrize(("shape", "dim"), [((3,), 0), ((2, 3), 1), ((2, 3, 4), 0)])
def test_softmax_without_a_dim_warns_and_chooses(name, shape, dim):
    x = dt.arange(len(dt.zeros(shape).flatten())).float().view(shape)
    function = getattr(F, name)
    with pytest.warns(UserWarning, match=f"Implicit dimension choice for {name}"):
        result = function(x)
    assert result.tolist() == function(x, dim).tolist()


def test_softmax_dtype():
    assert F.softmax(zeros(2), 0, dtype=dt.float64).dtype is dt.float64


def test_normalize():
    x = dt.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert F.normalize(x).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]
    out = dt.empty(2, 2)
    assert F.normalize(x, p=1, out=out) is out
    assert out[0].tolist() == [pytest.approx(3 / 7), pytest.approx(4 / 7)]
