"""A process that was forked from one that uses OpenCL: a sentence in place of waiting for ever."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

SAYS = "opencl:0: this process was forked from one that uses the device"

CHILD = """
import gc, os, warnings
import dovetail as dt

def said(work):
    try:
        work()
    except RuntimeError as error:
        return str(error).partition(", ")[0]

{parent}
warnings.simplefilter("ignore")  # that there are threads
child = os.fork()
if not child:
    tries = [{tries}]
    print(*[said(work) for work in tries], sep="\\n", flush=True)
    gc.collect()
    assert (dt.ones(3) + 1).tolist() == [2.0] * 3
    raise SystemExit
assert os.waitpid(child, 0)[1] == 0
{after}
"""

USED = """
x = dt.ones(4, device='opencl:0')
big = dt.zeros(1 << 20, device='opencl:0')
y = x + big.sum()
"""
TRIES = (
    "lambda: x + x", "lambda: x.add_(1)", "x.tolist", "x.clone", "lambda: x @ x",
    "dt.opencl.synchronize", "lambda: dt.randn(5, device='opencl')",
    "lambda: dt.zeros(1 << 22, device='opencl')",
    "lambda: dt.nn.Conv2d(3, 4, 3).to('opencl:0')", "lambda: globals().pop('big')[3].item()",
)  # fmt: skip


def test_whatever_a_child_asks_for_is_refused(fresh: Callable[..., str]) -> None:
    """What it forgets is the parent's, which goes on."""
    after = "print((x + x).tolist())"
    lines = fresh(CHILD.format(parent=USED, tries=", ".join(TRIES), after=after)).splitlines()
    assert lines == [SAYS] * len(TRIES) + ["[2.0, 2.0, 2.0, 2.0]"]


def test_a_device_that_the_parent_only_asked_for(fresh: Callable[..., str]) -> None:
    """Drivers have threads from the moment they are asked for devices."""
    parent = "assert dt.opencl.device_count() > 0"
    tries = "lambda: dt.ones(3, device='opencl:0')"
    assert fresh(CHILD.format(parent=parent, tries=tries, after="")).splitlines() == [SAYS]


def test_a_child_may_be_the_first_to_use_it(fresh: Callable[..., str]) -> None:
    tries = "lambda: dt.ones(3, device='opencl:0') + 1"
    assert fresh(CHILD.format(parent="", tries=tries, after="")).splitlines() == ["None"]


LOADER = """
import warnings
import dovetail as dt
from dovetail.utils.data import DataLoader, Dataset

class Made(Dataset):
    def __len__(self): return 4
    def __getitem__(self, i): return dt.full((2,), float(i), device="{device}")

if __name__ == "__main__":
    dt.ones(3, device="opencl:0").sum().item()
    warnings.simplefilter("ignore")
    try:
        list(DataLoader(Made(), 2, num_workers=1))
    except RuntimeError as error:
        print(str(error).splitlines()[-1])
    print(sum(batch.sum().item() for batch in DataLoader(Made(), 2)))
"""


def test_a_worker_says_it(fresh: Callable[..., str]) -> None:
    first, second = fresh(LOADER.format(device="opencl:0")).splitlines()
    assert first.startswith(f"RuntimeError: {SAYS}")
    assert "multiprocessing_context='spawn'" in first
    assert second == "12.0"
