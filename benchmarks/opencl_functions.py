"""What queueing functions that are several operators costs on an OpenCL device, with slopes.

    python benchmarks/opencl_functions.py [--only kron,det] [--device 0]

The thread's processor time per call as ``opencl_every.py`` takes it, of 8 x 8 float32: forward
without gradients, and backward alone; launches behind each.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from opencl_every import timed

import dovetail as dt
from dovetail_opencl.runtime import device_of

F: Any = dt.nn.functional
A: Any = dt.linalg

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "isclose": dt.isclose,
    "allclose": dt.allclose,
    "nansum": lambda x, y: x.nansum(0),
    "nanmean": lambda x, y: x.nanmean(0),
    "gumbel_softmax": lambda x, y: F.gumbel_softmax(x),
    "gumbel_softmax, hard": lambda x, y: F.gumbel_softmax(x, hard=True),
    "cross_entropy": lambda x, y: F.cross_entropy(x, y.detach()),
    "mse_loss": lambda x, y: F.mse_loss(x, y, weight=x.detach()),
    "cross": lambda x, y: A.cross(x[:, :3], y[:, :3]),
    "outer": lambda x, y: dt.outer(x[0], y[0]),
    "kron": dt.kron,
    "block_diag": lambda x, y: dt.block_diag(x, y, x),
    "normalize": lambda x, y: F.normalize(x),
    "cosine_similarity": lambda x, y: F.cosine_similarity(x, y),
    "weight_norm": lambda x, y: dt.ops.weight_norm(x, y[:, :1], dim=0),
    "spectral_norm": lambda x, y: dt.ops.spectral_norm(x, y[0].detach(), y[1].detach(), dim=0),
    "local_response_norm": lambda x, y: F.local_response_norm(x[None], 3),
    "pad, reflect": lambda x, y: F.pad(x[None], (1, 1), mode="reflect"),
    "unique": lambda x, y: dt.unique(x.detach()),
    "unique_consecutive": lambda x, y: dt.unique_consecutive(x.detach()),
    "histogram": lambda x, y: dt.histogram(x.detach(), 4)[0],
    "histogram, range": lambda x, y: dt.histogram(x.detach(), 4, range=(0.0, 1.0))[0],
    "tensordot": lambda x, y: dt.tensordot(x, y, 1),
    "einsum": lambda x, y: dt.einsum("bhqd,bhkd->bhqk", x.view(2, 2, 4, 4), y.view(2, 2, 4, 4)),
    "gradient": lambda x, y: dt.gradient(x)[0],
    "det": lambda x, y: A.det(x),
    "slogdet": lambda x, y: A.slogdet(x)[1],
    "inv_ex": lambda x, y: A.inv_ex(x)[0],
    "solve_ex": lambda x, y: A.solve_ex(x, y)[0],
    "lu_factor_ex": lambda x, y: A.lu_factor_ex(x)[0],
    "lu_solve": lambda x, y: A.lu_solve(*A.lu_factor_ex(x.detach())[:2], y),
    "lu_unpack": lambda x, y: dt.lu_unpack(*A.lu_factor_ex(x.detach())[:2])[1],
    "lstsq": lambda x, y: A.lstsq(x, y)[0],
    "pinv": lambda x, y: A.pinv(x),
    "cholesky_ex": lambda x, y: A.cholesky_ex(x @ x.t() + 1)[0],
    "qr": lambda x, y: A.qr(x)[0],
    "svd": lambda x, y: A.svd(x)[0],
    "eigh": lambda x, y: A.eigh(x)[1],
}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--device", type=int, default=0)
    chosen = parser.parse_args()
    queue, device = device_of(chosen.device), f"opencl:{chosen.device}"
    x, y = dt.rand(2, 8, 8, device=device) + dt.eye(8, device=device)
    print(f"{'':24}{'us':>8}  launches   backward  launches")
    for name, call in CALLS.items():
        if chosen.only and name not in chosen.only.split(","):
            continue
        row = f"{name:24}{'{:8.1f}{:8.1f}'.format(*timed(queue, lambda f=call: f(x, y)))}"
        given = [t.detach().requires_grad_() for t in (x, y)]
        made = call(*given)
        if isinstance(made, dt.Tensor) and made.requires_grad:
            ones = dt.ones_like(made)
            back = timed(
                queue,
                lambda m=made, o=ones, g=given: dt.autograd.grad(
                    m, g, o, retain_graph=True, allow_unused=True
                ),
            )
            row += "{:13.1f}{:8.1f}".format(*back)
        print(row)


if __name__ == "__main__":
    main()
