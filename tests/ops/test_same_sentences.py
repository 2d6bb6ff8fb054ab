"""The same mistake gives the same class and sentence on every device.

A device that finds it late adds the name of what the user called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt
from dovetail.errors import OutOfRangeError

F: Any = dt.nn.functional
Tensor = Callable[[Any], Any]

LATE = " ({}, found when values were asked for)"
BY_ZERO = "ZeroDivisionError"
DEVICES = ("cpu", "loop:0", "dlp:0", "opencl:0")


def _row(i: int = 7, dim: int = 0, size: int = 2) -> str:
    return f"index {i} is out of bounds for dimension {dim} with size {size}"


def _flat(i: int) -> str:
    return f"out of range: tried to access index {i} on a tensor of 2 elements."


def _in_self(size: int) -> str:
    return f"index out of range in self: index 7, size {size}"


def _set(x: Any, i: Any) -> Any:
    x[i] = 5.0
    return x


X, AT, ONE, TABLE = [1.0, 2.0], [7], [1.0], [[1.0, 2.0] * 4]

INDICES: dict[str, tuple[str, str, Callable[[Tensor], Any]]] = {
    "gather": ("gather", _row(), lambda t: t(X).gather(0, t(AT))),
    "gather -1": ("gather", _row(-1), lambda t: t(X).gather(0, t([-1]))),
    "take_along_dim": ("take_along_dim", _row(), lambda t: t(X).take_along_dim(t(AT), 0)),
    "take_along_dim, flat": ("take_along_dim", _row(), lambda t: t(X).take_along_dim(t(AT))),
    "scatter": ("scatter", _row(), lambda t: t(X).scatter(0, t(AT), 1.0)),
    "scatter_add": ("scatter_add", _row(), lambda t: t(X).scatter_add(0, t(AT), t(ONE))),
    "scatter_reduce": (
        "scatter_reduce", _row(), lambda t: t(X).scatter_reduce(0, t(AT), t(ONE), "amax")
    ),
    "scatter_reduce, mean": (
        "scatter_reduce", _row(), lambda t: t(X).scatter_reduce(0, t(AT), t(ONE), "mean")
    ),
    "index_add": ("index_add", _row(), lambda t: t(X).index_add(0, t(AT), t(ONE))),
    "index_add of columns": (
        "index_add", _row(dim=1), lambda t: t([X]).index_add(1, t(AT), t([ONE]))
    ),
    "index_add_": ("index_add", _row(), lambda t: t(X).index_add_(0, t(AT), t(ONE))),
    "index_copy": (
        "index_copy", f"index_copy_(): {_row()}", lambda t: t(X).index_copy(0, t(AT), t(ONE))
    ),
    "index_fill": ("index_fill", _row(), lambda t: t(X).index_fill(0, t(AT), 1.0)),
    "index_reduce": (
        "index_reduce", _in_self(2), lambda t: t(X).index_reduce(0, t(AT), t(ONE), "amax")
    ),
    "index_reduce, mean": (
        "index_reduce", _in_self(2), lambda t: t(X).index_reduce(0, t(AT), t(ONE), "mean")
    ),
    "index_select": ("index_select", _in_self(2), lambda t: t(X).index_select(0, t(AT))),
    "x[i]": ("index", _row(), lambda t: t(X)[t(AT)]),
    "x[i] from the end": ("index", _row(-9), lambda t: t(X)[t([-9])]),
    "x[i, j]": ("index", _row(dim=1), lambda t: t([X])[t([0]), t(AT)]),
    "x[i] = 5": ("index_put", _row(), lambda t: _set(t(X), t(AT))),
    "index_put": ("index_put", _row(), lambda t: dt.index_put(t(X), (t(AT),), t(ONE))),
    "put": ("put", _flat(7), lambda t: t(X).put(t(AT), t(ONE))),
    "take": ("take", _flat(7), lambda t: t(X).take(t(AT))),
    "take from the end": ("take", _flat(-9), lambda t: t(X).take(t([-9]))),
    "embedding": ("embedding", _in_self(1), lambda t: F.embedding(t(AT), t(TABLE))),
    "embedding_bag": ("embedding_bag", _in_self(1), lambda t: F.embedding_bag(t([AT]), t(TABLE))),
    "embedding_bag, max": (
        "embedding_bag", _in_self(1), lambda t: F.embedding_bag(t([AT]), t(TABLE), mode="max")
    ),
    "embedding_bag, offsets": (
        "embedding_bag", _in_self(1), lambda t: F.embedding_bag(t(AT), t(TABLE), t([0]))
    ),
    "nll_loss": ("nll_loss", "Target 7 is out of bounds.", lambda t: F.nll_loss(t([X]), t(AT))),
    "nll_loss of places": (
        "nll_loss", "Target 7 is out of bounds.",
        lambda t: F.nll_loss(t([[[1.0], [2.0]]]), t([AT])),
    ),
    "multi_margin_loss": (
        "multi_margin_loss", "target out of range", lambda t: F.multi_margin_loss(t([X]), t(AT))
    ),
    "max_unpool2d": (
        "max_unpool2d", "Found an invalid max index: 99 (output volumes are of size 2x2)",
        lambda t: F.max_unpool2d(t([[[[1.0]]]]), t([[[[99]]]]), 2),
    ),
    "max_unpool3d": (
        "max_unpool3d", "Found an invalid max index: 99 (output volumes are of size 2x2x2)",
        lambda t: F.max_unpool3d(t([[[[[1.0]]]]]), t([[[[[99]]]]]), 2),
    ),
}  # fmt: skip
"""Mistake -> (what the user called, what is said, the call)."""

DIVISIONS: dict[str, tuple[str, Callable[[Tensor], Any]]] = {
    "a // b": ("floor_divide", lambda t: t([1]) // t([0])),
    "a % b": ("remainder", lambda t: t([1]) % t([0])),
    "fmod": ("fmod", lambda t: t([1]).fmod(t([0]))),
    "div, trunc": ("div", lambda t: t([1]).div(t([0]), rounding_mode="trunc")),
    "div, floor": ("div", lambda t: t([1]).div(t([0]), rounding_mode="floor")),
}


OFFSETS = {
    "not from 0": (
        [1, 2],
        "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
        "position 0. However, got 1",
    ),
    "beyond the end": (
        [0, 9], "offsets[-1] can not be greater than input's length 4 but got offsets[-1] of 9",
    ),
    "falling": ([0, 3, 2], "embedding_bag: offsets must not fall, got 2"),
}  # fmt: skip


@pytest.fixture(params=DEVICES)
def where(request: pytest.FixtureRequest) -> str:
    try:
        dt.ones(1, device=request.param)
    except RuntimeError as error:
        pytest.skip(str(error))
    return str(request.param)


def _refused(where: str, call: Callable[[Tensor], Any]) -> RuntimeError:
    """What is raised, at the call or where values are asked for."""
    with pytest.raises(RuntimeError) as found:  # noqa: PT012
        made = call(lambda values: dt.tensor(values, device=where))
        made.tolist()
        made = dt.ones(1, device=where).tolist()  # what was read was computed before
    return found.value


def _said(where: str, name: str, sentence: str) -> str:
    is_late = where.partition(":")[0] in ("dlp", "opencl")
    return sentence + LATE.format(name) * is_late


@pytest.mark.filterwarnings("ignore::dovetail.errors.HostFallbackWarning")
@pytest.mark.parametrize("mistake", INDICES)
def test_an_index_out_of_range(mistake: str, where: str) -> None:
    name, sentence, call = INDICES[mistake]
    error = _refused(where, call)
    assert str(error) == _said(where, name, sentence)
    assert type(error) is OutOfRangeError
    assert isinstance(error, IndexError)


@pytest.mark.parametrize("mistake", DIVISIONS)
def test_a_whole_number_by_zero(mistake: str, where: str) -> None:
    name, call = DIVISIONS[mistake]
    error = _refused(where, call)
    assert str(error) == _said(where, name, BY_ZERO)
    assert type(error) is RuntimeError


@pytest.mark.parametrize("mistake", OFFSETS)
def test_where_bags_begin(mistake: str, where: str) -> None:
    offsets, sentence = OFFSETS[mistake]
    error = _refused(where, lambda t: F.embedding_bag(t([0, 0, 0, 0]), t(TABLE), t(offsets)))
    late = LATE.format("embedding_bag") * where.startswith("opencl")
    assert str(error) == sentence + late


@pytest.mark.parametrize("wrong", [256, -1])
def test_zero_points(wrong: int, where: str) -> None:
    def call(t: Tensor) -> Any:
        points = t([0, wrong, 0]).to(dt.int32)
        x, scales = t([[0.0], [0.0], [0.0]]), t([1.0, 1.0, 1.0])
        return dt.fake_quantize_per_channel_affine(x, scales, points, 0, 0, 255)

    late = "; found when values were asked for" * where.startswith("opencl")
    name = "fake_quantize_per_channel_affine"
    sentence = "`zero_point` must be between `quant_min` and `quant_max`."
    for _ in range(2):
        assert str(_refused(where, call)) == f"{sentence} ({name}{late})"


FILLS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "masked_fill": lambda x, mask, at, value: x.masked_fill(mask, value),
    "masked_fill_": lambda x, mask, at, value: x.masked_fill_(mask, value),
    "scatter": lambda x, mask, at, value: x.scatter(0, at, value),
    "scatter_": lambda x, mask, at, value: x.scatter_(0, at, value),
    "index_fill": lambda x, mask, at, value: x.index_fill(0, at, value),
    "index_fill_": lambda x, mask, at, value: x.index_fill_(0, at, value),
    "x[mask] = value": lambda x, mask, at, value: _set_at(x, mask, value),
    "x[i] = value": lambda x, mask, at, value: _set_at(x, at, value),
}


def _set_at(x: Any, where: Any, value: Any) -> Any:
    x[where] = value
    return x


@pytest.mark.parametrize("fill", FILLS)
def test_a_number_that_a_dtype_has_not(fill: str, where: str) -> None:
    """Also where such a call has been planned, by a number that fits."""
    mask = dt.tensor([True, False], device=where)
    at = dt.tensor([0], device=where)
    for kind, value, wrong, name in (
        (dt.uint8, 255, 256, "uint8_t"),
        (dt.uint8, -255, -256, "uint8_t"),
        (dt.float32, 3e38, 1e39, "float"),
        (dt.int32, 1.5, float("nan"), "int"),
    ):
        x = dt.zeros(2, dtype=kind, device=where)
        sentence = rf"^value cannot be converted to type {name} without overflow$"
        for _ in range(2):
            with pytest.raises(RuntimeError, match=sentence):
                FILLS[fill](x, mask, at, wrong)
            made = FILLS[fill](x, mask, at, value)
            assert made.tolist() == dt.tensor([value, 0]).to(kind).tolist()
    of_rows = r"^index_fill_\(\): Converting complex Scalar to non-complex type is not supported$"
    sentence = of_rows if "index" in fill else r"^value cannot be converted to type float"
    with pytest.raises(RuntimeError, match=sentence):
        FILLS[fill](dt.zeros(2, device=where), mask, at, 1j)


def test_who_calls_first_lends_no_name_to_others(where: str) -> None:
    """The steps of composites have plans of their own."""
    for mistake in ("scatter_add", "index_add", "put", "scatter_add", "index_add"):
        name, sentence, call = INDICES[mistake]
        assert str(_refused(where, call)) == _said(where, name, sentence)
    for size in (2, 3, 2):
        error = _refused(where, lambda t, n=size: F.max_unpool2d(t([[[[1.0]]]]), t([[[[99]]]]), n))
        assert f"of size {size}x{size})" in str(error)


@pytest.mark.parametrize("numbers", [(0.5, -2.0), (0.5, 300), (-1.0, 2), (300, 2)])
def test_a_threshold_of_integers_must_fit_them(where: str, numbers: tuple[Any, Any]) -> None:
    """Negative whole numbers wrap around, as PyTorch has it; other ones do not."""
    x = dt.tensor([0, 1, 200], dtype=dt.uint8, device=where)
    assert F.threshold(x, 0.5, -2).tolist() == [254, 1, 200]
    with pytest.raises(RuntimeError, match=r"^value cannot be converted to type uint8_t without"):
        F.threshold(x, *numbers)
