"""one_hot and repeat_interleave where the result's size is given: no device is waited for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

REPEATS = {"some": [2, 0, 3, 1], "none": [0, 0, 0, 0], "one for all": [2], "a number": 2}


@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("name", REPEATS)
def test_repeat_interleave(name: str, dtype: str, device: Any) -> None:
    counts = np.array(REPEATS[name], dtype)
    x = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    expected = np.repeat(x, counts, 1)
    size = expected.shape[1]
    given, repeats = dt.tensor(x, device=device), dt.tensor(counts, device=device)
    given.requires_grad_()
    made = dt.repeat_interleave(given, repeats, 1, output_size=size)
    np.testing.assert_array_equal(made.detach().cpu().numpy(), expected)
    made.sum().backward()
    np.testing.assert_array_equal(
        given.grad.cpu().numpy(), np.broadcast_to(counts, (3, 4)).astype(np.float32)
    )
    places = dt.repeat_interleave(repeats.reshape(-1), output_size=int(counts.sum()))
    flat = counts.reshape(-1)
    np.testing.assert_array_equal(places.cpu().numpy(), np.repeat(np.arange(flat.size), flat))


def test_nothing_repeated(device: Any) -> None:
    nothing = dt.zeros(0, dtype=dt.int64, device=device)
    assert dt.repeat_interleave(nothing, output_size=0).tolist() == []
    assert dt.repeat_interleave(nothing, nothing, output_size=0).tolist() == []


def test_what_shapes_tell_is_told_at_the_call(device: Any) -> None:
    x, counts = dt.ones(3, device=device), dt.ones(2, dtype=dt.int64, device=device)
    with pytest.raises(RuntimeError, match="same size as input along dim"):
        dt.repeat_interleave(x, counts, output_size=2)
    with pytest.raises(NotImplementedError, match="not implemented"):
        dt.repeat_interleave(x, x, output_size=3)


def test_numbers_that_make_fewer_are_told(device: Any) -> None:
    x, counts = (dt.tensor(a, device=device) for a in ([1.0, 2.0], [1, 1]))
    with pytest.raises((RuntimeError, IndexError)):
        dt.repeat_interleave(x, counts, output_size=3).cpu()


@pytest.mark.parametrize("wrong", [-1, 4])
def test_one_hot(wrong: int, device: Any) -> None:
    classes = np.array([[3, 0], [1, 1]])
    made = dt.nn.functional.one_hot(dt.tensor(classes, device=device), 4)
    np.testing.assert_array_equal(made.cpu().numpy(), np.eye(4, dtype=np.int64)[classes])
    classes[1, 0] = wrong
    with pytest.raises((RuntimeError, IndexError)):
        dt.nn.functional.one_hot(dt.tensor(classes, device=device), 4).cpu()
