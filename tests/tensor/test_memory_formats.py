"""Memory formats beside PyTorch: channels_last made, kept, asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensor_beside import check

import dovetail as dt

CASES = r"""
torch.ones(2,3).is_contiguous()
torch.ones(2,3,4,5).to(memory_format=torch.channels_last)
torch.ones(2,3).to(memory_format=torch.channels_last)
torch.ones(2,3,4,5).to(torch.float64, memory_format=torch.channels_last).stride()
torch.ones(2,3).clone(memory_format=torch.contiguous_format)
torch.ones(2,3).t().contiguous().stride()
torch.ones(2,3,4,5).contiguous(memory_format=torch.channels_last).stride()
torch.ones(2,3,4,5).is_contiguous(memory_format=torch.channels_last)
torch.ones(2,1,4,5).is_contiguous(memory_format=torch.channels_last)
torch.ones(2,3,1,1).is_contiguous(memory_format=torch.channels_last)
torch.ones(2,3).is_contiguous(memory_format=torch.channels_last)
torch.ones(2,3).contiguous(memory_format=torch.preserve_format)
torch.contiguous_format, torch.channels_last, torch.preserve_format
isinstance(torch.channels_last, torch.memory_format)
torch.zeros_like(torch.ones(2,3,4,4).to(memory_format=torch.channels_last))
torch.zeros_like(torch.ones(2,3,4,4), memory_format=torch.channels_last)
torch.empty(2,3,4,5,memory_format=torch.channels_last).stride()
torch.empty(2,3,memory_format=torch.channels_last)
""".strip().splitlines()


@pytest.mark.parametrize("code", CASES)
def test_as_pytorch(code: str, device: Any) -> None:
    check(code, device)


SHAPES = ((2, 3, 4, 5), (1, 3, 4, 5), (2, 1, 4, 5), (2, 3, 1, 1), (1, 1, 1, 1), (2, 3, 0, 5))
FORMATS = ("contiguous_format", "channels_last", "preserve_format")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_strides_of_a_format(shape: tuple[int, ...], form: str, device: Any) -> None:
    x = f"x = torch.arange({np.prod(shape)}.).view({shape})"
    option = f"memory_format=torch.{form}"
    for call in (
        f"x.clone({option})",
        f"x.to({option})",
        f"torch.empty_like(x, {option}).stride()",
        f"torch.zeros_like(x, {option})",
        f"x.double().to(torch.float32, {option})",
    ):
        check(f"{x}; {call}", device)
    if form != "preserve_format":
        for call in (f"x.contiguous({option})", f"x.is_contiguous({option})",
                     f"torch.empty({shape}, {option}).stride()"):  # fmt: skip
            check(f"{x}; {call}", device)


KEEPS = (
    "x.clone()", "x.double()", "x + 1", "-x", "x.exp()", "torch.zeros_like(x)", "x.to(torch.int32)",
    "x * x", "torch.relu(x)", "x.contiguous()", "x.detach()", "torch.rand_like(x).stride()",
    "x.add_(1)", "x > 3", "torch.where(x > 3, x, x)", "x.clamp(1, 5)", "x + torch.ones(4, 5)",
)  # fmt: skip


@pytest.mark.parametrize("code", KEEPS)
def test_channels_last_through_operators(code: str, device: Any) -> None:
    x = "x = torch.arange(120.).view(2, 3, 4, 5).to(memory_format=torch.channels_last)"
    if device.type == "cpu":
        check(f"{x}; {code}", device)
    else:  # a device of contiguous kernels may answer row-major; the values are the same
        check(f"{x}; ({code})" + ("" if "stride" in code else ".contiguous()"), device)


def test_channels_last_comes_home_from_a_device(device: Any) -> None:
    x = dt.arange(120.0).view(2, 3, 4, 5).to(memory_format=dt.channels_last)
    there = x.to(device)
    assert there.stride() == x.stride()
    assert there.is_contiguous(memory_format=dt.channels_last)
    assert there.cpu().stride() == x.stride()
    assert there.cpu().tolist() == x.tolist()


def test_channels_last_3d(device: Any) -> None:
    x = dt.arange(120.0, device=device).view(1, 2, 3, 4, 5)
    y = x.to(memory_format=dt.channels_last_3d)
    assert y.stride() == (120, 1, 40, 10, 2)
    assert y.is_contiguous(memory_format=dt.channels_last_3d)
    assert not y.is_contiguous()
    assert y.tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="required rank 5 tensor to use channels_last_3d format"):
        dt.ones(2, 3).to(memory_format=dt.channels_last_3d)


def test_gradient_of_a_change_of_format(device: Any) -> None:
    x = dt.arange(24.0, device=device).view(1, 2, 3, 4).requires_grad_()
    y = x.contiguous(memory_format=dt.channels_last)
    (y * y).sum().backward()
    assert x.grad.tolist() == (2 * x).tolist()
