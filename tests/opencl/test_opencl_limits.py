"""Devices with small work groups, little local memory, and neither doubles nor long atomics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

LIMITS = "work_group=64,kernel_group=32,local_memory=16384,double=0,long_atomics=0,half=0"

SAMPLE = """
import numpy as np
import dovetail as dt
from dovetail_opencl.runtime import device_of

F = dt.nn.functional
dt.manual_seed(0)
x, w = dt.randn(4, 3, 20, 20), dt.randn(8, 3, 3, 3)
a, b = dt.randn(70, 300), dt.randn(300, 90)
labels, rows = dt.arange(70) % 5, dt.arange(70) % 13
gain = dt.rand(300)
CALLS = {
    "conv2d": lambda to: F.conv2d(to(x), to(w), padding=1),
    "stride": lambda to: F.conv2d(to(x), to(w), stride=2),
    "transposed": lambda to: F.conv_transpose2d(to(x), to(w).transpose(0, 1)[:3]),
    "matmul": lambda to: to(a) @ to(b),
    "sum": lambda to: to(a).sum(1),
    "sum of all": lambda to: to(a).sum(),
    "var": lambda to: to(a).var(0),
    "cumsum": lambda to: to(a).cumsum(1),
    "sort": lambda to: to(a).sort(1).values,
    "argmax": lambda to: to(a).argmax(1),
    "softmax": lambda to: to(a).softmax(1),
    "entropy": lambda to: F.cross_entropy(to(a), to(labels)),
    "layer_norm": lambda to: F.layer_norm(to(a), (300,), to(gain)),
    "batch_norm": lambda to: F.batch_norm(to(x), None, None, training=True),
    "max_pool": lambda to: F.max_pool2d(to(x), 3, 2),
    "attention": lambda to: F.scaled_dot_product_attention(*[to(a).view(2, 70, 150)] * 3),
    "scatter_add": lambda to: dt.zeros(13, 300, device=to(a).device).index_add(0, to(rows), to(a)),
    "inv": lambda to: dt.linalg.inv(to(a)[:20, :20] + 9 * to(dt.eye(20))),
    "int64": lambda to: (to(labels) * 3).sum(),
    "half": lambda to: (to(a).half() + 1).float(),
}
for name, call in CALLS.items():
    got, wanted = call(lambda t: t.to("opencl:0")).cpu(), call(lambda t: t)
    assert dt.allclose(got, wanted, rtol=1e-4, atol=1e-4), name
device = device_of(0)
assert device.group <= 64 and device.local_memory <= 16384
parts = dt.nn.Conv2d(3, 4, 3), dt.nn.ReLU(), dt.nn.Flatten(), dt.nn.Linear(1296, 5)
layer = dt.nn.Sequential(*parts[:2], dt.nn.MaxPool2d(1), *parts[2:])
losses = []
for place in ("cpu", "opencl:0"):
    dt.manual_seed(1)
    for p in layer.parameters():
        p.grad = None
    layer.to(place)
    loss = F.cross_entropy(layer(x.to(place)), dt.arange(4, device=place))
    loss.backward()
    losses.append([loss.item(), *[p.grad.norm().item() for p in layer.parameters()]])
assert np.allclose(*losses, rtol=1e-4), losses
try:
    dt.ones(2, dtype=dt.float64, device="opencl:0")
except NotImplementedError as error:
    print("float64" in str(error), len(CALLS))
"""


def test_kernels_are_made_to_fit(fresh: Callable[..., str]) -> None:
    """A work group is asked for no more than its kernel's registers and the device allow."""
    said = fresh(SAMPLE, DOVETAIL_OPENCL_CLASS="gpu", DOVETAIL_OPENCL_LIMITS=LIMITS)
    assert said.split() == ["True", "20"]


def test_a_kernel_that_cannot_be_made_smaller_says_so(fresh: Callable[..., str]) -> None:
    code = """
import dovetail as dt
try:
    dt.ones(300, 300, device="opencl:0").softmax(1)
except RuntimeError as error:
    print(error)
"""
    limits = "kernel_group=8"
    said = fresh(code, DOVETAIL_OPENCL_CLASS="gpu", DOVETAIL_OPENCL_LIMITS=limits)
    assert "must have 8 work items or fewer on" in said


@pytest.mark.parametrize("text", ["wrong=1", "double", "work_group=many"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    pytest.importorskip("pyopencl", reason="PyOpenCL is not installed")
    from dovetail_opencl.limits import Limits, pretended

    with pytest.raises(ValueError, match="DOVETAIL_OPENCL_LIMITS: must be name=number"):
        pretended(Limits(256, 256, 1 << 15), text)


def test_limits_are_the_smaller_ones() -> None:
    pytest.importorskip("pyopencl", reason="PyOpenCL is not installed")
    from dovetail_opencl.limits import Limits, pretended

    made = pretended(Limits(100, 100, 1 << 15, double=0), "work_group=1000,double=1,local_memory=9")
    assert made == Limits(100, 100, 9, double=0)
    assert made.group == 64


ARGUMENTS = """
import dovetail as dt

def run(device):
    params = [dt.ones(i % 3 + 1, dtype=dt.float64, device=device) * i for i in range(33)]
    for p in params:
        p.requires_grad_(True)
        p.grad = p.detach() / 2
    total = dt.nn.utils.clip_grad_norm_(params, 7.0)
    dt.nn.utils.clip_grad_value_(params, 0.5)
    options = {} if device == "cpu" else {"capturable": True}
    rule = dt.optim.AdamW(params, lr=0.1, amsgrad=True, maximize=True, **options)
    for _ in range(2):
        rule.step()
    return [t.detach().cpu() for t in (total, *params, *[p.grad for p in params])]

for ours, wanted in zip(run("opencl:0"), run("cpu"), strict=True):
    assert dt.allclose(ours, wanted, rtol=1e-12, atol=1e-12), (ours, wanted)
"""


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_arguments_fit_where_there_is_room_for_what_opencl_promises(
    fresh: Callable[..., str], kind: str
) -> None:
    """1024 bytes; a launch of more is refused."""
    fresh(ARGUMENTS, DOVETAIL_OPENCL_CLASS=kind, DOVETAIL_OPENCL_LIMITS="arguments=1024")


def test_more_arguments_than_a_device_takes_are_refused(queue: Any) -> None:
    numbers = [np.zeros(queue.arguments // 8, np.uint64), np.int32(0)]
    said = f"sum: the arguments of the kernel f must have {queue.arguments} bytes or fewer on .*"
    with pytest.raises(RuntimeError, match=f"{said}, got {queue.arguments + 4}$"):
        queue.launch("", "f", 0, numbers, ((1,), (1,)), "sum")
