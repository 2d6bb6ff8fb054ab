"""BatchNorm in training, whose running statistics and counter are of the same launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

PROGRAM = """
import numpy as np
import dovetail as dt
from dovetail_opencl.runtime import device_of

# One vector of channels, several whose last one overlaps, single channels; on a GPU one group for a
# channel, and several.
for shape, launches in (
    ((7, 16), 1), ((7, 19), 1), ((5, 70), 1), ((100, 5), 1), ((2, 3, 8, 8), 1), ((4, 35, 3), 1),
    ((16, 3, 32, 33), SHARED),
):
    for kind, tolerance in (("float32", 2e-5), ("float64", 1e-12), ("float16", 4e-3)):
        for momentum in (0.1, 1):
            found = []
            rng = np.random.default_rng(0)
            inputs = [rng.normal(3, 2, shape).astype(kind) for _ in range(3)]
            g = rng.normal(size=shape).astype(kind)
            wide = "float64" if kind == "float64" else "float32"
            for device, dtype, of in (("cpu", "float64", "float64"), ("opencl:0", kind, wide)):
                layer = dt.nn.BatchNorm2d if len(shape) == 4 else dt.nn.BatchNorm1d
                norm = layer(shape[1], momentum=momentum, device=device, dtype=getattr(dt, of))
                for a in inputs:
                    x = dt.tensor(a.astype(dtype)).to(device).requires_grad_(True)
                    before = device_of(0).launches
                    y = norm(x)
                    if device != "cpu":
                        assert device_of(0).launches - before == launches, (shape, kind)
                    y.backward(dt.tensor(g.astype(dtype)).to(device))
                tensors = y, x.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()
                found.append([t.detach().cpu().double().numpy() for t in tensors])
            for must, have in zip(*found):
                size = max(np.abs(must).max(), 1)
                assert np.abs(must - have).max() <= tolerance * size, (shape, kind, must, have)
"""


@pytest.mark.parametrize(("kind", "shared"), [("cpu", 1), ("gpu", 2)])
def test_values_are_those_of_the_host(fresh: Callable[..., str], kind: str, shared: int) -> None:
    fresh(PROGRAM.replace("SHARED", str(shared)), DOVETAIL_OPENCL_CLASS=kind)


def made(**options: Any) -> tuple[Any, Any]:
    """A layer, and an input that requires gradients."""
    x = dt.arange(96.0, device="opencl:0").reshape(4, 3, 8).requires_grad_(True)
    return dt.nn.BatchNorm1d(3, device="opencl:0", **options), x


def test_every_write_is_counted(queue: Any) -> None:
    norm, x = made()
    versions = [t._version for t in norm.buffers()]
    before = queue.launches
    norm(x)
    assert queue.launches == before + 1
    assert [t._version for t in norm.buffers()] == [v + 1 for v in versions]
    product = (norm.running_var.clone().requires_grad_(True) * norm.running_mean).sum()
    norm(x)
    with pytest.raises(RuntimeError, match=r"last written by batch_norm at\s.*batch_step"):
        product.backward()


def test_what_is_not_asked_for_is_not_written(queue: Any) -> None:
    norm, x = made()
    start = {k: t.clone() for k, t in norm.state_dict().items()}
    norm.eval()(x)
    norm.track_running_stats = False
    norm.train()(x)
    for name, value in norm.state_dict().items():
        assert value.tolist() == start[name].tolist(), name


def test_the_function_takes_them_in_by_the_same_launch(queue: Any) -> None:
    norm, x = made()
    norm(x)
    mean, var = dt.zeros(3, device="opencl:0"), dt.ones(3, device="opencl:0")
    before = queue.launches
    y = dt.nn.functional.batch_norm(x, mean, var, norm.weight, norm.bias, True, 0.1)
    assert queue.launches == before + 1
    assert (mean.tolist(), var.tolist()) == (norm.running_mean.tolist(), norm.running_var.tolist())
    mean.zero_()  # the batch's, which the gradient is made of, are others
    y.backward(dt.arange(96.0, device="opencl:0").reshape(4, 3, 8).square())
    here = x.detach().cpu().requires_grad_(True)
    norm.cpu()(here).backward(dt.arange(96.0).reshape(4, 3, 8).square())
    assert np.allclose(x.grad.cpu().numpy(), here.grad.numpy(), rtol=1e-4, atol=0.05)


def test_the_function_says_what_does_not_fit(queue: Any) -> None:
    mean, var = dt.zeros(3, device="opencl:0"), dt.ones(3, device="opencl:0")
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        dt.nn.functional.batch_norm(dt.ones(1, 3, device="opencl:0"), mean, var, training=True)
    x = dt.ones(2, 4, device="opencl:0")
    with pytest.raises(RuntimeError, match="running_mean should contain 4 elements not 3"):
        dt.nn.functional.batch_norm(x, mean, var, training=True)


def test_statistics_that_are_views_of_others(queue: Any) -> None:
    """They lie somewhere in their memory; what is beside them stays."""
    norm, x = made()
    other, _ = made()
    whole = dt.full((8,), 9.0, device="opencl:0")
    counts = dt.arange(4, device="opencl:0")
    norm.running_mean, norm.running_var = whole[1:4].zero_(), whole[4:7].fill_(1)
    norm.num_batches_tracked = counts[2]
    before = queue.launches
    for _ in range(2):
        norm(x)
        other(x)
    assert queue.launches == before + 4
    assert counts.tolist() == [0, 1, 4, 3]
    mean, var = other.running_mean.tolist(), other.running_var.tolist()
    assert whole.tolist() == [9.0, *mean, *var, 9.0]


def test_other_momenta_and_places_by_the_function(queue: Any) -> None:
    """Calls of one plan, whose numbers differ."""
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    results = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        x = library.arange(96.0).reshape(4, 3, 8).to(device).sin()
        whole = library.zeros(9).to(device)
        kept = [(library.zeros(3).to(device), library.ones(3).to(device)), (whole[1:4], whole[5:8])]
        for momentum in (0.1, 0.5, 0.1, 1.0):
            for mean, var in kept:
                library.nn.functional.batch_norm(
                    x + momentum, mean, var, None, None, True, momentum
                )
        results.append([t.tolist() for pair in kept for t in pair] + [whole.tolist()])
    for mine, theirs in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_a_state_that_was_loaded_goes_on(queue: Any) -> None:
    norm, x = made()
    other, _ = made()
    norm(x)
    norm(x)
    other.load_state_dict(norm.state_dict())
    norm(x)
    other(x)
    assert other.num_batches_tracked.item() == 3
    for mine, theirs in zip(other.buffers(), norm.buffers(), strict=True):
        assert mine.tolist() == theirs.tolist()


def test_where_the_kernel_does_not_fit_the_values_are_the_same(queue: Any) -> None:
    """Statistics in float64 beside a float32 input, no counter, an input that is not dense."""
    usual, x = made()
    want = usual(x)
    wide, _ = made()
    wide.running_mean, wide.running_var = wide.running_mean.double(), wide.running_var.double()
    without, _ = made()
    without.num_batches_tracked = None
    strided, _ = made()
    spread = x.detach().permute(2, 1, 0).clone().permute(2, 1, 0)
    for norm, given in ((wide, x), (without, x), (strided, spread)):
        np.testing.assert_allclose(norm(given).tolist(), want.tolist(), rtol=0, atol=1e-6)
        for name in ("running_mean", "running_var"):
            have, must = getattr(norm, name).tolist(), getattr(usual, name).tolist()
            np.testing.assert_allclose(have, must, rtol=1e-6, atol=0)


def test_the_mean_of_all_batches(queue: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    results = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        norm = library.nn.BatchNorm1d(3, momentum=None).to(device)
        for i in range(4):
            norm(library.arange(96.0).reshape(4, 3, 8).to(device) * (i + 1))
        results.append([t.tolist() for t in norm.buffers()])
    for mine, theirs in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def test_what_is_refused_is_refused_again(queue: Any) -> None:
    """Also where calls like it have a plan; the counter has counted it, as PyTorch's does."""
    norm, x = made()
    norm(x)
    for _ in range(2):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            norm(x[:1, :, :1])
        with pytest.raises(RuntimeError, match="running_mean should contain 2 elements not 3"):
            norm(x[:, :2])
    assert norm.num_batches_tracked.item() == 5
    with dt.inference_mode():
        frozen, _ = made()
    with pytest.raises(RuntimeError, match="nference tensor"):
        frozen(x.detach())


def test_second_order(queue: Any) -> None:
    """Gradients of gradients go through the statistics too."""
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    results = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        norm = library.nn.BatchNorm1d(3).to(device)
        x = library.arange(24.0).reshape(4, 3, 2).to(device).sin().requires_grad_(True)
        (g,) = library.autograd.grad((norm(x) ** 3).sum(), x, create_graph=True)
        (g * g).sum().backward()
        results.append(x.grad.cpu().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-3)


def test_given_statistics_are_one_launch_with_a_gradient(queue: Any) -> None:
    """Fine-tuning with layers that are frozen; also gradients for the statistics."""
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((4, 3, 5, 2)), *random.uniform(0.5, 2, (4, 3))]
    found = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        x, mean, var, weight, bias = (
            library.tensor(a, device=device, requires_grad=library is dt or i not in (1, 2))
            for i, a in enumerate(arrays)
        )
        call = library.nn.functional.batch_norm
        for _ in range(2):
            queue.synchronize()
            before = queue.launches
            out = call(x, mean, var, weight, bias)
            queue.synchronize()
        if library is dt:
            assert queue.launches - before == 1
        out.pow(3).sum().backward()
        found.append([t.cpu().numpy() for t in (out.detach(), x.grad, weight.grad, bias.grad)])
        if library is dt:
            ones = [mean.grad, var.grad]
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    wide = [torch.tensor(a, requires_grad=True) for a in arrays]
    x, mean, var, weight, bias = wide
    shape = (1, 3, 1, 1)
    normal = (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt()
    (normal * weight.view(shape) + bias.view(shape)).pow(3).sum().backward()
    for ours, theirs in zip(ones, (mean.grad, var.grad), strict=True):
        np.testing.assert_allclose(ours.cpu().numpy(), theirs.numpy(), rtol=1e-9)
