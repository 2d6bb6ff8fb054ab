"""Indexing reads, writes and differentiates what PyTorch's does, and fails as it fails."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.backend.state import state_of
from dovetail.indexing_parse import parse

S = slice
SHAPE = (4, 3, 5)

# Index expressions for a tensor of shape (4, 3, 5). T(...) marks an index tensor.


def T(values: Any, kind: str = "int64") -> tuple[str, np.ndarray]:
    return ("tensor", np.asarray(values, kind))


MASK = np.random.default_rng(3).random(SHAPE) < 0.4
VIEWS: list[Any] = [
    0, -1, (1, 2), (1, 2, -5), S(None), S(1, 3), S(-3, None), S(None, None, 2), S(3, 1), S(9, 99),
    (), Ellipsis, None, (None, 1), (1, None), (Ellipsis, None), (Ellipsis, 0), (0, Ellipsis, 0),
    (S(None), 0), (S(None), S(1, None), 2), (S(None, None, 3), None, Ellipsis, S(0, 4, 2)),
    (None, S(None), None, 1, Ellipsis, None), (S(None), S(None), S(None)), np.int64(2),
    T(2), (T(1), S(None), T(-1, "int32")),
]  # fmt: skip
ADVANCED: list[Any] = [
    T([0, 2, -1]), T([[0, 1], [3, 3]]), T([], "int64"), T([1, 0], "int32"), [0, 2], [0] * 3,
    (S(None), [0, 2]), (Ellipsis, [0, -1]), (T([0, 1]), T([1, 2])), (T([[0], [1]]), T([0, 2])),
    (T([0, 3]), S(None), T([4, 0])), (S(None), T([0, 1]), T([4, 0])), (0, T([1, 2])),
    (T([1, 2]), 0), (0, S(None), T([1, 2])), (T([1, 0]), S(None), 1), (T([0, 1]), None, T([1, 2])),
    (S(1, None), S(None), T([1, 1, 3])), (T([0, 1]), Ellipsis, T([1, 2])), (None, T([1, 2])),
    T(MASK, "bool"), T(MASK[:, :, 0], "bool"), T(MASK[:, 0, 0], "bool"), (1, T(MASK[1], "bool")),
    (S(None), T(MASK[0], "bool")), (S(None), T(MASK[0, :, 0], "bool")),
    (T(MASK[:, 0, 0], "bool"), S(None), T([1])), (T(MASK[:, :, 0], "bool"), T([1])),
    (Ellipsis, T(MASK[0, 0], "bool")), T(np.zeros(SHAPE), "bool"), True, False, (True, 1),
    (S(None), True, T([1, 2])), T(True, "bool"), (0, T(False, "bool")), range(2), [True, False] * 2,
    np.array([0, 1]), np.array([True, False, True, True]), ([0, 1], (1, 2)), [], ([], 0),
    [1.0, 2.0], (np.array([[1], [2]]), [0, 1]), (1, None, [0, 2]),
]  # fmt: skip
WRONG: list[Any] = [
    4, -5, (0, 3), (0, 0, 0, 0), (Ellipsis, 0, 0, 0, 0), S(None, None, -1), S(None, None, 0),
    (0, S(None, None, -2)), 1.0, "a", {1}, Ellipsis.__class__, S(0, 1.5), T([0.0], "float32"),
    T([1], "int16"), T([True, False], "bool"),
    (S(None), T(MASK, "bool")), (T([0, 1, 2]), T([0, 1])), (T([0]), T([0]), T([0]), T([0])),
    T(1.0, "float32"), np.bool_(True), [1j], (T([0, 1]), S(None, None, -1)),
]  # fmt: skip


# Wrong only in values that live in an index tensor: found out where those can be read at once.
OUTSIDE: list[Any] = [T([4]), T([0, -5]), (0, T([3])), (Ellipsis, T([[0, 5]], "int32"))]


def translate(index: Any, make: Callable[[np.ndarray], Any]) -> Any:
    """``index`` with its T(...) made into tensors."""
    if isinstance(index, tuple) and len(index) == 2 and isinstance(index[0], str):
        return make(index[1])
    if isinstance(index, tuple):
        return tuple(translate(i, make) for i in index)
    return index


def name(index: Any) -> str:
    def short(array: np.ndarray) -> str:
        return f"T{array.dtype.name}{array.shape}"

    return str(translate(index, short)).replace("slice", "S")[:60]


def values(dtype: Any = np.float32) -> np.ndarray:
    return np.arange(math.prod(SHAPE)).reshape(SHAPE).astype(dtype)


class Ours:
    """Makes tensors, and index expressions that hold tensors, on the device under test."""

    def __init__(self, device: dt.device) -> None:
        self.device = device
        self.on_host = state_of(dt.zeros(1, device=device).device).host_arrays

    def __call__(self, data: Any, **options: Any) -> dt.Tensor:
        return dt.tensor(data, device=self.device, **options)

    def index(self, index: Any) -> Any:
        return translate(index, self)


@pytest.fixture
def ours(device: dt.device) -> Ours:
    return Ours(device)


# ----------------------------------------------------------------- reading


@pytest.mark.parametrize("index", VIEWS, ids=name)
def test_views_share_memory_and_have_pytorch_strides(ours: Ours, torch: Any, index: Any) -> None:
    for order in ((0, 1, 2), (2, 0, 1)):
        back = np.argsort(order)
        x = ours(values().transpose(order).copy()).permute(*back)
        y = torch.from_numpy(values().transpose(order).copy()).permute(*back)
        a, b = x[ours.index(index)], y[translate(index, torch.from_numpy)]
        assert tuple(a.shape) == tuple(b.shape)
        assert tuple(a.stride()) == tuple(b.stride())
        assert a.storage_offset() == b.storage_offset()
        assert a.tolist() == b.tolist()
        a.add_(1)
        b.add_(1)
        assert x.tolist() == y.tolist()


@pytest.mark.parametrize("index", ADVANCED, ids=name)
def test_advanced_indices_read_a_copy(ours: Ours, torch: Any, index: Any) -> None:
    x, y = ours(values()), torch.from_numpy(values())
    a, b = x[ours.index(index)], y[translate(index, torch.from_numpy)]
    assert tuple(a.shape) == tuple(b.shape)
    assert a.dtype == x.dtype
    assert a.tolist() == b.tolist()
    a.zero_()
    assert x.tolist() == values().tolist()


@pytest.mark.parametrize("index", ADVANCED, ids=name)
def test_advanced_indices_of_a_permuted_tensor(ours: Ours, torch: Any, index: Any) -> None:
    data = values().transpose(2, 0, 1).copy()
    x, y = ours(data).permute(1, 2, 0), torch.from_numpy(data).permute(1, 2, 0)
    assert x[ours.index(index)].tolist() == y[translate(index, torch.from_numpy)].tolist()


@pytest.mark.parametrize("index", WRONG + OUTSIDE, ids=name)
def test_wrong_indices_raise_what_pytorch_raises(ours: Ours, torch: Any, index: Any) -> None:
    theirs = translate(index, torch.from_numpy)
    for write in (False, True):
        x, y = ours(values()), torch.from_numpy(values())
        with pytest.raises(Exception) as expected:  # noqa: PT011
            y.__setitem__(theirs, 1) if write else y[theirs]
        with pytest.raises(expected.type):  # a device may say so when values are asked for
            (x.__setitem__(ours.index(index), 1) or x if write else x[ours.index(index)]).tolist()
        if ours.on_host or not write:  # elsewhere what is in range may have been written
            assert x.tolist() == values().tolist()


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (4, "index 4 is out of bounds for dimension 0 with size 4"),
        ((0, -4), "index -4 is out of bounds for dimension 1 with size 3"),
        ((Ellipsis, 5), "index 5 is out of bounds for dimension 2 with size 5"),
        ((0, [1, 3]), "index 3 is out of bounds for dimension 1 with size 3"),
        ((0,) * 4, "too many indices for tensor of dimension 3"),
        (S(None, None, -1), "step must be greater than zero"),
        (T([0.5], "float32"), "tensors used as indices must be long, int, byte or bool tensors"),
        (
            T([True, False], "bool"),
            r"The shape of the mask \[2\] at index 0 does not match the shape of the indexed "
            r"tensor \[4, 3, 5\] at index 0",
        ),
        (
            (T([0, 1, 2]), T([0, 1])),
            r"indexing tensors could not be broadcast together with shapes \[3\], \[2\]",
        ),
        (1.0, r"only integers, slices .* are valid indices \(got float\)"),
    ],
    ids=name,
)
def test_messages(ours: Ours, index: Any, text: str) -> None:
    with pytest.raises((IndexError, ValueError), match=text):
        ours(values())[ours.index(index)]


def test_scalars_have_no_dims_to_index(ours: Ours) -> None:
    x = ours(3.0)
    assert x[()].item() == x[...].item() == 3.0
    assert tuple(x[None].shape) == tuple(x[True].shape) == (1,)
    with pytest.raises(IndexError, match="invalid index of a 0-dim tensor"):
        x[0]
    with pytest.raises(IndexError, match=r"slice\(\) cannot be applied to a 0-dim tensor"):
        x[:]


def test_empty_dims(ours: Ours) -> None:
    x = ours(np.zeros((0, 3), np.float32))
    assert tuple(x[ours([], dtype=dt.int64)].shape) == (0, 3)
    assert tuple(x[:, ours([0, 1])].shape) == (0, 2)
    assert tuple(ours(np.zeros((3, 0), np.float32))[ours([1, 1])].shape) == (2, 0)
    with pytest.raises(IndexError, match="out of bounds for dimension with size 0"):
        x[ours([0])]


def test_a_list_of_lists_is_read_as_a_tuple_with_a_warning(ours: Ours) -> None:
    x = ours(values())
    with pytest.warns(UserWarning, match="non-tuple sequence"):
        assert x[[[0, 1], [1, 2]]].tolist() == x[[0, 1], [1, 2]].tolist()


def test_a_cached_plan_is_not_found_by_an_equal_float_or_bool(ours: Ours) -> None:
    x = ours(values())
    assert tuple(x[1:].shape) == (3, 3, 5)
    with pytest.raises(TypeError):
        x[1.0:]
    assert tuple(x[1, 1].shape) == (5,)
    assert tuple(x[True, 1].shape) == (1, 3, 5)
    with pytest.raises(IndexError):
        x[1, 1.0]


@pytest.mark.parametrize("seed", range(3))
def test_random_views(torch: Any, seed: int) -> None:
    draw = random.Random(seed)

    def bound() -> int | None:
        return draw.choice([None, draw.randint(-6, 6)])

    def item() -> Any:
        kind = draw.random()
        if kind < 0.3:
            return draw.randint(-4, 4)
        if kind < 0.8:
            return slice(bound(), bound(), draw.choice([None, 1, 2, 3, -1]))
        return None if kind < 0.9 else Ellipsis

    for _ in range(400):
        sizes = [draw.choice([0, 1, 2, 3, 4, 5]) for _ in range(draw.randint(0, 4))]
        y = torch.zeros(sizes)
        if len(sizes) > 1:
            y = y.transpose(0, -1)
        index = tuple(item() for _ in range(draw.randint(0, len(sizes) + 1)))
        if index.count(Ellipsis) > 1:
            continue
        try:
            b = y[index]
        except (IndexError, ValueError) as error:
            with pytest.raises(type(error)):
                parse(tuple(y.shape), y.stride(), index, dt.Tensor)
            continue
        found = parse(tuple(y.shape), y.stride(), index, dt.Tensor)[:3]
        assert found == (tuple(b.shape), b.stride(), b.storage_offset()), (sizes, index)


# ----------------------------------------------------------------- writing


@pytest.mark.parametrize("index", VIEWS + ADVANCED, ids=name)
@pytest.mark.parametrize("kind", ["number", "scalar", "broadcast", "whole"])
def test_writing(ours: Ours, torch: Any, index: Any, kind: str) -> None:
    theirs = translate(index, torch.from_numpy)
    for order in ((0, 1, 2), (2, 0, 1)):
        back = np.argsort(order)
        x = ours(values().transpose(order).copy()).permute(*back)
        y = torch.from_numpy(values().transpose(order).copy()).permute(*back)
        shape = tuple(y[theirs].shape)
        new: Any = -1.0
        if kind != "number":
            new = np.arange(-math.prod(shape), 0, dtype=np.float32).reshape(shape)
        if kind == "scalar":
            new = np.asarray(-1.0, np.float32)
        elif kind == "broadcast":
            new = new[None, :1] if new.ndim and new.shape[0] else new[None]
        made = isinstance(new, np.ndarray)
        if made and not _writes_each_once(ours, index):
            continue
        x[ours.index(index)] = ours(new) if made else new
        y[theirs] = torch.from_numpy(new) if made else new
        assert x.tolist() == y.tolist()


def _writes_each_once(ours: Ours, index: Any) -> bool:
    """Where an element is named twice, which value stays is not defined."""
    places = np.arange(math.prod(SHAPE)).reshape(SHAPE)
    found = ours(places)[ours.index(index)].reshape(-1).tolist()
    return len(set(found)) == len(found)


def test_writing_casts_through_views_but_not_through_index_tensors(ours: Ours) -> None:
    x = ours(np.zeros((2, 3), np.float32))
    x[0] = ours([1, 2, 3])
    assert x[0].tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(RuntimeError, match="got Float for the destination and Long for the source"):
        x[ours([0, 1])] = ours([1, 2, 3])
    x[x > 1] = ours(7, dtype=dt.float64)
    assert x.tolist() == [[1.0, 7.0, 7.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("index", "new", "error", "text"),
    [
        (0, [1, 2, 3], TypeError, "can't assign a list to a torch.FloatTensor"),
        (0, np.ones(3), TypeError, "can't assign a numpy.ndarray to a torch.FloatTensor"),
        (0, None, TypeError, "can't assign a NoneType"),
        (0, 1j, RuntimeError, "cannot be converted to type float without overflow"),
        (0, T([1.0, 2.0], "float32"), RuntimeError, "must match the existing size"),
        (0, T(np.ones((2, 3)), "float32"), RuntimeError, "number of sizes provided"),
        (T([0, 1]), T([1.0, 2.0], "float32"), RuntimeError, "value tensor of shape .* cannot be"),
        (T([[True] * 3] * 2, "bool"), T([1.0, 2.0], "float32"), RuntimeError, "shape mismatch"),
    ],
    ids=str,
)
def test_values_that_do_not_fit(
    ours: Ours, index: Any, new: Any, error: type[Exception], text: str
) -> None:
    x = ours(np.zeros((2, 3), np.float32))
    with pytest.raises(error, match=text):
        x[ours.index(index)] = ours.index(new)
    assert x.tolist() == [[0.0] * 3] * 2


def test_numbers_that_do_not_fit_the_dtype(ours: Ours) -> None:
    x = ours([0, 0], dtype=dt.uint8)
    with pytest.raises(RuntimeError, match="uint8_t without overflow"):
        x[0] = 300
    x[0] = -1
    x[1] = np.int64(7)
    assert x.tolist() == [255, 7]
    y = ours([0.0, 0.0])
    y[0] = np.float64(0.5)
    y[1] = math.inf
    assert y.tolist() == [0.5, math.inf]
    with pytest.raises(TypeError, match=r"can't assign a numpy\.float32"):
        y[0] = np.float32(1)


def test_a_value_that_overlaps_its_target(ours: Ours) -> None:
    x = ours(list(range(6)))
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3, 4]
    x[[0, 1, 2]] = x[3:]
    assert x.tolist() == [2, 3, 4, 2, 3, 4]


def test_index_put_accumulates_and_plain_writing_does_not(ours: Ours) -> None:
    x = ours([0.0] * 3)
    x.index_put_((ours([0, 0, 2]),), ours([1.0, 2.0, 3.0]), accumulate=True)
    assert x.tolist() == [3.0, 0.0, 3.0]
    y = x.index_put((ours([1]),), ours(9.0))
    assert y.tolist() == [3.0, 9.0, 3.0]
    assert x.tolist() == [3.0, 0.0, 3.0]


def test_writing_counts_as_a_write(ours: Ours) -> None:
    x = ours([0.0] * 4)
    before = x._version
    x[1:3] = 1
    x[[0]] = 1
    x[x > 0] = 2
    assert x._version == before + 3


# --------------------------------------------------------------- gradients


@pytest.mark.parametrize("index", VIEWS + ADVANCED, ids=name)
def test_gradient_of_reading(ours: Ours, torch: Any, index: Any) -> None:
    x = ours(values(np.float64), requires_grad=True)
    y = torch.tensor(values(np.float64), requires_grad=True)
    a, b = x[ours.index(index)], y[translate(index, torch.from_numpy)]
    assert a.grad_fn.name() == b.grad_fn.name()
    weights = np.arange(1.0, 1 + b.numel()).reshape(tuple(b.shape))
    (g,) = dt.autograd.grad((a * a * ours(weights)).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad((b * b * torch.tensor(weights)).sum(), y, create_graph=True)
    assert g.tolist() == h.tolist()
    if a.numel():
        (g2,) = dt.autograd.grad((g * g).sum(), x)
        (h2,) = torch.autograd.grad((h * h).sum(), y)
        assert g2.tolist() == h2.tolist()


@pytest.mark.parametrize("index", VIEWS + ADVANCED, ids=name)
def test_gradient_of_writing(ours: Ours, torch: Any, index: Any) -> None:
    theirs = translate(index, torch.from_numpy)
    shape = tuple(torch.zeros(SHAPE)[theirs].shape)
    if not _writes_each_once(ours, index):
        return
    new = np.arange(2.0, 2 + math.prod(shape)).reshape(shape)
    found = []
    for make, where in ((ours, ours.index(index)), (torch.tensor, theirs)):
        x = make(values(np.float64), requires_grad=True)
        v = make(new, requires_grad=True)
        h = x * 2
        h[where] = v * 3
        (h * h).sum().backward()
        # PyTorch leaves None where nothing of the value was used (x[False] = v).
        found.append([x.grad.tolist(), None if v.grad is None else v.grad.tolist()])
    assert found[0] == found[1]


def test_writing_to_leaves(ours: Ours) -> None:
    x = ours([0.0] * 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[0] = 1
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x[[0]] = 1
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x[x == 0] = 1
    with dt.no_grad():
        x[0] = 1
        x[[1]] = 2
        x[x == 0] = 3
    assert x.tolist() == [1.0, 2.0, 3.0]


def test_a_view_sees_what_is_written_to_its_base_by_index(ours: Ours) -> None:
    x = ours([0.0] * 4, requires_grad=True)
    h = x * 1
    part = h[1:3]
    h[[1]] = 5.0
    part.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 0.0]


# ----------------------------------------------------------------- devices


def test_no_tensor_is_made_between_the_steps_of_a_view(ours: Ours) -> None:
    x = ours(np.zeros((2, 3, 4)))
    with dt.trace() as events:
        x[0, 1:, None, ::2]
    assert [e.op for e in events] == ["index_view"]


def test_shapes_without_data() -> None:
    x = dt.zeros(4, 3, 5, device="meta")
    assert tuple(x[1:, [0, 2]].shape) == (3, 2, 5)
    assert tuple(x[:, 0, None].shape) == (4, 1, 5)
    x[0] = 1
    with pytest.raises(IndexError):
        x[[7]]


def test_the_device_path_wraps_negative_indices(
    ours: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dovetail.indexing_combine as combine

    x = ours(values())
    expected = [x[ours.index(index)].tolist() for index in ADVANCED]
    monkeypatch.setattr(combine, "_on_host", lambda value, x: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index, result in zip(ADVANCED, expected, strict=True):
            assert x[ours.index(index)].tolist() == result, name(index)


def test_host_indices_serve_any_device_but_not_the_other_way(
    need_device: Callable[[str], dt.device],
) -> None:
    x = dt.tensor(values())
    far = x.to(need_device("loop:0"))
    index, mask = dt.tensor([0, -1]), dt.tensor(MASK)
    assert far[index].tolist() == x[index].tolist()
    assert far[mask].tolist() == x[mask].tolist()
    far[index] = 5.0
    far[mask] = 6.0
    x[index] = 5.0
    x[mask] = 6.0
    assert far.tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="should be either on cpu or on the same device"):
        x[index.to(far.device)]


def test_second_gradients_of_writing(ours: Ours) -> None:
    where = (slice(None), ours([2, 0]))

    def written(x: dt.Tensor, v: dt.Tensor) -> dt.Tensor:
        h = x * x
        h[where] = v * v
        h[0] = h[1] * 3
        return h * h

    x = ours(np.random.default_rng(0).random((3, 4)), requires_grad=True)
    v = ours(np.random.default_rng(1).random((3, 2)), requires_grad=True)
    assert dt.autograd.gradcheck(written, (x, v))
    assert dt.autograd.gradgradcheck(written, (x, v))
