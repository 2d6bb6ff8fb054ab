"""Mistakes of modules: M6 to M8, M33, M34, M37, M51, M57, M58."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import nn
from dovetail.nn import functional as F
from dovetail.style import network

from .listings import section_of
from .mistakes import says


def test_M6_weights_of_a_convolution_have_four_dims(run: Any) -> None:
    with pytest.raises(RuntimeError) as caught:
        F.conv2d(dt.randn(1, 3, 8, 8), dt.randn(3, 1), dt.randn(1))
    says("M6", str(caught.value))
    assert run("003 L1572").myModule()(dt.randn(2, 3, 8, 8)).shape == (2, 64, 6, 6)


def test_M7_eval_is_without_dropout_and_with_batch_norms(device: Any) -> None:
    x = dt.randn(16, 4, device=device) * 3 + 5
    dropout, norm = nn.Dropout(0.5).to(device), nn.BatchNorm1d(4).to(device)
    assert (dropout(x) == 0).any().item()
    assert (dropout.eval()(x) == x).all().item()
    norm(x)
    y = norm.eval()(x)
    mean, var = (np.array(b.tolist()) for b in (norm.running_mean, norm.running_var))
    expected = (np.array(x.tolist()) - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(y.tolist(), expected, rtol=1e-4, atol=1e-4)
    assert norm(x).tolist() == y.tolist()
    assert norm.running_mean.tolist() == mean.tolist()  # not updated


def test_M8_two_parameters_and_two_buffers(run: Any) -> None:
    norm = run("003 L1709").bn
    assert [name for name, _ in norm.named_parameters()] == ["weight", "bias"]
    assert {"running_mean", "running_var"} < {name for name, _ in norm.named_buffers()}
    with pytest.raises(AttributeError) as caught:
        _ = norm.running_std
    says("M8", str(caught.value))


class Normalization(nn.Module):
    """003 L2765-2772 as it stands."""

    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__()
        self.mean = dt.tensor(mean).reshape(-1, 1, 1)
        self.std = dt.tensor(std).reshape(-1, 1, 1)

    def forward(self, img: Any) -> Any:
        return (img - self.mean) / self.std


def test_M33_a_buffer_moves_with_its_module(run_on_host: Any, need_device: Any) -> None:
    device = need_device("loop:0")
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    x = dt.rand(1, 3, 4, 4, device=device)
    with pytest.raises(RuntimeError) as caught:
        Normalization(mean, std).to(device)(x)
    says("M33", str(caught.value))
    mended = run_on_host("003 L2765").Normalization(dt.tensor(mean), dt.tensor(std)).to(device)
    assert mended(x).device == device


def test_M34_conv_4_is_the_fourth_convolution() -> None:
    """Of VGG19, whose blocks have 2, 2, 4, 4 and 4: the second of the second block."""
    convolutions = [m for m in network.features(network.VGG19) if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 16
    assert (convolutions[3].in_channels, convolutions[3].out_channels) == (128, 128)
    assert convolutions[8].out_channels == 512  # conv4_1, of the paper's fourth block


def _scores(run: Any, first_slide: bool) -> list[float]:
    """Of ten steps, with zero_grad where the first slide (003 L161) or the later one has it."""
    names = run("003 L2835")
    code = section_of("003 L2835")[-1].code
    later = "            optimizer.zero_grad()\n            model"
    assert later in code
    if first_slide:
        code = code.replace(later, "                optimizer.zero_grad()\n            model")
    names.scores = []
    exec(compile(code, "003 L2835", "exec"), vars(names))
    ones = dt.tensor([0.5] * 3)
    names.run_style_transfer(
        names.cnn, ones, ones, names.content_img, names.style_img,
        names.content_img.clone(), num_steps=10,
    )  # fmt: skip
    return list(names.scores)


def test_M37_both_places_of_zero_grad_do_the_same(run: Any) -> None:
    dt.manual_seed(1)
    later = _scores(run, False)
    dt.manual_seed(1)
    assert _scores(run, True) == later
    assert later[-1] < later[0]


def test_M37_the_first_slide_takes_two_of_three(run: Any) -> None:
    names = run("003 L2778")
    half = dt.tensor([0.5] * 3)
    arguments = names.cnn, half, half, names.style_img, names.content_img
    with pytest.raises(ValueError, match="too many values") as caught:
        _model, _style_losses = names.get_style_model_and_losses(*arguments)
    says("M37", str(caught.value))
    assert len(names.get_style_model_and_losses(*arguments)) == 3


def test_M51_a_network_split_over_devices(need_device: Any) -> None:
    """The second part takes the first's output to where it is; gradients come back."""
    first, second = (need_device(name) for name in ("loop:0", "loop:1"))
    a, b = nn.Linear(3, 4).to(first), nn.Linear(4, 2).to(second)
    y = b(a(dt.ones(5, 3, device=first)).to(second))
    y.sum().backward()
    assert (y.device, a.weight.grad.device) == (second, first)
    expected = np.outer(np.array(b.weight.tolist()).sum(0) * 5, np.ones(3))
    np.testing.assert_allclose(a.weight.grad.tolist(), expected, rtol=1e-5)


def test_M57_a_parameter_is_no_submodule(run: Any) -> None:
    model = run("002 L76").LinearModel(3)
    assert [name for name, _ in model.named_parameters()] == ["weight", "bias"]
    assert list(model.children()) == []
    assert model.weight.shape == (3, 1)  # x W + b: W's rows are x's columns


def test_M58_bytes_are_no_input_of_a_model(device: Any) -> None:
    picture = dt.randint(0, 256, (1, 3, 8, 8), dtype=dt.uint8, device=device)
    model = nn.Conv2d(3, 4, 3).to(device)
    with pytest.raises(RuntimeError) as caught:
        model(picture)
    says("M58", str(caught.value))
    assert model((picture.float() / 255 - 0.5) / 0.25).shape == (1, 4, 6, 6)
