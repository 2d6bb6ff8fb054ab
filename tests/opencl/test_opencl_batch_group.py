"""batch_norm whose channels are shared out among work groups, as on GPUs."""

from __future__ import annotations

from collections.abc import Callable

PROGRAM = """
import numpy as np
import dovetail as dt
import dovetail.nn.functional as F
from dovetail_kernels.fused import batch_group

asked = []
for name in ("specialised", "step"):
    usual = getattr(batch_group, name)
    counted = lambda facts, usual=usual: asked.append(facts.op.name) or usual(facts)
    setattr(batch_group, name, counted)
rng = np.random.default_rng(0)
for shape, kind, has in (
    ((16, 3, 32, 33), dt.float32, True), ((70, 5, 8, 9), dt.float32, False),
    ((3, 2, 100, 37), dt.float64, True), ((4099, 2), dt.float32, True),
    ((16, 3, 20, 20), dt.float16, True),
):
    x = rng.normal(30, 2, shape)
    g = rng.normal(size=shape)
    w, b = (rng.normal(size=shape[1]) for _ in range(2))
    halves = kind is dt.float16
    found = []
    for device, dtype in (("cpu", dt.float64), ("opencl:0", kind)):
        if halves:
            x, g = (a.astype(np.float16).astype(np.float64) for a in (x, g))
        make = lambda a, d: dt.tensor(a, dtype=d, device=device, requires_grad=True)
        of = dt.float32 if halves and device != "cpu" else dtype
        t, weight, bias = make(x, dtype), make(w, of), make(b, of)
        mean, var = (dt.zeros(shape[1], dtype=of, device=device) for _ in range(2))
        pair = (weight, bias) if has else (None, None)
        y = F.batch_norm(t, mean, var, *pair, training=True, momentum=1.0)
        (y * dt.tensor(g, dtype=dtype, device=device)).sum().backward()
        grads = [p.grad for p in (t, *pair) if p is not None]
        found.append([a.detach().cpu().double().numpy() for a in (y, mean, var, *grads)])
    tolerance = {dt.float32: 2e-5, dt.float64: 1e-11, dt.float16: 5e-3}[kind]
    for must, have in zip(*found):
        size = np.abs(must).max()
        assert np.abs(must - have).max() <= tolerance * size, (shape, kind, must, have)
assert len(asked) == 10, asked
"""


def test_values_and_gradients_are_those_of_the_host(fresh: Callable[..., str]) -> None:
    fresh(PROGRAM, DOVETAIL_OPENCL_CLASS="gpu")
