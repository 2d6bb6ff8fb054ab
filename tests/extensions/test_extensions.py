"""The extension points: each example as a person would install it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.backend import Backend, registry
from dovetail.ops.schema import REGISTRY

EXAMPLES = Path(__file__).parents[2] / "examples" / "extensions"


def install(site: Any, folder: str) -> None:
    """Install an example as its pyproject says, without a network."""
    about = (EXAMPLES / folder / "pyproject.toml").read_text()
    points = re.search(r'\[project\.entry-points\."(.+)"\]\n(\w+) = "(\w+)"', about)
    assert points is not None
    group, device, module = points.groups()
    assert f'py-modules = ["{module}"]' in about
    source = (EXAMPLES / folder / f"{module}.py").read_text()
    site.install(device, source, module=module, group=group)


def module_of(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# A new operator.

NEW_OPERATOR = """
import json, sys
import numpy as np
import dovetail as dt
early = "dovetail_log_cosh" in sys.modules
dt.zeros(1)
from dovetail.autograd import gradcheck
from dovetail.ops.schema import REGISTRY

op = REGISTRY["log_cosh"]
worst, served = 0.0, {}
for device in ("cpu", "loop"):
    for kind in (dt.float32, dt.float64):
        rng = np.random.default_rng(0)
        for sample in op.samples(rng, kind):
            with dt.trace() as events:
                made = dt.log_cosh(dt.tensor(sample.args[0], device=device)).cpu().numpy()
            label = {e.served_by for e in events if e.op == "log_cosh"}
            if made.size:
                wanted = op.reference(sample.args[0].astype(np.float64))
                error = np.abs(made - wanted) / (np.finfo(made.dtype).eps * np.abs(wanted))
                worst = max(worst, float(error.max()))
                served.setdefault(device, []).extend(label)
x = dt.tensor([0.5, -2.0, 3.0], dtype=dt.float64, requires_grad=True)
half = dt.tensor([3.0], dtype=dt.float16)
with dt.trace() as events:
    half.log_cosh()
print(json.dumps({
    "early": early, "worst": worst, "served": {k: sorted(set(v)) for k, v in served.items()},
    "half": [e.served_by for e in events if e.op == "log_cosh"],
    "gradient": gradcheck(dt.log_cosh, (x,)), "method": x.log_cosh().tolist(),
    "in_place": dt.tensor([1.0]).log_cosh_().item(),
    "whole": str(dt.ones(2).int().log_cosh().dtype),
}))
"""


def test_a_new_operator(site: Any) -> None:
    install(site, "new_operator")
    site.install_loopback()
    seen = site.json(NEW_OPERATOR)
    assert not seen["early"], "import dovetail imported the overlay"
    assert 0 < seen["worst"] <= 8
    # The loopback device forwards to the cpu's table, so it has the kernel too.
    assert seen["served"]["cpu"] == ["fused"]
    assert seen["half"] == ["decomposed"]
    assert seen["gradient"] is True
    assert seen["method"] == pytest.approx(np.log(np.cosh([0.5, -2.0, 3.0])))
    assert seen["in_place"] == pytest.approx(np.log(np.cosh(1)))
    assert seen["whole"] == "torch.float32"


# A fused override.


def test_a_fused_override(need_device: Any) -> None:
    need_device("loop")
    from dovetail_loopback import LoopbackRuntime
    from dovetail_loopback.kernels import forwarding_table

    example = module_of(EXAMPLES / "fused_override" / "softplus.py")

    class Runtime(LoopbackRuntime):
        """Loopback with the example's kernel among the cpu's."""

        def kernels(self) -> Any:
            table = registry.get("cpu").table.copy()
            table.remove("softplus")  # which it has of many elements
            example.enter(table)
            return forwarding_table(table, "strided")

    registry.register("fusing", Backend(Runtime()))
    try:
        x = np.linspace(-30, 30, 25)
        reference = REGISTRY["softplus"].reference
        assert reference is not None
        served = {}
        for beta in (1.0, 2.0):
            for kind in (dt.float32, dt.bfloat16):
                with dt.trace() as events:
                    y = dt.nn.functional.softplus(
                        dt.tensor(x, dtype=kind, device="fusing"), beta=beta
                    )
                served[beta, kind] = next(e.served_by for e in events if e.op == "softplus")
                if kind is dt.float32:
                    wanted = reference(x.astype(np.float32).astype(float), beta)
                    np.testing.assert_allclose(y.cpu().numpy(), wanted, rtol=2e-6)
        fused = [key for key, label in served.items() if label == "fused"]
        assert fused == [(1.0, dt.float32)]
        assert set(served.values()) == {"fused", "decomposed"}
        z = dt.tensor(x, device="fusing", requires_grad=True)
        dt.nn.functional.softplus(z).sum().backward()
        slope = 1 / (1 + np.exp(-x))
        np.testing.assert_allclose(z.grad.cpu().numpy(), slope, rtol=1e-6)
    finally:
        registry.unregister("fusing")


# An overlay.

OVERLAY = """
import json, sys
import dovetail as dt
early = "dovetail_quick_softsign" in sys.modules
x = dt.linspace(-5, 5, 40000)
f = dt.nn.functional.softsign
with dt.trace() as events:
    y = f(x)
    f(dt.ones(6, dtype=dt.float64).reshape(2, 3).t())
    f(x.bfloat16())
from dovetail.backend import registry
[record] = [r for r in registry.report() if r.name == "cpu"]
print(json.dumps({
    "early": early,
    "served": [e.served_by for e in events if e.op == "softsign"],
    "error": float((y - x / (1 + x.abs())).abs().max()),
    "overlays": [[o.name, o.status, list(o.kernels)] for o in record.overlays],
}))
"""


def test_an_overlay(site: Any) -> None:
    install(site, "overlay")
    seen = site.json(OVERLAY)
    assert not seen["early"], "import dovetail imported the overlay"
    assert seen["served"] == ["fused", "fused", "decomposed"]  # not of bfloat16
    assert seen["error"] < 1e-6
    assert ["dovetail_quick_softsign", "applied", ["softsign"]] in seen["overlays"]
    listed = site.command("devices").stdout
    assert "overlay dovetail_quick_softsign applied (1 kernels)" in " ".join(listed.split())
    without = site.json(OVERLAY, DOVETAIL_DISABLE="dovetail_quick_softsign")
    assert without["served"] == ["decomposed"] * 3
    assert ["dovetail_quick_softsign", "disabled", []] in without["overlays"]
    by_distribution = site.json(OVERLAY, DOVETAIL_DISABLE="dovetail-quick-softsign")
    assert by_distribution["served"] == without["served"]
    complaints = site.command("doctor", DOVETAIL_DISABLE="dovetail_quick_softsign")
    assert "no plugin offers" not in complaints.stdout
    assert complaints.returncode == 0
