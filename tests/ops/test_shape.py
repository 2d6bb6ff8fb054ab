"""Joining, splitting, repeating, turning, padding, triangles beside PyTorch."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, both_raise, torch, tuple_of

import dovetail as dt
from dovetail import ops

RNG = np.random.default_rng(0)


def x(*shape: int) -> np.ndarray:
    return RNG.uniform(-1, 1, shape)


def i(*values: int) -> np.ndarray:
    return np.array(values)


def pad(lib: Any, *args: Any, **kwargs: Any) -> Any:
    return (ops.pad if lib is dt else torch.nn.functional.pad)(*args, **kwargs)


# What PyTorch gives as a view must be one here, with the same strides and offset.
VIEWS: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "split": (lambda m, a: a.split(2), (x(5, 3),)),
    "split by sizes": (lambda m, a: m.split(a, [1, 0, 3], dim=-1), (x(2, 4),)),
    "split of nothing": (lambda m, a: a.split(2), (x(0, 3),)),
    "chunk": (lambda m, a: a.chunk(3, 1), (x(2, 5),)),
    "chunk of nothing": (lambda m, a: a.chunk(2), (x(0),)),
    "more chunks than indices": (lambda m, a: a.chunk(4), (x(3),)),
    "tensor_split": (lambda m, a: a.tensor_split(3), (x(5, 2),)),
    "tensor_split at": (lambda m, a: a.tensor_split([1, 3, 2]), (x(5, 2),)),
    "tensor_split past the end": (lambda m, a: a.tensor_split((2, 9), 1), (x(1, 5),)),
    "hsplit": (lambda m, a: m.hsplit(a, 2), (x(4, 4),)),
    "hsplit of a vector": (lambda m, a: m.hsplit(a, 2), (x(4),)),
    "vsplit": (lambda m, a: m.vsplit(a, 2), (x(4, 2),)),
    "dsplit": (lambda m, a: m.dsplit(a, [1]), (x(2, 2, 3),)),
    "unbind": (lambda m, a: a.unbind(1), (x(2, 3, 4),)),
    "unbind a vector": (lambda m, a: m.unbind(a), (x(3),)),
    "rows": (lambda m, a: tuple(row for row in a), (x(3, 2),)),
    "flatten": (lambda m, a: a.flatten(1), (x(2, 3, 4),)),
    "flatten a number": (lambda m, a: a.flatten(), (x(),)),
    "flatten one dim": (lambda m, a: a.flatten(1, 1), (x(2, 3, 4),)),
    "flatten within": (lambda m, a: a[:, ::2].flatten(1, 2), (x(2, 4, 3),)),
    "ravel": (lambda m, a: m.ravel(a), (x(2, 3),)),
    "unflatten": (lambda m, a: a.unflatten(1, (2, -1)), (x(2, 6),)),
    "unflatten strided": (lambda m, a: a.t().unflatten(0, (3, 2)), (x(2, 6),)),
    "view_as": (lambda m, a, b: a.view_as(b), (x(2, 6), x(3, 4))),
    "reshape_as": (lambda m, a, b: a.reshape_as(b), (x(2, 6), x(3, 4))),
    "expand_as": (lambda m, a, b: a.expand_as(b), (x(1, 4), x(3, 4))),
    "broadcast_to": (lambda m, a: m.broadcast_to(a, (2, 3, 4)), (x(3, 1),)),
    "broadcast_tensors": (lambda m, *a: m.broadcast_tensors(*a), (x(3, 1), x(1, 4), x(2, 1, 1))),
    "atleast_1d": (lambda m, a: m.atleast_1d(a), (x(),)),
    "atleast_2d": (lambda m, *a: m.atleast_2d(*a), (x(), x(3), x(2, 3))),
    "atleast_3d": (lambda m, *a: m.atleast_3d(a), (x(), x(3), x(2, 3), x(1, 2, 3, 4))),
    "meshgrid": (lambda m, *a: m.meshgrid(*a, indexing="ij"), (x(2), x(3), x())),
    "meshgrid xy": (lambda m, *a: m.meshgrid(*a, indexing="xy"), (x(2), x(3), x(4))),
    "movedim": (lambda m, a: a.movedim(0, -1), (x(2, 3, 4),)),
    "movedim of several": (lambda m, a: m.moveaxis(a, (0, 2), (1, 0)), (x(2, 3, 4),)),
    "swapaxes": (lambda m, a: m.swapaxes(a, 0, 2), (x(2, 3, 4),)),
    "T": (lambda m, a: a.T, (x(2, 3),)),
    "mT": (lambda m, a: a.mT, (x(2, 3, 4),)),
    "H": (lambda m, a: a.H, (x(2, 3),)),
    "mH": (lambda m, a: a.mH, (x(2, 3, 4),)),
    "adjoint": (lambda m, a: a.adjoint(), (x(2, 3, 4),)),
}  # fmt: skip

COPIES: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "cat": (lambda m, *a: m.cat(a), (x(2, 3), x(1, 3), x(0, 3))),
    "cat along the last": (lambda m, *a: m.concat(a, -1), (x(2, 3), x(2, 1))),
    "cat one": (lambda m, *a: m.concatenate(a), (x(2, 3),)),
    "cat with an empty vector": (lambda m, *a: m.cat(a, 1), (x(2, 3), x(0), x(2, 2))),
    "cat empty vectors": (lambda m, *a: m.cat(a), (x(0), x(0))),
    "cat of views": (lambda m, a: m.cat([a.t(), a.t()[::2]]), (x(3, 4),)),
    "cat of one twice": (lambda m, a: m.cat([a, a], 1), (x(3, 4),)),
    "stack": (lambda m, *a: m.stack(a), (x(2, 3), x(2, 3))),
    "stack along the last": (lambda m, *a: m.stack(a, -1), (x(2, 3), x(2, 3), x(2, 3))),
    "stack numbers": (lambda m, *a: m.stack(a), (x(), x())),
    "hstack": (lambda m, *a: m.hstack(a), (x(2, 1), x(2, 3))),
    "hstack vectors": (lambda m, *a: m.hstack(a), (x(2), x(), x(3))),
    "vstack": (lambda m, *a: m.vstack(a), (x(3), x(2, 3))),
    "dstack": (lambda m, *a: m.dstack(a), (x(2), x(1, 2))),
    "column_stack": (lambda m, *a: m.column_stack(a), (x(2), x(2, 2))),
    "repeat": (lambda m, a: a.repeat(2, 1, 3), (x(2, 3),)),
    "repeat none": (lambda m, a: a.repeat(0, 2), (x(2, 3),)),
    "tile": (lambda m, a: m.tile(a, (2,)), (x(2, 3),)),
    "tile more dims": (lambda m, a: a.tile(2, 1, 2), (x(2, 3),)),
    "repeat_interleave": (lambda m, a: a.repeat_interleave(2), (x(2, 3),)),
    "repeat_interleave dim": (lambda m, a: m.repeat_interleave(a, 3, dim=-1), (x(2, 3),)),
    "repeat_interleave each": (
        lambda m, a, r: m.repeat_interleave(a, r, dim=0), (x(3, 2), i(1, 0, 2)),
    ),
    "repeat_interleave one": (lambda m, a, r: m.repeat_interleave(a, r), (x(3, 2), i(2))),
    "repeat_interleave of counts": (lambda m, r: m.repeat_interleave(r), (i(2, 0, 3),)),
    "flip": (lambda m, a: a.flip(0, 2), (x(2, 3, 4),)),
    "flip a tuple": (lambda m, a: m.flip(a, (1,)), (x(2, 3),)),
    "fliplr": (lambda m, a: m.fliplr(a), (x(2, 3),)),
    "flipud": (lambda m, a: m.flipud(a), (x(3),)),
    "roll": (lambda m, a: a.roll((1, -2), (0, 1)), (x(2, 5),)),
    "roll flat": (lambda m, a: m.roll(a, 4), (x(2, 5),)),
    "roll a dim twice": (lambda m, a: m.roll(a, (1, 3), (1, 1)), (x(2, 5),)),
    **{
        f"rot90 {k}": (lambda m, a, k=k: m.rot90(a, k, (0, 2)), (x(2, 3, 4),))
        for k in range(-1, 5)
    },
    "tril": (lambda m, a: a.tril(1), (x(2, 3, 4),)),
    "triu": (lambda m, a: m.triu(a, -1), (x(4, 3),)),
    "tril far off": (lambda m, a: a.tril(-9), (x(2, 3),)),
    "diag of a vector": (lambda m, a: m.diag(a, -1), (x(3),)),
    "diag of a matrix": (lambda m, a: a.diag(1), (x(3, 4),)),
    "diag_embed": (lambda m, a: m.diag_embed(a, 1, 0, 2), (x(2, 3),)),
    "diagflat": (lambda m, a: m.diagflat(a), (x(2, 2),)),
    "block_diag": (lambda m, *a: m.block_diag(*a), (x(2, 3), x(2), x())),
    "narrow_copy": (lambda m, a: m.narrow_copy(a, 1, 1, 2), (x(2, 4),)),
    "pad": (lambda m, a: pad(m, a, (1, 2)), (x(2, 3),)),
    "pad with a value": (lambda m, a: pad(m, a, (1, 0, 2, 1), value=3.0), (x(2, 3),)),
    "pad and cut": (lambda m, a: pad(m, a, (-1, 2, 1, -1)), (x(3, 4),)),
    "pad nothing": (lambda m, a: pad(m, a, (0, 0)), (x(3),)),
    "pad an empty tensor": (lambda m, a: pad(m, a, (1, 1)), (x(2, 0),)),
    "pad with few channels": (lambda m, a: pad(m, a.transpose(1, 3), (1, 1)), (x(2, 4, 3, 2),)),
    "pad reflect": (lambda m, a: pad(m, a, (2, 1), "reflect"), (x(2, 4),)),
    "pad reflect 2": (lambda m, a: pad(m, a, (2, 1, 0, 1), "reflect"), (x(1, 2, 3, 4),)),
    "pad replicate": (lambda m, a: pad(m, a, (2, 5), "replicate"), (x(2, 4),)),
    "pad replicate 3": (
        lambda m, a: pad(m, a, (1, 2, 0, 1, 2, 0), "replicate"), (x(1, 2, 2, 3, 4),),
    ),
    "pad replicate and cut": (lambda m, a: pad(m, a, (-1, 1), "replicate"), (x(1, 4),)),
    "pad circular": (lambda m, a: pad(m, a, (2, 4), "circular"), (x(2, 4),)),
    "pad circular 2": (lambda m, a: pad(m, a, (1, 0, 2, 1), "circular"), (x(1, 2, 3, 4),)),
    "pad circular and cut": (lambda m, a: pad(m, a, (-1, 1), "circular"), (x(1, 4),)),
}  # fmt: skip


@pytest.mark.parametrize("name", [*VIEWS, *COPIES])
def test_values_and_gradients(name: str, device: Any, served: str) -> None:
    function, arrays = {**VIEWS, **COPIES}[name]
    beside_torch(
        partial(function, dt), partial(function, torch), *arrays, dtype="float64", device=device
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "int64", "bool"])
@pytest.mark.parametrize("name", COPIES)
def test_other_dtypes(name: str, dtype: str, device: Any) -> None:
    function, arrays = COPIES[name]
    if dtype in ("int64", "bool"):
        if dtype == "bool" and name.startswith("pad") and ("value" in name or "re" in name):
            return  # PyTorch has none
        arrays = tuple(
            np.asarray(a * 9).astype(dtype) if a.dtype.kind == "f" else a for a in arrays
        )
        beside_torch(
            partial(function, dt), partial(function, torch), *arrays, device=device, order=0
        )
    else:
        beside_torch(
            partial(function, dt), partial(function, torch), *arrays,
            dtype=dtype, device=device, order=0 if dtype == "bfloat16" else 1,
        )  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_views(name: str, device: Any) -> None:
    function, arrays = VIEWS[name]
    mine = [dt.tensor(a, device=device) for a in arrays]
    other = [torch.from_numpy(a.copy()) for a in arrays]
    for ours, theirs in zip(
        tuple_of(function(dt, *mine)), tuple_of(function(torch, *other)), strict=True
    ):
        if not ours.numel():
            continue
        assert ours.stride() == theirs.stride()
        assert ours.storage_offset() == theirs.storage_offset()
        if 0 in ours.stride():
            continue
        # A view writes through to what it came from.
        ours.fill_(7)
        theirs.fill_(7)
    for ours, theirs in zip(mine, other, strict=True):
        assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("name", COPIES)
def test_copies_do_not_alias(name: str, device: Any) -> None:
    function, arrays = COPIES[name]
    mine = [dt.tensor(a, device=device) for a in arrays]
    before = [a.tolist() for a in mine]
    for made in tuple_of(function(dt, *mine)):
        made.fill_(7)
    assert [a.tolist() for a in mine] == before


def test_parts_share_one_node(device: Any) -> None:
    whole = dt.ones(6, 3, device=device).requires_grad_()
    for parts, name in (
        (whole.split(2), "SplitBackward0"),
        (whole.split([1, 5]), "SplitWithSizesBackward0"),
        (whole.chunk(2, 1), "SplitBackward0"),
        (whole.unbind(), "UnbindBackward0"),
    ):
        assert {p.grad_fn.name() for p in parts} == {name}
        assert len({p.grad_fn for p in parts}) == 1
        assert [p.output_nr for p in parts] == list(range(len(parts)))
    used = whole.unbind()[2]
    (grad,) = dt.autograd.grad(used, whole, dt.ones_like(used))
    assert grad.tolist() == [[1.0] * 3 if row == 2 else [0.0] * 3 for row in range(6)]


def test_writing_into_a_part_is_seen_by_backward(device: Any) -> None:
    leaf = dt.ones(4, device=device).requires_grad_()
    whole = leaf * 1
    whole.split(2)[1].mul_(3)
    (grad,) = dt.autograd.grad(whole, leaf, dt.ones_like(whole))
    assert grad.tolist() == [1.0, 1.0, 3.0, 3.0]


def test_channels_last_survives(device: Any) -> None:
    a = dt.ones(2, 3, 4, 5, device=device).contiguous(memory_format=dt.channels_last)
    made = [dt.cat([a, a], 1), dt.cat([a, a], 3), ops.pad(a, (1, 1, 2, 2))]
    if a.is_cpu:  # other devices may take dense row-major memory only
        assert all(m.is_contiguous(memory_format=dt.channels_last) for m in made)
    assert made[0].tolist() == [[[[1.0] * 5] * 4] * 6] * 2


def test_cat_promotes(device: Any, served: str) -> None:
    kinds = (dt.int64, dt.float32, dt.bool, dt.float64)
    made = dt.cat([dt.ones(2, dtype=k, device=device) for k in kinds])
    assert made.dtype is dt.float64
    assert made.tolist() == [1.0] * 8
    assert (
        dt.stack([dt.ones(2, device=device).int(), dt.ones(2, device=device)]).dtype is dt.float32
    )


def test_cat_out(device: Any) -> None:
    out = dt.empty(4, device=device)
    assert dt.cat([dt.ones(2, device=device), dt.zeros(2, device=device)], out=out) is out
    assert out.tolist() == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("function", ["tril_indices", "triu_indices"])
def test_indices_of_triangles(function: str, device: Any) -> None:
    for args in ((3, 3), (2, 4, 1), (4, 2, -1), (0, 3), (3, 3, 9)):
        mine = getattr(dt, function)(*args, device=device)
        assert mine.tolist() == getattr(torch, function)(*args).tolist()
        assert mine.dtype is dt.int64
    assert getattr(dt, function)(3, 3, dtype=dt.int32, device=device).dtype is dt.int32


def test_broadcast_shapes() -> None:
    for shapes in (((2, 3), (3,)), ((2, 1), 3, (1, 1)), (), ((0,), (1,)), ((5, 1, 4), (3, 1))):
        assert tuple(dt.broadcast_shapes(*shapes)) == tuple(torch.broadcast_shapes(*shapes))


def test_triangle_in_place(device: Any) -> None:
    a = dt.ones(3, 3, device=device)
    assert a.tril_() is a
    assert a.tolist() == [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]


ERRORS: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "cat nothing": (lambda m: m.cat([]), ()),
    "cat a tensor": (lambda m, a: m.cat(a), (x(2, 3),)),
    "cat numbers": (lambda m: m.cat([1, 2]), ()),
    "cat sizes": (lambda m, *a: m.cat(a), (x(2, 3), x(2, 4))),
    "cat dims": (lambda m, *a: m.cat(a), (x(2, 3), x(2))),
    "cat 0-d": (lambda m, *a: m.cat(a), (x(2), x())),
    "cat dim": (lambda m, *a: m.cat(a, 2), (x(2, 3), x(2, 3))),
    "stack nothing": (lambda m: m.stack([]), ()),
    "stack sizes": (lambda m, *a: m.stack(a), (x(2), x(3))),
    "stack dim": (lambda m, *a: m.stack(a, 5), (x(2), x(2))),
    "hstack nothing": (lambda m: m.hstack([]), ()),
    "vstack sizes": (lambda m, *a: m.vstack(a), (x(2), x(3))),
    "split 0": (lambda m, a: a.split(0), (x(5),)),
    "split -1": (lambda m, a: a.split(-1), (x(5),)),
    "split sum": (lambda m, a: a.split([2, 2]), (x(5),)),
    "split negative": (lambda m, a: a.split([2, -1, 4]), (x(5),)),
    "split 0-d": (lambda m, a: a.split(1), (x(),)),
    "split dim": (lambda m, a: a.split(1, 1), (x(5),)),
    "chunk 0": (lambda m, a: a.chunk(0), (x(5),)),
    "chunk 0-d": (lambda m, a: a.chunk(2), (x(),)),
    "tensor_split 0": (lambda m, a: a.tensor_split(0), (x(5),)),
    "tensor_split 0-d": (lambda m, a: a.tensor_split(2), (x(),)),
    "hsplit": (lambda m, a: m.hsplit(a, 3), (x(4, 4),)),
    "vsplit": (lambda m, a: m.vsplit(a, 2), (x(4),)),
    "unbind 0-d": (lambda m, a: a.unbind(), (x(),)),
    "unbind dim": (lambda m, a: a.unbind(1), (x(5),)),
    "flatten": (lambda m, a: a.flatten(1, 0), (x(2, 3),)),
    "flatten dim": (lambda m, a: a.flatten(0, 5), (x(2, 3),)),
    "unflatten": (lambda m, a: a.unflatten(0, (4, -1)), (x(6),)),
    "unflatten nothing": (lambda m, a: a.unflatten(0, ()), (x(6),)),
    "repeat": (lambda m, a: a.repeat(2), (x(2, 3),)),
    "repeat negative": (lambda m, a: a.repeat(2, -1), (x(2, 3),)),
    "repeat_interleave negative": (lambda m, a: a.repeat_interleave(-1), (x(3),)),
    "repeat_interleave count": (lambda m, a, r: a.repeat_interleave(r), (x(3), i(1, 2))),
    "repeat_interleave sign": (lambda m, a, r: a.repeat_interleave(r), (x(3), i(1, 2, -1))),
    "repeat_interleave size": (lambda m, a: a.repeat_interleave(2, output_size=7), (x(3),)),
    "tril of a vector": (lambda m, a: a.tril(), (x(2),)),
    "tril_indices": (lambda m: m.tril_indices(-1, 3), ()),
    "diag 3-D": (lambda m, a: a.diag(), (x(2, 3, 4),)),
    "diag_embed": (lambda m, a: m.diag_embed(a, 1, 0, 0), (x(2, 3),)),
    "flip twice": (lambda m, a: a.flip(0, 0), (x(2, 3),)),
    "flip dim": (lambda m, a: a.flip(5), (x(2, 3),)),
    "fliplr": (lambda m, a: m.fliplr(a), (x(2),)),
    "flipud": (lambda m, a: m.flipud(a), (x(),)),
    "roll": (lambda m, a: a.roll((1, 1)), (x(2, 3),)),
    "roll nothing": (lambda m, a: a.roll((), 0), (x(2, 3),)),
    "rot90 of a vector": (lambda m, a: m.rot90(a), (x(2),)),
    "rot90 one dim": (lambda m, a: m.rot90(a, 1, (0, 0)), (x(2, 3),)),
    "rot90 three": (lambda m, a: m.rot90(a, 1, (0, 1, 2)), (x(2, 3),)),
    "movedim": (lambda m, a: m.movedim(a, (0, 1), (2,)), (x(2, 3, 4),)),
    "movedim source": (lambda m, a: m.movedim(a, (0, 0), (1, 2)), (x(2, 3, 4),)),
    "movedim destination": (lambda m, a: m.movedim(a, (0, 1), (2, 2)), (x(2, 3, 4),)),
    "broadcast_tensors": (lambda m, *a: m.broadcast_tensors(*a), (x(2, 3), x(4))),
    "broadcast_shapes": (lambda m: m.broadcast_shapes((2, 3), (4,)), ()),
    "broadcast_shapes negative": (lambda m: m.broadcast_shapes((2, 3), -1), ()),
    "meshgrid": (lambda m, *a: m.meshgrid(*a, indexing="zz"), (x(2), x(3))),
    "meshgrid nothing": (lambda m: m.meshgrid(indexing="ij"), ()),
    "meshgrid dtypes": (
        lambda m, a, b: m.meshgrid(a, b.double(), indexing="ij"), (x(2), x(2)),
    ),
    "mT": (lambda m, a: a.mT, (x(2),)),
    "H": (lambda m, a: a.H, (x(2, 3, 4),)),
    "pad odd": (lambda m, a: pad(m, a, (1,)), (x(2),)),
    "pad too many": (lambda m, a: pad(m, a, (1, 1, 1, 1)), (x(2),)),
    "pad cuts too much": (lambda m, a: pad(m, a, (-1, -2)), (x(2),)),
    "pad cuts more than is there": (lambda m, a: pad(m, a, (-3, 2)), (x(2),)),
    "pad mode": (lambda m, a: pad(m, a, (1, 1), "foo"), (x(1, 2),)),
    "pad value": (lambda m, a: pad(m, a, (1, 1), "reflect", 2.0), (x(1, 2),)),
    "pad dims": (lambda m, a: pad(m, a, (1, 1), "reflect"), (x(2),)),
    "pad reflect": (lambda m, a: pad(m, a, (2, 1), "reflect"), (x(1, 2),)),
    "pad circular": (lambda m, a: pad(m, a, (3, 1), "circular"), (x(1, 2),)),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, device: Any) -> None:
    function, arrays = ERRORS[name]
    both_raise(function, *arrays, device=device)


def test_all_dims_given_to_transpose_are_for_permute() -> None:
    mine, theirs = dt.ones(2, 3, 4), torch.ones(2, 3, 4)
    says = r"it exchanges two; permute\(1, 2, 0\) puts all of them in an order"
    for call in (lambda t: t.transpose(1, 2, 0), lambda t: t.swapaxes(1, 2, 0)):
        with pytest.raises(TypeError, match="takes"):
            call(theirs)
        with pytest.raises(TypeError, match=says):
            call(mine)
    with pytest.raises(TypeError, match=says):
        dt.transpose(mine, 1, 2, 0)
    with pytest.raises(TypeError, match="missing 1 required"):
        mine.transpose(1)
