"""nn.functional and functions without a record under vmap: the result is the loop's."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import dovetail as dt
from dovetail.func import grad, vmap
from dovetail.nn import functional as F

SIZE = 3


def real(*shape: int) -> Any:
    """Numbers of every row, smooth in their place."""
    n = dt.Size((SIZE, *shape)).numel()
    return (dt.arange(n, dtype=dt.float64) * 0.7 + 0.3).sin().reshape(SIZE, *shape) * 1.3


def whole(high: int, *shape: int) -> Any:
    n = dt.Size((SIZE, *shape)).numel()
    return (dt.arange(n) * 7 + 3).remainder(high).reshape(SIZE, *shape)


W1, W2, W3 = real(4, 2, 3), real(4, 2, 3, 3), real(2, 2, 2, 2, 2)

CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "conv1d": (F.conv1d, (real(2, 2, 7), W1, real(4))),
    "conv1d of one": (F.conv1d, (real(2, 7), W1)),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, 2, 1), (real(2, 2, 5, 6), W2, real(4))),
    "conv2d groups": (
        lambda x, w: F.conv2d(x, w, groups=2, padding="same"), (real(1, 4, 4, 4), W2)
    ),
    "conv3d": (F.conv3d, (real(1, 2, 3, 3, 3), W3)),
    "conv_transpose2d": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2), (real(1, 4, 3, 3), W2)
    ),
    "linear": (F.linear, (real(5, 3), real(4, 3), real(4))),
    "linear of a vector": (F.linear, (real(3), real(4, 3), real(4))),
    "bilinear": (F.bilinear, (real(5, 2), real(5, 3), real(4, 2, 3), real(4))),
    "embedding": (F.embedding, (whole(4, 5), real(4, 3))),
    "embedding padding": (lambda i, w: F.embedding(i, w, 1), (whole(4, 5), real(4, 3))),
    "one_hot": (lambda i: F.one_hot(i, 5), (whole(5, 2, 3),)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), (real(2, 2, 4, 4),)),
    "max_pool2d of one": (lambda x: F.max_pool2d(x, 2, return_indices=True), (real(2, 4, 4),)),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 2, 1), (real(2, 2, 4),)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 3), (real(2, 2, 4, 5),)),
    "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x, 2), (real(2, 2, 5),)),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (real(4, 2, 3), real(2), real(2))
    ),
    "batch_norm eval": (
        lambda x, m, v: F.batch_norm(x, m, v.abs() + 1), (real(4, 2, 3), real(2), real(2))
    ),
    "instance_norm": (F.instance_norm, (real(2, 2, 5),)),
    "layer_norm": (
        lambda x, w, b: F.layer_norm(x, (4,), w, b), (real(2, 3, 4), real(4), real(4))
    ),
    "group_norm": (lambda x, w: F.group_norm(x, 2, w), (real(2, 4, 3), real(4))),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w), (real(2, 4), real(4))),
    "normalize": (lambda x: F.normalize(x, dim=0), (real(4, 3),)),
    "cross_entropy": (F.cross_entropy, (real(4, 5), whole(5, 4))),
    "cross_entropy weights": (
        lambda x, t, w: F.cross_entropy(x, t, w.abs(), ignore_index=1, label_smoothing=0.1),
        (real(4, 5), whole(5, 4), real(5)),
    ),
    "cross_entropy chances": (
        lambda x, t: F.cross_entropy(x, t.softmax(1), reduction="none"), (real(4, 5), real(4, 5))
    ),
    "nll_loss": (
        lambda x, t: F.nll_loss(x.log_softmax(1), t, reduction="sum"), (real(4, 5), whole(5, 4))
    ),
    "binary_cross_entropy": (
        lambda x, t: F.binary_cross_entropy(x.sigmoid(), t.sigmoid()), (real(4), real(4))
    ),
    "bce with logits": (
        lambda x, t, w: F.binary_cross_entropy_with_logits(x, t.sigmoid(), pos_weight=w.abs()),
        (real(4, 2), real(4, 2), real(2)),
    ),
    "mse_loss": (F.mse_loss, (real(4), real(4))),
    "l1_loss": (lambda x, y: F.l1_loss(x, y, reduction="none"), (real(4), real(4))),
    "smooth_l1_loss": (F.smooth_l1_loss, (real(4), real(4))),
    "huber_loss": (F.huber_loss, (real(4), real(4))),
    "kl_div": (
        lambda x, y: F.kl_div(x, y.softmax(1), reduction="batchmean"), (real(4, 2), real(4, 2))
    ),
    "poisson_nll_loss": (F.poisson_nll_loss, (real(4), real(4).abs() + 1)),
    "gaussian_nll_loss": (F.gaussian_nll_loss, (real(4), real(4), real(4).abs() + 1)),
    "cosine_embedding_loss": (
        lambda x, y, t: F.cosine_embedding_loss(x, y, t * 2 - 1),
        (real(4, 3), real(4, 3), whole(2, 4)),
    ),
    "margin_ranking_loss": (
        lambda x, y, t: F.margin_ranking_loss(x, y, t * 2 - 1), (real(4), real(4), whole(2, 4))
    ),
    "triplet_margin_loss": (F.triplet_margin_loss, (real(4, 3), real(4, 3), real(4, 3).cos())),
    "cosine_similarity": (F.cosine_similarity, (real(4, 3), real(4, 3))),
    "attention": (
        F.scaled_dot_product_attention, (real(2, 4, 3), real(2, 5, 3), real(2, 5, 3))
    ),
    "attention masked": (
        lambda q, k, m: F.scaled_dot_product_attention(q, k, k, m > 0),
        (real(2, 4, 3), real(2, 5, 3), whole(3, 4, 5)),
    ),
    "attention causal": (
        lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), (real(4, 3),)
    ),
    "pad reflect": (lambda x: F.pad(x, (1, 2), "reflect"), (real(2, 4),)),
    "pad constant": (lambda x: F.pad(x, (1, 2, 0, 1), value=3.0), (real(2, 4),)),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), (real(1, 4, 2, 2),)),
    "glu": (F.glu, (real(4, 6),)),
    "prelu": (F.prelu, (real(2, 4), real(4))),
    "softmin": (lambda x: F.softmin(x, 0), (real(4, 2),)),
    "logsigmoid": (F.logsigmoid, (real(4),)),
    "gelu": (F.gelu, (real(4),)),
    "pairwise_distance": (F.pairwise_distance, (real(4, 3), real(4, 3).cos())),
    "matmul vector": (dt.matmul, (real(4, 3), real(3))),
    "matmul batch": (dt.matmul, (real(2, 4, 3), real(3, 2))),
    "vector matmul": (dt.matmul, (real(3), real(2, 3, 4))),
    "addmm": (dt.addmm, (real(4), real(2, 3), real(3, 4))),
    "baddbmm": (dt.baddbmm, (real(2, 2, 4), real(2, 2, 3), real(2, 3, 4))),
    "einsum": (lambda a, b: dt.einsum("bij,bjk->bik", a, b), (real(2, 3, 4), real(2, 4, 5))),
    "tensordot": (lambda a, b: dt.tensordot(a, b, 1), (real(2, 3), real(3, 4))),
    "outer": (dt.outer, (real(3), real(4))),
    "cdist": (lambda a, b: (a[:, None] - b).norm(dim=-1), (real(3, 2), real(4, 2))),
    "cat": (lambda a, b: dt.cat([a, b], 1), (real(2, 3), real(2, 4))),
    "meshgrid": (lambda a, b: dt.meshgrid(a, b, indexing="ij"), (real(2), real(3))),
    "tile": (lambda a: a.tile(2, 3), (real(2),)),
    "repeat_interleave": (lambda a: a.repeat_interleave(2, 0), (real(2, 3),)),
    "take_along_dim": (lambda a, i: a.take_along_dim(i, 0), (real(4, 2), whole(4, 3, 2))),
    "index_add": (lambda a, i, s: a.index_add(0, i, s), (real(4, 2), whole(4, 3), real(3, 2))),
    "index_select": (lambda a, i: a.index_select(1, i), (real(4, 2), whole(2, 3))),
    "scatter": (lambda a, i, s: a.scatter(0, i, s), (real(4, 2), whole(4, 1, 2), real(1, 2))),
    "masked_select by where": (lambda a: dt.where(a > 0, a, 0.0), (real(4),)),
    "index_put": (
        lambda a, i, v: a.index_put((i,), v, accumulate=True), (real(4, 2), whole(4, 3), real(3, 2))
    ),
    "tril": (lambda a: a.tril(-1), (real(3, 3),)),
    "diagonal": (lambda a: a.diagonal() * a.diag(), (real(3, 3),)),
    "fill": (dt.fill, (real(3), real())),
    "std": (lambda a: a.std(0), (real(4, 2),)),
    "argmax": (lambda a: (a.argmax(), a.argmin(1)), (real(4, 2),)),
    "topk": (lambda a: tuple(a.topk(2, 0)), (real(4, 2),)),
    "median": (lambda a: (a.median(), *a.median(0)), (real(5, 2),)),
    "cumsum": (lambda a: (a.cumsum(1), a.cumprod(0), a.cummax(0)[0]), (real(3, 2),)),
    "searchsorted": (lambda a, v: dt.searchsorted(a.sort()[0], v), (real(5), real(3))),
    "isclose": (dt.isclose, (real(3), real(3).abs())),
    "norm": (lambda a: (a.norm(), a.norm(1, 0)), (real(3, 2),)),
    "complex": (lambda a, b: dt.view_as_real(dt.complex(a, b).exp()), (real(3), real(3))),
    "clamp": (lambda a, low: a.clamp(low, 0.5), (real(3), real(3))),
    "lerp": (dt.lerp, (real(3), real(3), real(3))),
    "float16": (lambda a: (a.half() * 2).sum(), (real(3),)),
    "in-place views": (lambda a: a.clone().unsqueeze_(0).transpose_(0, 1), (real(3),)),
    "squeeze": (lambda a: a.squeeze(), (real(1, 3, 1),)),
    "as_strided": (lambda a: a.clone().as_strided((2, 2), (1, 2), 1), (real(3, 2),)),
    "view as bytes": (lambda a: a.view(dt.int32), (real(2, 3),)),
    "channels_last": (
        lambda a: a.contiguous(memory_format=dt.channels_last) * 2, (real(1, 2, 3, 3),)
    ),
}  # fmt: skip


def outs(result: Any) -> list[Any]:
    if isinstance(result, (list, tuple)):
        return [x for r in result for x in outs(r)]
    return [result]


def scalar(made: Any) -> Any:
    parts = [y.double() for y in outs(made) if y.dtype.is_floating_point]
    return sum((y * (dt.arange(y.numel()).reshape(y.shape) + 1.0).cos()).sum() for y in parts)


def same(a: Any, b: Any, what: str) -> None:
    assert a.dtype is b.dtype, what
    assert a.shape == b.shape, what
    assert dt.allclose(a, b, rtol=1e-9, atol=1e-11, equal_nan=True), f"{what}: {a}, {b}"


@pytest.mark.parametrize("name", CASES)
def test_rows(name: str) -> None:
    function, inputs = CASES[name]
    for dims in {
        (0,) * len(inputs),
        (0, *[None] * (len(inputs) - 1)),
        (*[None] * (len(inputs) - 1), 0),
    }:
        given = [x if n == 0 else x[0] for x, n in zip(inputs, dims, strict=True)]
        rows = [
            [x[i] if n == 0 else x for x, n in zip(given, dims, strict=True)] for i in range(SIZE)
        ]
        wanted = zip(*[outs(function(*r)) for r in rows], strict=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = outs(vmap(function, dims)(*given))
        for ours, each in zip(made, wanted, strict=True):
            same(ours, dt.stack(list(each)), f"{name} {dims}")


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_gradients(name: str) -> None:
    """Inside of a vmap, through one, and a second time, for the first input."""
    function, inputs = CASES[name]
    if not inputs[0].dtype.is_floating_point or not any(
        y.dtype.is_floating_point for y in outs(function(*[x[0] for x in inputs]))
    ):
        return
    one = lambda *x: scalar(function(*x))
    twice = lambda *x: grad(lambda *x: (grad(one)(*x) ** 2).sum())(*x)
    rows = [[x[i] for x in inputs] for i in range(SIZE)]
    wanted = dt.stack([twice(*r) for r in rows])
    same(vmap(twice)(*inputs), wanted, "inside")
    through = grad(lambda *x: (vmap(grad(one))(*x) ** 2).sum())(*inputs)
    same(through, wanted, "in between")
    outer = grad(lambda *x: (grad(lambda *x: vmap(one)(*x).sum())(*x) ** 2).sum())(*inputs)
    same(outer, wanted, "through")
