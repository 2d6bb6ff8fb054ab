"""Indices out of range: nothing outside is touched, and whoever asks for values next is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

F: Any = dt.nn.functional
Call = Callable[[Any, Any], Any]
"""A call of (a tensor of 8 rows of 5, indices)."""

WIDE = 5
AROUND = 77.0
LATE = r"\(\w+, found when values were asked for\)$"


def _along(x: Any, i: Any) -> Any:
    return i.unsqueeze(1).expand(len(i), x.shape[1])


def _ones(x: Any, i: Any) -> Any:
    return dt.ones(len(i), x.shape[1], device=x.device, dtype=x.dtype)


READS: dict[str, tuple[Call, str]] = {
    "x[i]": (lambda x, i: x[i], "index {} is out of bounds for dimension 0 with size 8"),
    "x[i, j]": (
        lambda x, i: x[i, dt.zeros_like(i)],
        "index {} is out of bounds for dimension 0 with size 8",
    ),
    "x[j, i]": (
        lambda x, i: x.t()[dt.zeros_like(i), i],
        "index {} is out of bounds for dimension 1 with size 8",
    ),
    "take": (
        lambda x, i: x[:, 0].take(i),
        r"out of range: tried to access index {} on a tensor of 8 elements\.",
    ),
    "gather": (
        lambda x, i: x.gather(0, _along(x, i)),
        "index {} is out of bounds for dimension 0 with size 8",
    ),
    "take_along_dim": (
        lambda x, i: x.take_along_dim(i.unsqueeze(1), 0),
        "index {} is out of bounds for dimension 0 with size 8",
    ),
    "index_select": (
        lambda x, i: x.index_select(0, i),
        "index out of range in self: index {}, size 8",
    ),
    "index_select of columns": (
        lambda x, i: x.t().index_select(1, i),
        "index out of range in self: index {}, size 8",
    ),
    "embedding": (lambda x, i: F.embedding(i, x), "index out of range in self: index {}, size 8"),
    "embedding_bag": (
        lambda x, i: F.embedding_bag(i.unsqueeze(0), x),
        "index out of range in self: index {}, size 8",
    ),
    "nll_loss": (lambda x, i: F.nll_loss(x.t()[: len(i)], i), r"Target {} is out of bounds\."),
    "cross_entropy": (
        lambda x, i: F.cross_entropy(x.t()[: len(i)], i),
        r"Target {} is out of bounds\.",
    ),
    "cross_entropy, smoothed": (
        lambda x, i: F.cross_entropy(x.t()[: len(i)], i, label_smoothing=0.1, reduction="none"),
        r"Target {} is out of bounds\.",
    ),
}

WRITES: dict[str, Call] = {
    "x[i] = 5": lambda x, i: x.__setitem__(i, 5.0),
    "x[i, j] = 5": lambda x, i: x.__setitem__((i, dt.zeros_like(i)), 5.0),
    "x.t()[j, i] = 5": lambda x, i: x.t().__setitem__((dt.zeros_like(i), i), 5.0),
    "index_put_": lambda x, i: x.index_put_((i,), _ones(x, i), accumulate=True),
    "index_fill_": lambda x, i: x.index_fill_(0, i, 5.0),
    "index_copy_": lambda x, i: x.index_copy_(0, i, _ones(x, i)),
    "index_add_": lambda x, i: x.index_add_(0, i, _ones(x, i)),
    "scatter_": lambda x, i: x.scatter_(0, _along(x, i), 5.0),
    "scatter_add_": lambda x, i: x.scatter_add_(0, _along(x, i), _ones(x, i)),
    "scatter_reduce_": lambda x, i: x.scatter_reduce_(0, _along(x, i), _ones(x, i), "amax"),
    "put_": lambda x, i: x.put_(i * WIDE, _ones(x, i)[:, 0]),
}
ONLY_COUNTS_UP = {
    "gather", "take_along_dim", "index_select", "index_select of columns", "embedding",
    "embedding_bag", "nll_loss", "cross_entropy", "cross_entropy, smoothed", "index_copy_",
    "index_add_", "scatter_", "scatter_add_", "scatter_reduce_",
}  # fmt: skip
"""Where negative indices are out of range."""

KINDS = [dt.float32, dt.float64, dt.float16, dt.bfloat16]


def _wrong(name: str) -> tuple[int, ...]:
    return (8, 9, 1 << 40, -9, -(1 << 40), *[-1] * (name in ONLY_COUNTS_UP))


def _middle(device: Any, dtype: Any = dt.float32) -> tuple[Any, Any]:
    """(memory, 8 rows in the middle of it)."""
    base = dt.full((24, WIDE), AROUND, device=device, dtype=dtype)
    x = base[8:16]
    x.copy_(dt.arange(8.0 * WIDE).reshape(8, WIDE))
    return base, x


def _works(device: Any) -> None:
    assert (dt.arange(5, device=device) + 1).tolist() == [1, 2, 3, 4, 5]
    dt.opencl.synchronize()


@pytest.mark.parametrize("name", READS)
def test_an_index_that_is_read_is_named(opencl: dt.device, name: str) -> None:
    call, sentence = READS[name]
    for wrong in _wrong(name):
        _, x = _middle(opencl)
        made: list[Any] = []
        with pytest.raises(IndexError, match=sentence.format(wrong) + " " + LATE):  # noqa: PT012
            made.append(call(x, dt.tensor([1, wrong, 2], device=opencl)))  # some wait inside
            made[0].tolist()
        assert not any(np.any(y.cpu().numpy() == AROUND) for y in made)
        _works(opencl)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("name", WRITES)
def test_an_index_that_is_written_writes_nothing(opencl: dt.device, name: str, dtype: Any) -> None:
    for wrong in _wrong(name):
        base, x = _middle(opencl, dtype)
        with pytest.raises(IndexError, match=f"{LATE}"):  # noqa: PT012 (some wait for values)
            WRITES[name](x, dt.tensor([wrong, wrong], device=opencl))
            dt.opencl.synchronize()
        after = base.float().cpu().numpy()
        np.testing.assert_array_equal(after[8:16], np.arange(8.0 * WIDE).reshape(8, WIDE))
        assert (np.delete(after, np.s_[8:16], 0) == AROUND).all()
        _works(opencl)


@pytest.mark.parametrize("name", [*READS, *WRITES])
def test_what_is_in_range_is_no_fault(opencl: dt.device, name: str) -> None:
    call = READS[name][0] if name in READS else WRITES[name]
    index = [0, 7, 3] if name in ONLY_COUNTS_UP or name == "put_" else [0, -8, 7]
    results = []
    for device in ("cpu", opencl):
        for at in (index, []):
            if not at and name == "embedding_bag":
                continue
            _, x = _middle(device)
            made = call(x, dt.tensor(at, dtype=dt.int64, device=device))
            results.append((x.cpu().numpy(), [] if made is None else made.cpu().numpy()))
    half = len(results) // 2
    for here, there in zip(results[:half], results[half:], strict=True):
        for one, two in zip(here, there, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5)


def test_gradients_report_too(opencl: dt.device) -> None:
    target = dt.tensor([1, 9, 2], device=opencl)
    for function, sentence in (
        (lambda x: F.cross_entropy(x, target), "Target 9 is out of bounds"),
        (lambda x: F.nll_loss(x, target), "Target 9 is out of bounds"),
        (lambda x: F.embedding(target, x), "index out of range in self: index 9, size 3"),
        (lambda x: x.index_select(0, target), "index out of range in self: index 9, size 3"),
        (lambda x: x[target], "index 9 is out of bounds for dimension 0 with size 3"),
    ):
        x = dt.ones(3, 6, device=opencl, requires_grad=True)
        y = function(x).sum()
        with pytest.raises(IndexError, match=sentence):
            y.item()
        y.backward()
        with pytest.raises(IndexError, match=r"9"):
            dt.opencl.synchronize()
        assert x.grad is not None
        assert np.isfinite(x.grad.cpu().numpy()).all()
        _works(opencl)


def test_ignored_and_padded_are_no_faults(opencl: dt.device) -> None:
    x = dt.ones(3, 6, device=opencl, requires_grad=True)
    ignored = dt.tensor([1, -100, 2], device=opencl)
    F.cross_entropy(x, ignored).backward()
    F.nll_loss(x, ignored).backward()
    F.cross_entropy(x, dt.tensor([1, 60, 2], device=opencl), ignore_index=60).backward()
    F.embedding(dt.tensor([0, 2], device=opencl), x, padding_idx=2).sum().backward()
    F.embedding(dt.tensor([0, 2], device=opencl), x, padding_idx=-1).sum().backward()
    dt.zeros(0, 6, device=opencl)[:, dt.tensor([9], device=opencl)].tolist()
    dt.opencl.synchronize()


def test_the_first_is_kept_and_raised_once(opencl: dt.device) -> None:
    x = dt.arange(3.0, device=opencl)
    made = [x.gather(0, dt.tensor([wrong], device=opencl)) for wrong in (5, 6, 7)]
    with pytest.raises(IndexError, match="index 5 is out of bounds"):
        made[2].item()
    assert [y.item() for y in made] == [0, 0, 0]
    _works(opencl)


def test_it_is_both_errors_of_the_host(opencl: dt.device) -> None:
    """The host raises RuntimeError for some operators, as PyTorch does."""
    for kind in (IndexError, RuntimeError):
        x = dt.arange(3.0, device=opencl).scatter(0, dt.tensor([3], device=opencl), 1.0)
        with pytest.raises(kind, match="index 3 is out of bounds for dimension 0 with size 3"):
            x.tolist()


def test_a_look_costs_nothing_without_indices(queue: Any, monkeypatch: Any) -> None:
    x = dt.arange(3.0, device="opencl:0")
    x.tolist()
    looks: list[int] = []
    look = queue._look
    monkeypatch.setattr(queue, "_look", lambda: looks.append(1) or look())
    (x + 1).tolist()
    dt.opencl.synchronize()
    assert not looks
    x.gather(0, dt.tensor([1], device="opencl:0")).tolist()
    (x + 1).tolist()
    assert len(looks) == 1


def test_a_fault_of_any_thread_is_raised(opencl: dt.device) -> None:
    """Threads queue and read at the same time; each fault is raised in one of them."""
    found: list[str] = []
    rounds = 50

    def work() -> None:
        x = dt.arange(8.0, device=opencl)
        good = dt.tensor([1, 2], device=opencl)
        bad = dt.tensor([1, 8], device=opencl)
        for i in range(rounds):
            try:
                assert x.gather(0, good if i % 2 else bad).tolist()[0] == 1
            except IndexError as error:
                found.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        dt.opencl.synchronize()
    except IndexError as error:
        found.append(str(error))
    assert found
    assert all("index 8 is out of bounds for dimension 0 with size 8" in text for text in found)
    assert dt.arange(8.0, device=opencl).gather(0, dt.tensor([7], device=opencl)).item() == 7
