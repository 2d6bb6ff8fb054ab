"""What queueing one operator costs on an OpenCL device: Python's thread, not the device's work.

    python benchmarks/opencl_overhead.py [--rounds N] [--device 0] [--part operators,training]

Tensors of 64 elements, or little more; the thread's processor time per call of 200 in a row, the
median over rounds. The second part is of what a training step is made of: each operator with its
graph recorded, then its share of ``backward()``, and what a step does besides.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import dovetail as dt

CALLS = 200
PARAMETERS = 16
"""Tensors that an optimizer has, of 64 elements."""

Case = Callable[[], Any]


def operators(name: str) -> dict[str, Case]:
    """Calls of single operators."""
    a, b = dt.randn(8, 8, device=name), dt.randn(8, 8, device=name)
    w = dt.randn(8, 8, device=name, requires_grad=True)
    return {
        "a + b": lambda: a + b,
        "a + b, recorded": lambda: w + b,
        "a + 2.5": lambda: a + 2.5,
        "exp": a.exp,
        "sum": a.sum,
        "sum dim 0": lambda: a.sum(0),
        "softmax": lambda: a.softmax(-1),
        "a @ b": lambda: a @ b,
        "zeros": lambda: dt.zeros(64, device=name),
        "ones": lambda: dt.ones(64, device=name),
        "full": lambda: dt.full((64,), 2.5, device=name),
        "zeros_like": lambda: dt.zeros_like(a),
        "rand": lambda: dt.rand(64, device=name),
        "a.t().contiguous()": lambda: a.t().contiguous(),
        "a.add_(b)": lambda: a.add_(b),
        **written(a, b),
        **losses(a, b),
        **ordered(a),
        **moved(name, a, b),
        **sampled(name, a),
        **indexed(name, a, b),
        **rearranged(name, a),
    }


def written(a: Any, b: Any) -> dict[str, Case]:
    """What a step by hand is made of: in place, with factors, bounds and lengths."""
    functional, target, row = dt.nn.functional, dt.zeros_like(a), a[0].clone()
    mask = a > 0
    return {
        "a.add_(b, alpha=)": lambda: target.add_(b, alpha=-0.1),
        "a.lerp_(b, 0.5)": lambda: target.lerp_(b, 0.5),
        "a.addcdiv_(b, c)": lambda: target.addcdiv_(a, b, value=0.1),
        "a.clamp_(0, 1)": lambda: target.clamp_(0, 1),
        "a.clamp(b, c)": lambda: a.clamp(b, b),
        "where(mask, 1, 0)": lambda: dt.where(mask, 1.0, 0.0),
        "a @ vector": lambda: a @ row,
        "dot": lambda: row.dot(row),
        "normalize": lambda: functional.normalize(a),
        "cosine_similarity": lambda: functional.cosine_similarity(a, b),
        "rms_norm": lambda: functional.rms_norm(a, (8,), row),
    }


def losses(a: Any, b: Any) -> dict[str, Case]:
    """Losses of two tensors, weighted or not, without a gradient."""
    functional = dt.nn.functional
    p, q, row = a.sigmoid(), b.sigmoid(), b[0].abs()
    signs, places = (b > 0).to(b.dtype) * 2 - 1, dt.arange(8, device=a.device)
    logits = functional.binary_cross_entropy_with_logits
    return {
        "weighted bce": lambda: functional.binary_cross_entropy(p, q, q),
        "weighted logits": lambda: logits(a, q, q, pos_weight=row),
        "kl_div": lambda: functional.kl_div(a, p, reduction="batchmean"),
        "hinge_embedding": lambda: functional.hinge_embedding_loss(a, signs),
        "margin_ranking": lambda: functional.margin_ranking_loss(a, b, signs),
        "soft_margin": lambda: functional.soft_margin_loss(a, signs),
        "poisson_nll": lambda: functional.poisson_nll_loss(a, q, full=True),
        "nll_loss": lambda: functional.nll_loss(a, places),
        "mse_loss": lambda: functional.mse_loss(a, b),
        "l1_loss": lambda: functional.l1_loss(a, b),
        "smooth_l1_loss": lambda: functional.smooth_l1_loss(a, b),
        "huber_loss": lambda: functional.huber_loss(a, b),
        "bce_with_logits": lambda: functional.binary_cross_entropy_with_logits(a, q),
        "binary_cross_entropy": lambda: functional.binary_cross_entropy(p, q),
        **further_losses(a, b),
    }


def further_losses(a: Any, b: Any) -> dict[str, Case]:
    """Losses of distributions and of rows, and distances."""
    functional = dt.nn.functional
    q, c, signs = b.sigmoid(), a + b, (b[0] > 0).to(b.dtype) * 2 - 1
    places = dt.arange(8, device=a.device)
    labels = places.expand(8, 8).contiguous()
    return {
        "gaussian_nll": lambda: functional.gaussian_nll_loss(a, b, q),
        "triplet_margin": lambda: functional.triplet_margin_loss(a, b, c),
        "cosine_embedding": lambda: functional.cosine_embedding_loss(a, b, signs),
        "multi_margin": lambda: functional.multi_margin_loss(a, places),
        "multilabel_margin": lambda: functional.multilabel_margin_loss(a, labels),
        "multilabel_soft_margin": lambda: functional.multilabel_soft_margin_loss(a, q),
        "pairwise_distance": lambda: functional.pairwise_distance(a, b),
        "cdist": lambda: dt.cdist(a, b),
        "pdist": lambda: functional.pdist(a),
        "renorm": lambda: a.renorm(2, 0, 1.0),
        "cov": a.cov,
    }


def ordered(a: Any) -> dict[str, Case]:
    """What is found in order."""
    return {
        "topk": lambda: a.topk(3),
        "sort": a.sort,
        "kthvalue": lambda: a.kthvalue(3),
        "median": a.median,
        "median dim 0": lambda: a.median(0),
        "mode": a.mode,
    }


def moved(name: str, a: Any, b: Any) -> dict[str, Case]:
    """What takes elements elsewhere, by place or by index."""
    places, image = dt.arange(8, device=name), dt.randn(2, 4, 8, 8, device=name)
    every, mask = dt.zeros(8, 8, device=name, dtype=dt.int64), a > 0
    scale, target, half = dt.ones(4, device=name), dt.zeros_like(a), a.to(dt.bfloat16)

    def filled() -> None:
        target[mask] = 0

    def set_rows() -> None:
        target[places] = b

    return {
        "a[index]": lambda: a[places],
        "stack": lambda: dt.stack((a, b)),
        "tril": a.tril,
        "pad": lambda: dt.nn.functional.pad(a, (1, 1)),
        "repeat": lambda: a.repeat(2, 1),
        "group_norm": lambda: dt.nn.functional.group_norm(image, 2, scale, scale),
        "scatter_add": lambda: a.scatter_add(0, every, b),
        "scatter": lambda: a.scatter(0, every, b),
        "scatter_reduce amax": lambda: a.scatter_reduce(0, every, b, "amax"),
        "index_add": lambda: a.index_add(0, places, b),
        "index_copy": lambda: a.index_copy(0, places, b),
        "index_fill": lambda: a.index_fill(0, places, 0.0),
        "a[index] = b": set_rows,
        "a[mask] = 0": filled,
        "masked_fill": lambda: a.masked_fill(mask, 0.0),
        "masked_fill_ of rows": lambda: target.masked_fill_(mask[0], 0.0),
        "count_nonzero": a.count_nonzero,
        "bfloat16 a @ b": lambda: half @ half,
        "bfloat16 linear": lambda: dt.nn.functional.linear(half, half, half[0]),
        "int64 a @ b": lambda: every @ every,
    }


def sampled(name: str, a: Any) -> dict[str, Case]:
    """What is read between elements, and what is drawn, aligned or summed along lines."""
    functional, chances = dt.nn.functional, a.sigmoid()
    image, theta = dt.randn(2, 3, 7, 5, device=name), dt.randn(2, 2, 3, device=name)
    grid = functional.affine_grid(theta, (2, 3, 8, 8), False)
    fractions = dt.tensor([0.1, 0.9], device=name)
    return {
        "grid_sample": lambda: functional.grid_sample(image, grid, align_corners=False),
        "affine_grid": lambda: functional.affine_grid(theta, (2, 3, 8, 8), False),
        "adaptive_avg_pool2d": lambda: functional.adaptive_avg_pool2d(image, (3, 4)),
        "adaptive_max_pool2d": lambda: functional.adaptive_max_pool2d(image, (3, 4)),
        "logcumsumexp": lambda: a.logcumsumexp(1),
        "bernoulli": chances.bernoulli,
        "multinomial": lambda: chances.multinomial(2),
        "quantile": lambda: a.quantile(fractions, 1),
        "histc": lambda: a.histc(10, -2, 2),
    }


def indexed(name: str, a: Any, b: Any) -> dict[str, Case]:
    """What reads, writes or brings together by several indices, flat ones, or means."""
    i, j = dt.arange(8, device=name), dt.arange(8, device=name)
    every, target, row = dt.zeros(8, 8, device=name, dtype=dt.int64), dt.zeros_like(a), b[0].clone()

    def set_places() -> None:
        target[i, j] = row

    def set_columns() -> None:
        target[:, i] = b

    return {
        "a[i, j]": lambda: a[i, j],
        "a[:, i]": lambda: a[:, i],
        "a[i, j] = b": set_places,
        "a[:, i] = b": set_columns,
        "index_put_, added": lambda: target.index_put_((i, j), row, accumulate=True),
        "take": lambda: a.take(i),
        "put_": lambda: target.put_(i, row),
        "take_along_dim": lambda: a.take_along_dim(every, 0),
        "one_hot": lambda: dt.nn.functional.one_hot(i, 8),
        "scatter_reduce mean": lambda: a.scatter_reduce(0, every, b, "mean"),
        "index_reduce mean": lambda: a.index_reduce(0, i, b, "mean"),
        "index_reduce amax": lambda: a.index_reduce(0, i, b, "amax"),
        "index_add, alpha": lambda: a.index_add(0, i, b, alpha=2),
        "nonzero_static": lambda: dt.nonzero_static(a, size=8),
    }


def rearranged(name: str, a: Any) -> dict[str, Case]:
    """Rolled, padded by elements, cut into windows, set on diagonals; and differences."""
    functional, image = dt.nn.functional, dt.randn(1, 2, 8, 8, device=name)
    columns, row = functional.unfold(image, 3), a[0].clone()
    return {
        "roll": lambda: a.roll(1, 0),
        "roll, flat": lambda: a.roll(3),
        "pad, reflect": lambda: functional.pad(image, (1, 1, 1, 1), mode="reflect"),
        "pad, replicate": lambda: functional.pad(image, (1, 1, 1, 1), mode="replicate"),
        "pad, circular": lambda: functional.pad(image, (1, 1, 1, 1), mode="circular"),
        "unfold": lambda: functional.unfold(image, 3),
        "fold": lambda: functional.fold(columns, (8, 8), 3),
        "diag_embed": lambda: a.diag_embed(),
        "slice_scatter": lambda: a.slice_scatter(a[:2], 0, 1, 3),
        "select_scatter": lambda: a.select_scatter(row, 0, 1),
        "diagonal_scatter": lambda: a.diagonal_scatter(row),
        "diff": a.diff,
        "diff of diff": lambda: a.diff(2),
        "trapezoid": lambda: dt.trapezoid(a),
    }


def recorded(name: str) -> dict[str, Case]:
    """Operators of a training step, whose results require gradients."""
    nn, functional = dt.nn, dt.nn.functional
    made = {"device": name, "requires_grad": True}
    x, y, z = (dt.randn(8, 8, **made) for _ in range(3))
    bias, image = dt.randn(8, **made), dt.randn(2, 3, 8, 8, **made)
    window, table = dt.randn(4, 3, 3, 3, **made), dt.randn(16, 8, **made)
    places, grid = dt.arange(8, device=name), dt.rand(2, 8, 8, 2, **made)
    batch_norm, layer_norm = nn.BatchNorm2d(3).to(name), nn.LayerNorm(8).to(name)
    kept = batch_norm.running_mean, batch_norm.running_var
    scale, shift = batch_norm.weight, batch_norm.bias
    slope, instance_norm = dt.rand(3, **made), nn.InstanceNorm2d(3).to(name)
    target, positive = dt.rand(8, 8, device=name), dt.rand(8, 8, device=name)
    chance = dt.rand(8, 8, device=name).requires_grad_()
    return {
        "linear": lambda: functional.linear(x, y, bias),
        "relu": x.relu,
        "sigmoid": x.sigmoid,
        "cross_entropy": lambda: functional.cross_entropy(x, places),
        "conv2d": lambda: functional.conv2d(image, window, padding=1),
        "batch_norm": lambda: functional.batch_norm(image, *kept, scale, shift, True),
        "BatchNorm2d": lambda: batch_norm(image),
        "max_pool2d": lambda: functional.max_pool2d(image, 2),
        "LayerNorm": lambda: layer_norm(x),
        "group_norm": lambda: functional.group_norm(image, 3, scale, shift),
        "instance_norm": lambda: functional.instance_norm(image, weight=scale, bias=shift),
        "rms_norm": lambda: functional.rms_norm(x, (8,), bias),
        "embedding": lambda: functional.embedding(places, table),
        "grid_sample": lambda: functional.grid_sample(image, grid, align_corners=False),
        "logcumsumexp": lambda: x.logcumsumexp(1),
        "adaptive_avg_pool2d": lambda: functional.adaptive_avg_pool2d(image, (3, 5)),
        "dropout": lambda: functional.dropout(x, 0.5),
        "cat of 3": lambda: dt.cat((x, y, z), 1),
        "chunk in 4, first": lambda: x.chunk(4, 1)[0],
        "view": lambda: x.view(64),
        "reshape": lambda: x.reshape(4, 16),
        "transpose": lambda: x.transpose(0, 1),
        "a[1]": lambda: x[1],
        "a * b + c": lambda: x * y + z,
        "mean": x.mean,
        "prelu": lambda: functional.prelu(image, slope),
        "glu": lambda: functional.glu(x),
        "InstanceNorm2d": lambda: instance_norm(image),
        "mse_loss": lambda: functional.mse_loss(x, target),
        "smooth_l1_loss": lambda: functional.smooth_l1_loss(x, target),
        "binary_cross_entropy": lambda: functional.binary_cross_entropy(chance, target),
        "bce_with_logits": lambda: functional.binary_cross_entropy_with_logits(x, target),
        "triplet_margin": lambda: functional.triplet_margin_loss(x, target, positive),
        "gaussian_nll": lambda: functional.gaussian_nll_loss(x, target, positive),
    }


def besides(name: str) -> dict[str, tuple[Case, int]]:
    """What a step does besides, and for how many tensors."""
    rules = {}
    for kind, options in (("SGD", {"momentum": 0.9}), ("Adam", {}), ("AdamW", {})):
        weights = [dt.nn.Parameter(dt.randn(64).to(name)) for _ in range(PARAMETERS)]
        for weight in weights:
            weight.grad = dt.ones(64).to(name)
        rule = getattr(dt.optim, kind)(weights, lr=1e-3, **options)
        rules[f"{kind}, a tensor"] = (rule.step, PARAMETERS)
    utils, clipped = dt.nn.utils, [dt.nn.Parameter(dt.randn(64).to(name)) for _ in weights]
    for weight in clipped:
        weight.grad = dt.ones(64).to(name)
    return {
        **rules,
        "zero_grad, a tensor": (rule.zero_grad, PARAMETERS),
        "clip_grad_norm_ of 4": (lambda: utils.clip_grad_norm_(clipped[:4], 1.0), 1),
        "clip_grad_norm_, each": (lambda: utils.clip_grad_norm_(clipped, 1.0), PARAMETERS),
        "clip_grad_value_, each": (lambda: utils.clip_grad_value_(clipped, 1.0), PARAMETERS),
    }


def timed(device: Any, call: Case, rounds: int, calls: int = CALLS) -> float:
    """Microseconds of this thread for a call."""
    seen = []
    for _ in range(rounds):
        device.synchronize()
        begin = time.thread_time()
        for _ in range(calls):
            call()
        seen.append((time.thread_time() - begin) / calls * 1e6)
    return statistics.median(seen)


def timed_backward(device: Any, call: Case, rounds: int) -> float:
    """Microseconds of this thread for ``backward()`` of a call's result."""
    seen = []
    g = dt.ones_like(call().detach())
    for _ in range(rounds):
        results = [call() for _ in range(CALLS)]
        device.synchronize()
        begin = time.thread_time()
        for result in results:
            result.backward(g)
        seen.append((time.thread_time() - begin) / CALLS * 1e6)
    return statistics.median(seen)


def main() -> None:
    """Run it."""
    from dovetail_opencl.runtime import device_of

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--part", default="operators,training")
    chosen = parser.parse_args()
    device, name = device_of(chosen.device), f"opencl:{chosen.device}"
    print(f"{device.handle.name.strip()}; microseconds until it is queued")
    if "operators" in chosen.part:
        for label, call in operators(name).items():
            print(f"{label:22}{timed(device, call, chosen.rounds):8.1f}")
    if "training" in chosen.part:
        print(f"\n{'':22}{'recorded':>9}{'backward':>10}")
        for label, call in recorded(name).items():
            for _ in range(3):
                call().sum().backward()
            forward = timed(device, call, chosen.rounds)
            print(f"{label:22}{forward:9.1f}{timed_backward(device, call, chosen.rounds):10.1f}")
        for label, (step, count) in besides(name).items():
            step()
            print(f"{label:22}{timed(device, step, chosen.rounds) / count:9.1f}")


if __name__ == "__main__":
    main()
