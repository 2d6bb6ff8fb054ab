"""DLPack: memory shared with NumPy and PyTorch both ways, lifetimes, what is refused."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

KINDS = (
    "float32", "float64", "float16", "bfloat16", "complex64", "complex128", "uint8", "int8",
    "int16", "int32", "int64", "bool",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_from_and_to_pytorch(kind: str) -> None:
    theirs = torch.tensor([[1.0, 0.0, 2.0], [3.0, 4.0, 5.0]]).to(getattr(torch, kind)).t()
    mine = dt.from_dlpack(theirs)
    assert mine.dtype is getattr(dt, {"bool": "bool"}.get(kind, kind))
    assert (tuple(mine.shape), mine.stride()) == ((3, 2), (1, 3))
    assert mine.tolist() == theirs.tolist()
    mine[1, 1] = 1
    assert theirs[1, 1].item() == 1
    back = torch.from_dlpack(mine)
    assert (back.dtype, back.stride()) == (theirs.dtype, theirs.stride())
    back[0, 0] = 0
    assert mine[0, 0].item() == theirs[0, 0].item() == 0


def test_numpy() -> None:
    array = np.arange(6.0).reshape(2, 3)[:, ::2]
    mine = dt.from_dlpack(array)
    mine[0, 0] = 7
    assert array[0, 0] == 7
    np.testing.assert_array_equal(np.from_dlpack(mine), array)


def test_memory_outlives_its_owner() -> None:
    mine = dt.from_dlpack(torch.full((1000,), 3.0))
    theirs = torch.from_dlpack(dt.full((1000,), 4.0))
    low = torch.from_dlpack(dt.full((1000,), 5.0).bfloat16())
    gc.collect()
    again = [torch.zeros(1000) for _ in range(20)]
    assert len(again) == 20
    assert mine.sum().item() == 3000
    assert theirs.sum().item() == 4000
    assert low.float().sum().item() == 5000


def test_a_capsule_can_be_taken_once() -> None:
    capsule = dt.to_dlpack(dt.ones(2))
    assert dt.from_dlpack(capsule).tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="consumed only once"):
        dt.from_dlpack(capsule)
    assert torch.utils.dlpack.from_dlpack(dt.utils.dlpack.to_dlpack(dt.ones(2))).sum() == 2


def test_of_a_tensor_itself(device: Any) -> None:
    x = dt.ones(3, device=device)
    made = dt.from_dlpack(x)
    made[0] = 5
    assert x.tolist() == [5.0, 1.0, 1.0]
    assert dt.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    with pytest.raises(BufferError, match="require gradient"):
        dt.from_dlpack(dt.ones(1, device=device, requires_grad=True))


def test_memory_that_the_host_cannot_read(device: Any) -> None:
    x = dt.ones(3, device=device)
    if x.__dlpack_device__()[0] == 1:
        assert np.from_dlpack(x).tolist() == [1.0, 1.0, 1.0]
        return
    with pytest.raises(BufferError, match="memory that the host cannot read"):
        x.__dlpack__()
    with pytest.raises(BufferError):
        torch.from_dlpack(x)


def test_refused() -> None:
    class Elsewhere:
        def __dlpack__(self, **_: Any) -> Any:
            raise AssertionError("nobody may ask")

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

    with pytest.raises(BufferError, match="must be host memory"):
        dt.from_dlpack(Elsewhere())
    with pytest.raises(ValueError, match="Unknown device type meta"):
        dt.ones(1, device="meta").__dlpack__()
    with pytest.raises(BufferError, match="must stay on device"):
        dt.ones(1).__dlpack__(dl_device=(2, 0))
    with pytest.raises(ValueError, match="must copy to move"):
        dt.from_dlpack(np.ones(2), device="meta", copy=False)
    assert dt.from_dlpack(np.ones(2), device="meta").is_meta


def test_readonly_arrays_are_copied() -> None:
    array = np.ones(3)
    array.setflags(write=False)
    if np.lib.NumpyVersion(np.__version__) < "2.1.0":
        return  # such arrays are not given
    with pytest.warns(UserWarning, match="not writable"):
        made = dt.from_dlpack(array)
    made[0] = 2
    assert array[0] == 1
