"""An overlay that fails leaves the device its own kernels, and everybody can see it."""

from __future__ import annotations

from typing import Any

import pytest

GOOD = """
import numpy as np
from dovetail.backend import hookimpl

def doubled(x, y, out):
    np.add(x, y, out)
    np.multiply(out, 2, out)

@hookimpl
def dovetail_overlay(device, table):
    table.add("add", doubled)
"""
BROKEN = {
    "a module that is missing": ("import absent_library\n" + GOOD, "ModuleNotFoundError"),
    "an exception in the hook": (GOOD + "    raise OSError('no such core')\n", "OSError"),
    "an exit": ("raise SystemExit('no licence')\n" + GOOD, "SystemExit"),
    "a misspelt hook": (GOOD.replace("dovetail_overlay", "dovetail_overlai"), "NameError"),
    "no hook": (GOOD.replace("@hookimpl\n", ""), "NameError"),
}
PROBE = """
import json, warnings
import dovetail as dt
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    total = (dt.ones(2) + 1).tolist()
    again = (dt.ones(2) + 1).tolist()
from dovetail.backend import registry
record = next(r for r in registry.report() if r.name == "cpu")
print(json.dumps({"total": total, "again": again, "warnings": [str(w.message) for w in caught],
                  "status": record.status,
                  "overlays": {o.name: [o.status, o.reason] for o in record.overlays}}))
"""


@pytest.mark.parametrize("case", BROKEN)
def test_broken(site: Any, case: str) -> None:
    source, error = BROKEN[case]
    site.install("cpu", source, module="dovetail_faster", group="dovetail.overlays")
    seen = site.json(PROBE)
    assert seen["total"] == seen["again"] == [2.0, 2.0]
    assert seen["status"] == "available"
    [warning] = seen["warnings"]
    assert warning.startswith(f"cpu: the overlay dovetail_faster failed: {error}: ")
    assert "so it has its own kernels only; " in warning
    assert warning.endswith("or set DOVETAIL_DISABLE=dovetail_faster")
    assert seen["overlays"]["dovetail_faster"][0] == "failed"
    quiet = site.json(PROBE, DOVETAIL_DISABLE="dovetail_faster")
    assert quiet["warnings"] == []
    assert quiet["overlays"]["dovetail_faster"][0] == "disabled"


def test_doctor_and_devices_say_so(site: Any) -> None:
    site.install(
        "cpu", BROKEN["an exception in the hook"][0], module="dovetail_faster",
        group="dovetail.overlays",
    )  # fmt: skip
    told = site.command("doctor", "cpu")
    assert told.returncode == 1
    words = " ".join(told.stdout.split())
    assert "the overlay dovetail_faster failed: OSError: no such core" in words
    assert "pip install --upgrade --force-reinstall dovetail-faster" in words
    listed = " ".join(site.command("devices").stdout.split())
    assert "overlay dovetail_faster failed (OSError: no such core)" in listed


def test_strict(site: Any) -> None:
    site.install(
        "cpu", BROKEN["an exception in the hook"][0], module="dovetail_faster",
        group="dovetail.overlays",
    )  # fmt: skip
    done = site.run("-c", "import dovetail as dt; dt.ones(2)", DOVETAIL_STRICT="1")
    assert done.returncode == 1
    assert "BackendUnavailable: DOVETAIL_STRICT: cpu: the overlay dovetail_faster" in done.stderr
    assert "OSError: no such core" in done.stderr
    again = "import dovetail as dt\nfor _ in range(2):\n    try: dt.ones(2)\n"
    again += "    except RuntimeError as e: print(type(e).__name__)"
    both = site.run("-c", again, DOVETAIL_STRICT="1")
    assert both.stdout.split() == ["BackendUnavailable"] * 2


def test_one_overlay_for_every_device(site: Any) -> None:
    site.install_loopback()
    site.install("*", GOOD, module="dovetail_faster", group="dovetail.overlays")
    code = "import json, dovetail as dt\n"
    code += "print(json.dumps([(dt.ones(2, device=d) + 1).tolist() for d in ('cpu', 'meta')\n"
    code += "                  if d != 'meta'] + [str((dt.ones(2, device='meta') + 1).shape)]))"
    assert site.json(code) == [[4.0, 4.0], "torch.Size([2])"]


def test_the_device_s_own_overlay_goes_before_one_for_all(site: Any) -> None:
    tripled = GOOD.replace("(out, 2, out)", "(out, 3, out)")
    site.install("*", GOOD, module="dovetail_faster", group="dovetail.overlays")
    site.install("cpu", tripled, module="dovetail_also", group="dovetail.overlays")
    code = "import json, dovetail as dt\nprint(json.dumps((dt.ones(1) + 1).tolist()))"
    assert site.json(code) == [6.0]


def test_a_half_done_overlay_leaves_nothing(site: Any) -> None:
    source = GOOD + "    table.remove('mul')\n    raise ValueError('later')\n"
    site.install("cpu", source, module="dovetail_faster", group="dovetail.overlays")
    code = "import json, warnings, dovetail as dt\nwarnings.simplefilter('ignore')\n"
    code += "print(json.dumps(((dt.ones(1) + 1) * 3).tolist()))"
    assert site.json(code) == [6.0]
