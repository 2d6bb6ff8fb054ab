"""default_collate and default_convert: every kind of sample, against PyTorch where it is there."""

from __future__ import annotations

from collections import OrderedDict, UserDict, UserList, namedtuple
from types import MappingProxyType

import numpy as np
import pytest

import dovetail as dt
from dovetail.utils.data import collate, default_collate, default_collate_fn_map, default_convert

Point = namedtuple("Point", ["x", "y"])

# Batches that say the same to both libraries; a function of the library where tensors are in it.
BATCHES = {
    "ints": lambda lib: [1, 2, 3],
    "floats": lambda lib: [1.5, 2.5],
    "bools": lambda lib: [True, False],
    "strings": lambda lib: ["a", "b"],
    "bytes": lambda lib: [b"a", b"b"],
    "tensors": lambda lib: [lib.zeros(2, 3), lib.ones(2, 3)],
    "0-d tensors": lambda lib: [lib.tensor(1), lib.tensor(2)],
    "arrays": lambda lib: [np.arange(3), np.arange(3)],
    "arrays of float32": lambda lib: [np.ones((2, 2), np.float32)] * 2,
    "array scalars": lambda lib: [np.float32(1), np.float32(2)],
    "array bools": lambda lib: [np.bool_(True), np.bool_(False)],
    "array ints": lambda lib: [np.int16(1), np.int16(2)],
    "tuples": lambda lib: [(1, 2.0), (3, 4.0)],
    "lists": lambda lib: [[1, "a"], [3, "b"]],
    "user lists": lambda lib: [UserList([1, "a"]), UserList([3, "b"])],
    "dicts": lambda lib: [{"a": 1, "b": [1, 2]}, {"a": 3, "b": [4, 5]}],
    "ordered dicts": lambda lib: [OrderedDict(z=1, a=2), OrderedDict(z=3, a=4)],
    "user dicts": lambda lib: [UserDict(a=1), UserDict(a=2)],
    "views of dicts": lambda lib: [MappingProxyType({"a": 1}), MappingProxyType({"a": 2})],
    "named tuples": lambda lib: [Point(1, 2.0), Point(3, 4.0)],
    "ranges": lambda lib: [range(2), range(2)],
    "nested": lambda lib: [{"p": Point((1, lib.ones(1)), [2.0])}] * 2,
    "uneven lists": lambda lib: [[1, 2], [1]],
    "objects": lambda lib: [object(), object()],
    "None": lambda lib: [None],
    "arrays of strings": lambda lib: [np.array("a"), np.array("b")],
    "uneven tensors": lambda lib: [lib.zeros(2), lib.zeros(3)],
    "missing keys": lambda lib: [{"a": 1}, {"b": 1}],
}


def described(value):
    """Types, dtypes and values, all the way down."""
    if hasattr(value, "numpy"):
        return ("tensor", str(value.dtype), tuple(value.shape), value.tolist())
    if hasattr(value, "items"):
        return (type(value).__name__, [(k, described(v)) for k, v in value.items()])
    if isinstance(value, (list, tuple, UserList)):
        return (type(value).__name__, [described(v) for v in value])
    return (type(value).__name__, value)


def outcome(function, batch):
    try:
        return "value", described(function(batch))
    except (TypeError, RuntimeError, KeyError) as error:
        return "error", type(error).__name__


@pytest.mark.parametrize("name", BATCHES)
def test_against_pytorch(name):
    torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")
    for mine, theirs in (
        (default_collate, torch.utils.data.default_collate),
        (default_convert, torch.utils.data.default_convert),
    ):
        if name == "objects" and mine is default_convert:
            continue  # their text is an address
        expected = outcome(theirs, BATCHES[name](torch))
        assert outcome(mine, BATCHES[name](dt)) == expected


def test_numbers_have_pytorchs_dtypes():
    assert default_collate([1, 2]).dtype is dt.int64
    assert default_collate([1.0]).dtype is dt.float64
    assert default_collate([np.float32(1)]).dtype is dt.float32


def test_sentence_of_a_type_nobody_joins():
    with pytest.raises(
        TypeError, match=r"default_collate: batch must contain .* found <class 'obj"
    ):
        default_collate([object()])


def test_own_types_are_joined_by_own_functions():
    class Text(str):
        pass

    def lengths(batch, *, collate_fn_map=None):
        return dt.tensor([len(b) for b in batch])

    table = {Text: lengths, **default_collate_fn_map}
    joined = collate([{"t": Text("ab"), "n": 1}, {"t": Text("c"), "n": 2}], collate_fn_map=table)
    assert joined["t"].tolist() == [2, 1]
    assert joined["n"].tolist() == [1, 2]


def test_tensors_stay_on_their_device(device):
    batch = default_collate([dt.zeros(1, device=device), dt.ones(1, device=device)])
    assert batch.device == device
