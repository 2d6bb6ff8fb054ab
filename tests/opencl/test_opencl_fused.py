"""Composites that have kernels of their own: labels, and both classes of device beside PyTorch.

Values and gradients in all layouts are the conformance suite's; here are the sizes at which a
kernel does something else: vectors and their rest, several teams, several groups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

CASES = """
import numpy as np
import torch
import dovetail as dt

random = np.random.default_rng(0)

def beside(function, *shapes, whole=(), kind="float32", bound=1e-5):
    "``function(torch, *tensors)`` and the gradients of its first result, on both."
    arrays = [random.standard_normal(shape) for shape in shapes]
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        dtype = getattr(library, kind)
        make = lambda a: library.tensor(a, dtype=dtype, device=device).requires_grad_()
        tensors = [make(a) for a in arrays]
        extra = [library.tensor(a, device=device) for a in whole]
        out = function(library, *tensors, *extra)
        # Weights that differ: of what is normalised the sum of squares has no gradient.
        ramp = np.cos(np.arange(out.numel())).reshape(tuple(out.shape))
        (out * out * library.tensor(ramp, dtype=dtype, device=device)).sum().backward()
        rows = [out, *(t.grad for t in tensors if t.grad is not None)]
        found.append([r.detach().cpu().double().numpy() for r in rows])
    for i, (ours, theirs) in enumerate(zip(*found, strict=True)):
        error = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)
        assert error < bound, (function.__name__, shapes, kind, i, error)

F = lambda library: library.nn.functional
"""

CHECKS = {
    "softmax": """
def softmax(library, x): return F(library).softmax(x, 1)
def log_softmax(library, x): return F(library).log_softmax(x, 1)
for shape in ((3, 7), (5, 300), (2, 9, 37), (2, 20, 3)):
    beside(softmax, shape)
    beside(log_softmax, shape)
beside(softmax, (5, 300), kind="bfloat16", bound=5e-2)
""",
    "layer_norm": """
def layer_norm(library, x, w, b): return F(library).layer_norm(x, w.shape, w, b)
def rms_norm(library, x, w): return F(library).rms_norm(x, w.shape, w, eps=1e-5)
for rows, n in ((3, 7), (200, 150)):
    beside(layer_norm, (rows, n), (n,), (n,))
    beside(rms_norm, (rows, n), (n,))
""",
    "batch_norm": """
def train(library, x, w, b): return F(library).batch_norm(x, None, None, w, b, True)
def evaluate(library, x, w, b, m, v):
    return F(library).batch_norm(x, m.detach(), v.detach() ** 2 + 0.5, w, b, False)
for shape in ((6, 3), (5, 40), (4, 3, 50), (3, 2, 5, 9)):
    c = shape[1]
    beside(train, shape, (c,), (c,))
    beside(evaluate, shape, (c,), (c,), (c,), (c,))
""",
    "cross_entropy": """
for shape in ((9, 5), (7, 100), (2, 5, 33)):
    places = (shape[0], *shape[2:])
    target = random.integers(0, shape[1], places)
    target.reshape(-1)[1] = -100
    for reduction in ("mean", "sum", "none"):
        def smoothed(library, x, w, t):
            options = {"reduction": reduction, "label_smoothing": 0.1}
            return F(library).cross_entropy(x, t, w.detach() ** 2 + 0.5, **options)
        def nll(library, x, t): return F(library).nll_loss(x, t, reduction=reduction)
        beside(smoothed, shape, (shape[1],), whole=(target,))
        beside(nll, shape, whole=(target,))
many = random.integers(0, 7, 6000)
def plain(library, x, t): return F(library).cross_entropy(x, t)
beside(plain, (6000, 7), whole=(many,), bound=3e-5)
""",
    "pool": """
def largest(library, x): return F(library).max_pool2d(x, 3, 2, 1)
def mean(library, x): return F(library).avg_pool2d(x, 3, 2, 1, count_include_pad=False)
def long(library, x): return F(library).avg_pool1d(x.flatten(2), 4)
for function in (largest, mean, long):
    beside(function, (3, 4, 9, 11))
""",
    "embedding": """
rows = random.integers(0, 50, (7, 40))
def embedding(library, w, i): return F(library).embedding(i, w, padding_idx=2)
def select(library, x, i): return x.index_select(1, i)
beside(embedding, (50, 33), whole=(rows,))
beside(select, (3, 50, 19), whole=(rows[0],))
""",
    "cat": """
def rows(library, *x): return library.cat(x, 0)
def columns(library, *x): return library.cat(x, 1)
def parts(library, x, y): return library.cat([x[:, 1:4], y[::2, :, :2], x], 1)
beside(rows, (3, 5), (1, 5), (70, 5))
beside(columns, (3, 5), (3, 1), (3, 90))
beside(columns, *[(40, n, 6) for n in range(1, 10)])  # more than one launch takes
beside(columns, *[(2000, n, 2) for n in (1, 3, 2)], kind="float64")
beside(columns, (6, 4), (6, 300), kind="bfloat16", bound=2e-2)
def with_nothing(library, x, y): return library.cat([x, y[:, :0], y, x[:, 5:]], 1)
beside(with_nothing, (3, 5), (3, 7))
def halved(library, x): return library.cat(x.chunk(2, 1)[::-1], 1)
beside(halved, (5, 8))
beside(parts, (3, 5, 2), (6, 4, 3))
""",
    "rows that come again": """
def joined(library, x, y): return library.cat([x.expand(2, 3, 12), y], 2)
def product(library, x, w): return F(library).linear(x.expand(2, 3, 12), w)
def by_vector(library, x, v): return x.expand(2, 3, 12) @ v
beside(joined, (2, 1, 12), (2, 3, 4))
beside(product, (2, 1, 12), (5, 12))
beside(by_vector, (2, 1, 12), (12,))
""",
    "attention": """
hidden = random.random((5, 21)) < 0.6
hidden[:, 0] = True
def causal(library, q, k, v):
    return F(library).scaled_dot_product_attention(q, k, v, is_causal=True)
def masked(library, q, k, v, mask):
    return F(library).scaled_dot_product_attention(q, k, v, attn_mask=mask)
beside(causal, (2, 20, 6), (2, 20, 6), (2, 20, 17))
beside(masked, (2, 5, 6), (2, 21, 6), (2, 21, 17), whole=(hidden,))
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_pytorch_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


def _fused(function: Callable[[], Any]) -> set[str]:
    function()
    with dt.trace() as events:
        function()
    return {e.op for e in events if e.served_by == "fused"}


def test_labels_say_fused(opencl: dt.device) -> None:
    functional: Any = dt.nn.functional
    x = dt.randn(4, 8, device=opencl, requires_grad=True)
    image = dt.randn(2, 3, 6, 6, device=opencl, requires_grad=True)
    target = dt.tensor([0, 1, 2, 3], device=opencl)
    table = dt.randn(5, 8, device=opencl, requires_grad=True)
    wanted: dict[str, Callable[[], Any]] = {
        "softmax": lambda: x.softmax(1),
        "log_softmax": lambda: x.log_softmax(1),
        "cross_entropy": lambda: functional.cross_entropy(x, target),
        "nll_loss": lambda: functional.nll_loss(x, target),
        "layer_norm": lambda: functional.layer_norm(x, (8,)),
        "rms_norm": lambda: functional.rms_norm(x, (8,), eps=1e-5),
        "batch_norm_train": lambda: functional.batch_norm(image, None, None, training=True),
        "scaled_dot_product_attention": lambda: functional.scaled_dot_product_attention(x, x, x),
        "embedding": lambda: functional.embedding(target, table),
    }
    for name, function in wanted.items():
        backward = lambda function=function: function().sum().backward()
        seen = _fused(backward)
        if name != "embedding":  # its forward is a view of index_select
            assert name in seen, seen
        assert f"{name}_backward" in seen, seen
    assert {"max_pool", "max_pool_grad"} <= _fused(
        lambda: functional.max_pool2d(image, 2).sum().backward()
    )
    assert {"avg_pool", "avg_pool_grad"} <= _fused(
        lambda: functional.avg_pool2d(image, 2).sum().backward()
    )
    assert "cat" in _fused(lambda: x.chunk(4, 1)[1].sum().backward() or dt.cat((x, x)))
    assert "random_noise" in _fused(lambda: functional.dropout(x, 0.5))
    assert "random_normal" in _fused(lambda: dt.randn(5, device=opencl))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
        ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
        ("AdamW", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
    ],
)
def test_a_step_of_eleven_tensors_is_two_launches(
    queue: Any, kind: str, rule: str, options: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    shapes = [(3, 4), (17,), (), (1000,), (5, 5), (2,), (7,), (9, 9), (4,), (0, 3), (33,)]
    values = [random.standard_normal(shape) for shape in shapes]
    slopes = [[random.standard_normal(shape) for shape in shapes] for _ in range(3)]
    launches: list[int] = []

    def run(library: Any, device: str) -> list[Any]:
        make = lambda a: library.tensor(a, dtype=getattr(library, kind), device=device)
        params = [make(a).requires_grad_() for a in values]
        whole = make(np.concatenate([[0.0, 0.0], values[3]]))
        params[3] = whole[2:].detach().requires_grad_()  # one that begins inside of its memory
        optimizer = getattr(library.optim, rule)(params, **options)
        for slope in slopes:
            for p, g in zip(params, slope, strict=True):
                p.grad = make(g)
            before = queue.launches
            optimizer.step()
            launches.append(queue.launches - before)
        return [p.detach().cpu().numpy() for p in params]

    found = [run(dt, "opencl:0"), run(torch, "cpu")]
    assert launches[2] == 2
    bound = 1e-6 if kind == "float32" else 1e-14
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=bound, atol=bound)


def test_targets_and_rows_out_of_range_reach_no_other_memory(opencl: dt.device) -> None:
    functional: Any = dt.nn.functional
    x = dt.zeros(3, 4, device=opencl, requires_grad=True)
    target = dt.tensor([1, 9, -3], device=opencl)
    loss = functional.cross_entropy(x, target, reduction="sum")
    loss.backward()
    with pytest.raises(IndexError, match=r"Target 9 is out of bounds\."):
        loss.item()
    assert loss.item() == pytest.approx(np.log(4))
    assert x.grad is not None
    assert x.grad[1:].abs().sum().item() == 0
    rows = dt.ones(3, 5, device=opencl).index_select(0, dt.tensor([2, 7, -1], device=opencl))
    with pytest.raises(IndexError, match="index out of range in self: index 7, size 3"):
        dt.opencl.synchronize()
    assert rows.sum(1).tolist() == [5, 0, 0]


@pytest.mark.parametrize("is_cast", [False, True], ids=["plain", "autocast"])
def test_running_statistics_are_of_the_same_launch(queue: Any, is_cast: bool) -> None:
    x = dt.randn(4, 5, 6, 6)
    here, there = dt.nn.BatchNorm2d(5), dt.nn.BatchNorm2d(5).to("opencl:0")
    moved = x.to("opencl:0")
    for _ in range(3):
        here(x)
        before = queue.launches
        with dt.autocast("opencl", dtype=dt.bfloat16, enabled=is_cast):
            there(moved)
    assert queue.launches == before + 1  # with both statistics and the count of batches
    for name in ("running_mean", "running_var"):
        made, wanted = getattr(there, name).cpu().numpy(), getattr(here, name).numpy()
        np.testing.assert_allclose(made, wanted, rtol=1e-6, atol=1e-7)
    assert there.num_batches_tracked.item() == 3


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: dt.nn.Linear(8, 8), (4, 8)),
        (lambda: dt.nn.Linear(2048, 64, bias=False), (8, 2048)),
        (lambda: dt.nn.Linear(512, 512), (2048, 512)),
        (lambda: dt.nn.Conv2d(3, 64, 3, padding=1), (2, 3, 32, 32)),
        (lambda: dt.nn.Conv2d(32, 32, 3, padding=1), (2, 32, 14, 14)),
        (lambda: dt.nn.Conv2d(32, 48, 5, padding=2, bias=False), (2, 32, 14, 14)),
        (lambda: dt.nn.Conv2d(32, 32, 3, padding=1, groups=32), (2, 32, 14, 14)),
        (lambda: dt.nn.Conv2d(32, 32, 3, padding=1, groups=32), (1, 32, 200, 200)),
        (lambda: dt.nn.Conv2d(32, 48, 1, stride=2), (2, 32, 14, 14)),
        (lambda: dt.nn.Conv2d(32, 48, 3, dtype=dt.float64), (2, 32, 14, 14)),
        (lambda: dt.nn.Conv2d(32, 48, 3, dtype=dt.float16), (2, 32, 14, 14)),
    ],
)
def test_a_relu_behind_a_layer_is_no_launch(
    opencl: Any, queue: Any, layer: Any, shape: Any
) -> None:
    dt.manual_seed(0)
    made = layer().to(opencl)
    x = dt.randn(*shape).to(opencl, made.weight.dtype)
    launches = []
    with dt.no_grad():
        for run in (made, dt.nn.Sequential(made, dt.nn.ReLU())):
            run(x)
            before = queue.launches
            out = run(x)
            launches.append(queue.launches - before)
        assert launches[0] == launches[1]
        assert (out == 0).any()
        assert out.equal(made(x).relu())
