"""Write the golden gradients and losses that the conformance suite compares with.

    python conformance/make_goldens.py

They come from PyTorch in float64 (the version is in the files); ``tests/parity`` computes them
again and compares.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GOLDENS = HERE / "dovetail_conformance" / "goldens"

__all__ = ["kinks", "main", "training"]


def _plain(value: Any) -> Any:
    """Nested lists that JSON can hold."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value if math.isfinite(value) else str(value)


def kinks() -> dict[str, Any]:
    """PyTorch's gradients of every call in ``dovetail_conformance.kinks``."""
    import torch

    from dovetail_conformance.kinks import KINKS, run

    def make(numbers: Any) -> Any:
        return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)

    made = {}
    for name in KINKS:
        grads = run(torch, name, make)
        made[name] = [None if g is None else _plain(g.numpy(force=True).tolist()) for g in grads]
    return {"torch": torch.__version__.split("+")[0], "gradients": made}


def training() -> dict[str, Any]:
    """PyTorch's losses and final norms of every network in ``dovetail_conformance.networks``."""
    import torch

    from dovetail_conformance.networks import NETWORKS, STEPS, Training

    made = {}
    for name in NETWORKS:
        run = Training(torch, name, torch.float64, "cpu")
        for _ in range(STEPS):
            run.step()
        made[name] = {"losses": run.losses, "norm": run.norm()}
    return {"torch": torch.__version__.split("+")[0], "networks": made}


def main() -> None:
    """Write both files."""
    sys.path.insert(0, str(HERE))
    GOLDENS.mkdir(exist_ok=True)
    for name, made in (("kinks", kinks()), ("training", training())):
        path = GOLDENS / f"{name}.json"
        path.write_text(json.dumps(made, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
