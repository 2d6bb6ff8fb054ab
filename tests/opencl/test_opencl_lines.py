"""Lines that teams of a GPU read once, by packs, and long ones that they read twice; optimizers."""

from __future__ import annotations

from collections.abc import Callable

LINES = """
import numpy as np
import dovetail as dt
import dovetail.nn.functional as F
from dovetail_kernels.fused.lines import Lines

made = []
usual = Lines.__init__
def noted(self, *args, **options):
    usual(self, *args, **options)
    made.append((self.width, self.held))
Lines.__init__ = noted
rng = np.random.default_rng(0)
for n, first, kind in (
    (36, 0, dt.float32), (37, 0, dt.float32), (9001, 0, dt.float32), (36, 1, dt.float32),
    (40, 0, dt.bfloat16), (36, 0, dt.float64),
):
    x = rng.normal(0, 3, 5 * n + first)
    g, w, b = rng.normal(size=(5, n)), rng.normal(size=n), rng.normal(size=n)
    x[first + 3] = -np.inf
    if kind is dt.bfloat16:
        x, g, w, b = (dt.tensor(a).bfloat16().double().numpy() for a in (x, g, w, b))
    target = np.array([0, n - 1, 5, -100, 7])
    for name in ("softmax", "log_softmax", "layer_norm", "rms_norm", "cross_entropy"):
        if "norm" in name or name == "cross_entropy":
            x[first + 3] = 1.0
        found = []
        for device, dtype in (("cpu", dt.float64), ("opencl:0", kind)):
            make = lambda a: dt.tensor(a, dtype=dtype, device=device)
            leaf = make(x)[first:].view(5, n).detach().requires_grad_(True)
            weight, bias = make(w).requires_grad_(True), make(b).requires_grad_(True)
            own = []
            if name == "layer_norm":
                own = [weight, bias]
                y = F.layer_norm(leaf, (n,), *own)
            elif name == "rms_norm":
                own = [weight]
                y = F.rms_norm(leaf, (n,), weight, eps=1e-5)
            elif name == "cross_entropy":
                goal = dt.tensor(target, device=device)
                y = F.cross_entropy(leaf, goal, reduction="none", label_smoothing=0.1)
            else:
                y = getattr(F, name)(leaf, -1)
            grad = make(g if y.ndim == 2 else g[:, 0])
            grads = dt.autograd.grad(y, [leaf, *own], grad)
            found.append([t.detach().cpu().double().numpy() for t in (y, *grads)])
        tolerance = {dt.float32: 2e-5, dt.float64: 1e-12, dt.bfloat16: 3e-2}[kind]
        for must, have in zip(*found):
            there = np.isfinite(must)
            assert (np.isfinite(have) == there).all(), (n, first, kind, name)
            must, have = must[there], have[there]
            wrong = np.abs(must - have).max() / np.abs(must).max()
            assert wrong <= tolerance, (n, first, kind, name, wrong)
assert {(4, 1), (1, 2), (8, 1), (2, 1)} <= set(made), set(made)
assert any(not held for _, held in made)
"""

STEPS = """
import numpy as np
import dovetail as dt

rng = np.random.default_rng(0)
shapes = [(3,), (4096,), (4097,), (0,), (130, 70), (5, 7), (2, 2), (768,), (33,), (9000,)]
for kind, options in (
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}), ("AdamW", {}),
    ("AdamW", {"capturable": True}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
):
    values = [rng.normal(size=s) for s in shapes]
    grads = [rng.normal(size=s) for s in shapes]
    found = []
    for device, dtype in (("cpu", dt.float64), ("opencl:0", dt.float32)):
        params = [dt.nn.Parameter(dt.tensor(v, dtype=dtype, device=device)) for v in values]
        rule = getattr(dt.optim, kind)(params, lr=0.1, **options)
        for step in range(3):
            for p, g in zip(params, grads):
                p.grad = dt.tensor(g + step, dtype=dtype, device=device)
            rule.step()
        found.append([p.detach().cpu().double().numpy() for p in params])
    for must, have in zip(*found):
        assert np.allclose(must, have, rtol=1e-5, atol=1e-5), (kind, options, must.shape)
"""


def test_lines_are_those_of_the_host(fresh: Callable[..., str]) -> None:
    fresh(LINES, DOVETAIL_OPENCL_CLASS="gpu")


def test_steps_over_many_tensors_are_those_of_the_host(fresh: Callable[..., str]) -> None:
    fresh(STEPS, DOVETAIL_OPENCL_CLASS="gpu")
