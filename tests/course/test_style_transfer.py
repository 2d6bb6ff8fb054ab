"""The driving example (003 L2556-2909)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.style import losses


def test_003_L2613_two_pictures_of_one_size(run: Any, device: Any) -> None:
    names = run("003 L2613")
    for picture in (names.style_img, names.content_img):
        assert picture.shape == (1, 3, 32, 32)
        assert picture.device == device
        assert 0 <= picture.min().item() < picture.max().item() <= 1


def test_003_L2655_pictures_shown(run: Any) -> None:
    names = run("003 L2655")
    assert len(names.plt.get_fignums()) == 2
    [drawn] = names.plt.gca().images
    picture = np.array(names.content_img.tolist())[0].transpose(1, 2, 0)
    np.testing.assert_allclose(drawn.get_array(), picture, rtol=1e-6)
    assert names.plt.gca().get_title() == "Content Image"


def test_003_L2714_noise_to_start_from(run: Any) -> None:
    names = run("003 L2714")
    assert names.input_img.shape == names.content_img.shape
    assert names.input_img.std().item() == pytest.approx(1, abs=0.1)


def test_003_L2728_how_far_from_the_content(run: Any) -> None:
    names = run("003 L2728")
    x, target = dt.tensor([[1.0, 2.0]]), dt.tensor([[3.0, 2.0]], requires_grad=True)
    loss = names.ContentLoss(target)
    assert loss(x) is x
    assert loss.loss.item() == 2
    assert not loss.target.requires_grad


def test_003_L2742_products_of_channels(run: Any) -> None:
    names = run("003 L2742")
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 5)).astype(np.float32)
    rows = x.reshape(3, 20)
    given = dt.tensor(x)
    np.testing.assert_allclose(
        names.gram_matrix(given).tolist(), rows @ rows.T / 60, rtol=1e-4, atol=1e-6
    )
    assert names.gram_matrix(given).tolist() == losses.gram_matrix(given).tolist()


def test_003_L2752_how_far_from_the_style(run: Any) -> None:
    names = run("003 L2752")
    x, target = dt.randn(1, 2, 3, 3), dt.randn(1, 2, 4, 4)
    loss = names.StyleLoss(target)
    assert loss(x) is x
    a, b = (np.array(names.gram_matrix(t).tolist()) for t in (x, target))
    assert loss.loss.item() == pytest.approx(((a - b) ** 2).mean(), rel=1e-4)


def test_003_L2765_a_picture_normalised(run: Any) -> None:
    names = run("003 L2765")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    module = names.Normalization(dt.tensor(mean), dt.tensor(std))
    x = np.array(names.content_img.tolist())
    expected = (x - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(module(names.content_img).tolist(), expected, rtol=1e-3, atol=1e-5)
    assert [name for name, _ in module.named_buffers()] == ["mean", "std"]


def test_003_L2778_losses_among_the_layers(run: Any) -> None:
    names = run("003 L2778")
    mean, std = dt.tensor([0.5] * 3), dt.tensor([0.25] * 3)
    model, style_losses, content_losses = names.get_style_model_and_losses(
        names.cnn, mean, std, names.style_img, names.content_img
    )
    assert [name for name, _ in model.named_children()] == [
        "0", "conv_1", "style_loss_1", "relu_1", "conv_2", "style_loss_2", "relu_2", "pool_2",
        "conv_3", "style_loss_3", "relu_3", "conv_4", "content_loss_4", "style_loss_4", "relu_4",
        "pool_4", "conv_5", "style_loss_5",
    ]  # fmt: skip
    assert (len(style_losses), len(content_losses)) == (5, 1)
    model(names.content_img)
    assert content_losses[0].loss.item() == pytest.approx(0, abs=1e-10)
    with pytest.raises(RuntimeError, match="Unrecognized layer: Linear"):
        names.get_style_model_and_losses(
            dt.nn.Sequential(dt.nn.Linear(2, 2)), mean, std, names.style_img, names.content_img
        )


def test_003_L2835_lbfgs_on_the_picture(run: Any) -> None:
    names = run("003 L2835")
    optimizer = names.get_input_optimizer(names.input_img.requires_grad_())
    assert type(optimizer) is dt.optim.LBFGS
    assert optimizer.param_groups[0]["params"][0] is names.input_img


def test_003_L2898_a_picture_in_the_others_style(run: Any) -> None:
    names = run("003 L2898")
    assert len(names.scores) >= 51
    assert min(names.scores) < names.scores[0] / 20
    assert 0 <= names.output.min().item() < names.output.max().item() <= 1
    assert names.output is names.input_img
    assert len(names.plt.get_fignums()) == 4


def test_003_L2572_L2590_M35_the_formulas_and_the_codes_means(run: Any) -> None:
    """The code's losses are the paper's times constants of the layer's size."""
    names = run("003 L2752")
    rng = np.random.default_rng(0)
    f, p = rng.standard_normal((2, 1, 3, 4, 5)).astype(np.float32)
    content = names.ContentLoss(dt.tensor(p))
    content(dt.tensor(f))
    papers = ((f - p) ** 2).sum() / 2
    assert content.loss.item() == pytest.approx(papers * 2 / f.size, rel=1e-4)
    style = names.StyleLoss(dt.tensor(p))
    style(dt.tensor(f))
    n, m = 3, 20
    g, a = (x.reshape(n, m) @ x.reshape(n, m).T for x in (f, p))
    papers = ((g - a) ** 2).sum() / (4 * n**2 * m**2)
    # mean over N^2 entries, and each Gram matrix divided by N M.
    assert style.loss.item() == pytest.approx(papers * 4 / n**2, rel=1e-3)
