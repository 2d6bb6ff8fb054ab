"""Style transfer: its losses beside PyTorch's, its network, its command, other devices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.style import StyleError, network, pictures
from dovetail.style.losses import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    get_style_model_and_losses,
    gram_matrix,
    outside,
    roughness,
)
from dovetail.style.transfer import run_style_transfer

PLAN = (8, 8, "M", 16, 16, "M", 16)


def images(size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    return pictures.read(None, "content", size), pictures.read(None, "style", size)


def small(device: Any = "cpu") -> Any:
    dt.manual_seed(3)
    return network.features(PLAN).to(device)


def losses(device: Any, steps: int = 12) -> list[tuple[float, float]]:
    content, style = (dt.tensor(x, device=device) for x in images())
    seen: list[tuple[float, float]] = []
    result = run_style_transfer(
        small().to(device), IMAGENET_MEAN, IMAGENET_STD, content, style, content.clone(), steps,
        1e3, tell=lambda step, a, b, picture: seen.append((a, b)),
    )  # fmt: skip
    assert 0 <= float(result.amin()) <= float(result.amax()) <= 1
    assert len(seen) == steps
    return seen


def test_losses_as_pytorch() -> None:
    torch = pytest.importorskip("torch")
    content, style = images()
    mine = small()
    start = np.random.default_rng(0).random(content.shape, np.float32)
    model, style_losses, content_losses = get_style_model_and_losses(
        mine, IMAGENET_MEAN, IMAGENET_STD, dt.tensor(style), dt.tensor(content)
    )
    x = dt.tensor(start, requires_grad=True)
    model(x)
    total = 1e3 * sum(s.loss for s in style_losses) + sum(c.loss for c in content_losses)
    total.backward()

    layers = [
        torch.nn.Conv2d(m.in_channels, m.out_channels, 3, padding=1)
        if isinstance(m, dt.nn.Conv2d)
        else torch.nn.ReLU()
        if isinstance(m, dt.nn.ReLU)
        else torch.nn.MaxPool2d(2, 2)
        for m in mine
    ]
    theirs = torch.nn.Sequential(*layers)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in mine.state_dict().items()})

    def found(picture: Any) -> tuple[list[Any], list[Any]]:
        mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        y, grams, contents, convolutions = (picture - mean) / std, [], [], 0
        for layer in theirs:
            y = layer(y)
            if isinstance(layer, torch.nn.Conv2d):
                convolutions += 1
                n, c, h, w = y.shape
                rows = y.reshape(n * c, h * w)
                grams.append(rows @ rows.t() / (n * c * h * w))
                if convolutions == 4:
                    contents.append(y)
        return grams, contents

    z = torch.tensor(start, requires_grad=True)
    with torch.no_grad():
        wanted_grams, wanted_contents = (
            found(torch.tensor(style))[0],
            found(torch.tensor(content))[1],
        )
    grams, contents = found(z)
    mse = torch.nn.functional.mse_loss
    yours = 1e3 * sum(mse(a, b) for a, b in zip(grams, wanted_grams, strict=True))
    yours = yours + sum(mse(a, b) for a, b in zip(contents, wanted_contents, strict=True))
    yours.backward()
    assert float(total) == pytest.approx(yours.item(), rel=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=2e-3, atol=1e-6)


def test_the_style_comes_nearer() -> None:
    seen = losses("cpu", 40)
    assert seen[-1][0] < seen[0][0] / 10


@pytest.mark.parametrize(("name", "steps"), [("loop", 8), ("opencl", 8), ("dlp", 6)])
def test_the_same_losses_on_other_devices(name: str, steps: int, need_device: Any) -> None:
    need_device(name)
    np.testing.assert_allclose(losses(name, steps), losses("cpu", steps), rtol=5e-4, atol=1e-6)


def test_what_cannot_be_shown_is_pulled_back() -> None:
    values = [-0.5, 0.0, 0.25, 1.0, 2.0]
    x = dt.tensor(values, requires_grad=True)
    loss = outside(x)
    loss.backward()
    assert float(loss) == pytest.approx((0.25 + 1) / 5)
    np.testing.assert_allclose(x.grad.numpy(), [-0.2, 0, 0, 0, 0.4], rtol=1e-6)


def test_roughness() -> None:
    x = np.random.default_rng(0).random((1, 3, 4, 5))
    wanted = (np.diff(x, axis=2) ** 2).mean() + (np.diff(x, axis=3) ** 2).mean()
    assert float(roughness(dt.tensor(x))) == pytest.approx(wanted)


def test_the_small_network_paints_a_picture_to_show() -> None:
    """The content stays visible, colours come from the style, and there is no checkerboard."""
    content, style = images(64)
    made = network.trained((content, style), "cpu")
    result = run_style_transfer(
        made, IMAGENET_MEAN, IMAGENET_STD, dt.tensor(content), dt.tensor(style),
        dt.tensor(content), 100, **network.FOR_SMALL,
    ).detach().numpy()  # fmt: skip
    grey = {name: x[0].mean(0) for name, x in (("content", content), ("result", result))}
    assert np.corrcoef(grey["content"].ravel(), grey["result"].ravel())[0, 1] > 0.8
    of_content, of_style, of_result = (x.mean((0, 2, 3)) for x in (content, style, result))
    assert np.abs(of_result - of_style).sum() < 0.8 * np.abs(of_content - of_style).sum()
    assert checkerboard(result) < 3 * checkerboard(content)
    assert (result == 0).mean() < 0.05, "pixels are stuck at black"


def checkerboard(picture: np.ndarray) -> float:
    """The mean square of what is left of 2 by 2 pixels when rows and columns are taken away."""
    a, b = picture[:, :, ::2], picture[:, :, 1::2]
    left = a[..., ::2] - a[..., 1::2] - b[..., ::2] + b[..., 1::2]
    return float((left**2).mean())


def test_gram_matrix() -> None:
    x = dt.arange(12.0).reshape(1, 3, 2, 2)
    rows = np.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(gram_matrix(x).numpy(), rows @ rows.T / 12)


def test_the_small_network_learns() -> None:
    right: list[float] = []
    made = network.trained(
        images(64), "cpu", 120, tell=lambda step, loss, share: right.append(share)
    )
    assert np.mean(right[-20:]) > 0.5  # of 8 classes
    assert [type(m).__name__ for m in made][:3] == ["Conv2d", "ReLU", "Conv2d"]
    x = (dt.tensor(np.concatenate(images(64))) - dt.tensor(IMAGENET_MEAN).reshape(3, 1, 1)) / (
        dt.tensor(IMAGENET_STD).reshape(3, 1, 1)
    )
    for layer in made:
        x = layer(x)
        if isinstance(layer, dt.nn.ReLU):
            means = x.detach().mean((0, 2, 3)).numpy()
            heard = means > 0.9 * network.QUIET
            assert heard.mean() > 0.5
            loud = means[means > 0.999]
            np.testing.assert_allclose(loud, 1, rtol=1e-3)
            assert len(loud) > len(means) / 2, "most filters are heard alike"


@pytest.mark.parametrize("name", ["loop", "opencl"])
def test_the_small_network_begins_with_the_same_numbers(name: str, need_device: Any) -> None:
    need_device(name)
    seen: dict[str, list[float]] = {"cpu": [], name: []}
    for device, losses_of in seen.items():
        network.trained(
            images(64), device, 4, tell=lambda _, loss, __, to=losses_of: to.append(loss)
        )
    np.testing.assert_allclose(seen[name], seen["cpu"], rtol=1e-4)


@pytest.mark.parametrize("whole", [True, False])
def test_weights_with_torchvisions_keys(tmp_path: Path, whole: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(network, "VGG19", PLAN)
    first, second = small(), network.features(PLAN)
    prefix = "features." if whole else ""
    state = {f"{prefix}{k}": v for k, v in first.state_dict().items()}
    if whole:
        state["classifier.0.weight"] = dt.zeros(3)
    dt.save(state, tmp_path / "w.pth")
    network.load_weights(second, tmp_path / "w.pth")
    assert all(dt.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (None, "there is no file of weights"),
        ({"0.weight": dt.zeros(8, 3, 3, 3)}, "lacks 9 of VGG19's 10 weights, such as"),
        ([1], "holds list, not weights by name"),
        (
            {**network.features(PLAN).state_dict(), "0.weight": dt.zeros(8, 3, 3)},
            r"must have shape \(8, 3, 3, 3\), has \(8, 3, 3\)",
        ),
    ],
)
def test_weights_that_do_not_fit(tmp_path: Path, state: Any, sentence: str) -> None:
    path = tmp_path / "w.pth"
    if state is not None:
        dt.save(state, path)
    with pytest.raises(StyleError, match=sentence):
        network.load_weights(network.features(PLAN), path)


def test_vgg19_is_torchvisions() -> None:
    made = network.features(network.VGG19)
    numbers = [int(k.split(".")[0]) for k in made.state_dict() if k.endswith("weight")]
    assert numbers == [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    assert sum(p.numel() for p in made.parameters()) == 20_024_384


def test_the_command(tmp_path: Path) -> None:
    words = ["style", "--size", "48", "--steps", "55", "--out", "made", "--noise"]
    done = subprocess.run(
        [sys.executable, "-m", "dovetail", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "a small network of VGG's kind learns from these two pictures" in done.stdout
    assert "side by side: made/style.png" in done.stdout
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [
        "step-0050.png", "step-0055.png", "style.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--content", "none.png"], "there is no picture 'none.png'"),
        (["--style", "bad.png"], "'bad.png' cannot be read as a picture"),
        (["--device", "tpu"], "Expected one of"),
        (["--size", "8"], "must be a whole number from 32, got '8'"),
    ],
)
def test_mistakes(tmp_path: Path, words: list[str], sentence: str) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    done = subprocess.run(
        [sys.executable, "-m", "dovetail", "style", *words], capture_output=True, text=True,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
