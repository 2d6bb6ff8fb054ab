"""Quantized tensors beside PyTorch's: values, facts, printing, operators, errors and files."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from quantized_pairs import as_ours, as_theirs, drawn, integers, numbers, torch_quiet

import dovetail as dt

torch = pytest.importorskip("torch")

KINDS = ("qint8", "quint8", "qint32")
X = drawn(4, 6, seed=1, spread=2.0)
TIES = np.array([0.25, 0.75, 1.25, -0.25, -0.75, 1.75, 2.25, 2.75, 300.0, -300.0], np.float32)


def of(lib: Any, kind: str, zero_point: int = 3, x: np.ndarray = X, scale: float = 0.1) -> Any:
    return lib.quantize_per_tensor(lib.tensor(x), scale, zero_point, getattr(lib, kind))


def by_channel(lib: Any, kind: str, axis: int = 0, x: np.ndarray = X) -> Any:
    rng = np.random.default_rng(5)
    count = x.shape[axis]
    scales = lib.tensor(rng.uniform(0.02, 0.2, count).astype(np.float32))
    points = lib.tensor(rng.integers(0, 5, count))
    return lib.quantize_per_channel(lib.tensor(x), scales, points, axis, getattr(lib, kind))


def facts(q: Any) -> list[str]:
    """What a quantized tensor says of itself, as text that does not name a library."""
    told = [q.dtype, q.qscheme(), tuple(q.shape), q.is_quantized, q.element_size(), q.type()]
    told += [integers(q).tolist(), integers(q).dtype, q.int_repr().dtype, q.dequantize().dtype]
    if "tensor" in str(q.qscheme()):
        told += [q.q_scale(), q.q_zero_point()]
    else:
        told += [q.q_per_channel_scales(), q.q_per_channel_zero_points(), q.q_per_channel_axis()]
    return [str(fact) for fact in told]


def same(run: Callable[[Any], Any]) -> None:
    with torch_quiet():
        theirs = run(torch)
    ours = run(dt)
    pairs = zip(theirs, ours, strict=True) if isinstance(theirs, tuple) else [(theirs, ours)]
    for a, b in pairs:
        assert repr(a) == repr(b)
        if getattr(a, "is_quantized", False):
            assert facts(a) == facts(b)
            np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-6)


@pytest.mark.parametrize("zero_point", [0, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_per_tensor_values(kind: str, zero_point: int) -> None:
    same(lambda lib: of(lib, kind, zero_point))


@pytest.mark.parametrize("zero_point", [3, 4])
@pytest.mark.parametrize("kind", ["qint8", "quint8"])
def test_ties_round_after_the_zero_point_was_added(kind: str, zero_point: int) -> None:
    same(lambda lib: of(lib, kind, zero_point, TIES, 0.5))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", ["qint8", "quint8"])
def test_per_channel_values(kind: str, axis: int) -> None:
    same(lambda lib: by_channel(lib, kind, axis))


def test_float_zero_points_are_added_before_rounding() -> None:
    def run(lib: Any) -> Any:
        scales = lib.tensor([0.1, 0.2, 0.05, 0.3])
        points = lib.tensor([1.5, 0.0, 7.25, 3.0])
        return lib.quantize_per_channel(lib.tensor(X), scales, points, 0, lib.quint8).int_repr()

    same(run)


@pytest.mark.parametrize("reduce_range", [True, False])
@pytest.mark.parametrize("kind", ["qint8", "quint8"])
@pytest.mark.parametrize("shift", [-20.0, -1.0, 0.0, 0.3, 20.0])
def test_the_range_of_dynamic_quantization(shift: float, kind: str, reduce_range: bool) -> None:
    for seed in range(20):
        x = drawn(5, 7, seed=seed, spread=3.0, shift=shift)
        same(
            lambda lib, x=x: lib.quantize_per_tensor_dynamic(
                lib.tensor(x), getattr(lib, kind), reduce_range
            )
        )


@pytest.mark.parametrize(
    "ends", [(0, 0), (1, 1), (0, 1e-30), (-1e-20, 0), (-1e-9, 1e-7), (5, 9), (-9, -5), (0, 1e30)]
)
def test_scales_of_strange_ranges(ends: tuple[float, float]) -> None:
    x = np.array(ends, np.float32)
    theirs = torch._choose_qparams_per_tensor(torch.from_numpy(x), False)
    ours = dt.quantized.choose_qparams(*x.tolist(), 0, 255)
    assert ours[1] == theirs[1]
    assert abs(ours[0] - theirs[0]) <= 2e-7 * theirs[0]


KEEPS_SCALE: dict[str, Callable[[Any, Any], Any]] = {
    "view": lambda lib, q: q.view(-1),
    "reshape": lambda lib, q: q.reshape(3, 8),
    "flatten": lambda lib, q: lib.flatten(q),
    "transpose": lambda lib, q: q.transpose(0, 1),
    "permute": lambda lib, q: q.permute(1, 0),
    "unsqueeze": lambda lib, q: q.unsqueeze(0),
    "row": lambda lib, q: q[1],
    "slice": lambda lib, q: q[1:, ::2],
    "select": lambda lib, q: q.select(1, 2),
    "split": lambda lib, q: q.split(2),
    "chunk": lambda lib, q: q.chunk(2, 1),
    "clone": lambda lib, q: q.clone(),
    "contiguous": lambda lib, q: q.t().contiguous(),
    "detach": lambda lib, q: q.detach(),
    "relu": lambda lib, q: lib.relu(q),
    "cat": lambda lib, q: lib.cat([q, q]),
    "stack": lambda lib, q: lib.stack([q, q]),
    "max": lambda lib, q: q.max(),
    "min along": lambda lib, q: tuple(q.min(1)),
    "sort": lambda lib, q: tuple(q.sort(1)),
    "topk": lambda lib, q: tuple(q.topk(2)),
    "index_select": lambda lib, q: q.index_select(0, lib.tensor([2, 0])),
    "mean": lambda lib, q: q.mean(1),
    "clamp": lambda lib, q: q.clamp(-0.5, 1.0),
    "hardtanh": lambda lib, q: lib.nn.functional.hardtanh(q, -0.3, 0.7),
    "leaky_relu": lambda lib, q: lib.nn.functional.leaky_relu(q, 0.1),
    "max_pool2d": lambda lib, q: lib.nn.functional.max_pool2d(q.reshape(1, 1, 4, 6), 2),
    "avg_pool2d": lambda lib, q: lib.nn.functional.avg_pool2d(q.reshape(1, 1, 4, 6), 2),
    "adaptive_avg_pool2d": lambda lib, q: lib.nn.functional.adaptive_avg_pool2d(
        q.reshape(1, 1, 4, 6), 1
    ),
    "upsample": lambda lib, q: lib.nn.functional.interpolate(
        q.reshape(1, 1, 4, 6), scale_factor=2, mode="nearest"
    ),
    "bilinear": lambda lib, q: lib.nn.functional.interpolate(
        q.reshape(1, 1, 4, 6), size=(5, 3), mode="bilinear", align_corners=False
    ),
    "pad": lambda lib, q: lib.nn.functional.pad(q, (1, 2)),
    "expand": lambda lib, q: q.unsqueeze(0).expand(2, 4, 6),
    "squeeze": lambda lib, q: q.unsqueeze(0).squeeze(),
    "sigmoid": lambda lib, q: lib.sigmoid(q),
    "tanh": lambda lib, q: lib.tanh(q),
    "equal": lambda lib, q: q == q,
    "greater": lambda lib, q: q > 0,
}


@pytest.mark.parametrize("kind", ["qint8", "quint8"])
@pytest.mark.parametrize("name", KEEPS_SCALE)
def test_operators(name: str, kind: str) -> None:
    same(lambda lib: KEEPS_SCALE[name](lib, of(lib, kind)))


def test_a_row_of_channels_has_its_channel_s_scale() -> None:
    same(lambda lib: by_channel(lib, "qint8")[2])


def test_views_share_memory() -> None:
    q = of(dt, "quint8")
    q[0] = 0.0
    assert (q.view(-1).dequantize()[:6] == 0).all()
    view = q.t()
    view[0] = 1.0
    assert (q.dequantize()[:, 0] == 1).all()


def test_in_place_and_copies() -> None:
    same(lambda lib: lib.nn.functional.relu(of(lib, "quint8"), inplace=True))
    same(lambda lib: of(lib, "quint8").copy_(lib.tensor(X) * 2))
    same(lambda lib: of(lib, "quint8").fill_(0.55))
    assert bool(of(dt, "qint8").fill_(1.0)[0, 0])
    q, other = of(dt, "qint8"), of(dt, "qint8", 7, scale=0.3)
    q.copy_(other)
    assert (q.q_scale(), q.q_zero_point()) == (0.3, 7)
    with pytest.raises(RuntimeError, match="same dtype"):
        q.copy_(of(dt, "quint8"))


@pytest.mark.parametrize(
    "run",
    [
        lambda q: q + q, lambda q: q * 2, lambda q: q.sum(), lambda q: -q, lambda q: q.abs(),
        lambda q: q @ q.t(), lambda q: q.argmax(), lambda q: q.square(),
    ],
)  # fmt: skip
def test_what_has_no_integer_form_says_what_to_do(run: Callable[[Any], Any]) -> None:
    with pytest.raises(NotImplementedError, match="dequantize"):
        run(of(dt, "quint8"))
    with torch_quiet(), pytest.raises((NotImplementedError, RuntimeError)):
        run(of(torch, "quint8"))


WRONG: dict[str, Callable[[Any], Any]] = {
    "not quantized": lambda lib: lib.tensor([1.0]).int_repr(),
    "scale of floats": lambda lib: lib.tensor([1.0]).q_scale(),
    "scale per channel": lambda lib: by_channel(lib, "qint8").q_scale(),
    "channels per tensor": lambda lib: of(lib, "qint8").q_per_channel_scales(),
    "another dtype": lambda lib: lib.quantize_per_tensor(lib.tensor(X), 0.1, 0, lib.int8),
    "no dtype": lambda lib: lib.quantize_per_tensor(lib.tensor(X), 0.1, 0, None),
    "half a zero point": lambda lib: lib.quantize_per_tensor(lib.tensor(X), 0.1, 0.5, lib.qint8),
    "several scales": lambda lib: lib.quantize_per_tensor(
        lib.tensor(X), lib.tensor([0.1, 0.2]), lib.tensor([0, 0]), lib.qint8
    ),
    "infinite": lambda lib: lib.quantize_per_tensor_dynamic(
        lib.tensor([1.0, float("inf")]), lib.quint8, False
    ),
    "axis": lambda lib: lib.quantize_per_channel(
        lib.tensor(X), lib.tensor([0.1]), lib.tensor([0]), 9, lib.qint8
    ),
    "double": lambda lib: lib.quantize_per_tensor(lib.tensor(X).double(), 0.1, 0, lib.qint8),
    "zero point": lambda lib: lib.quantize_per_tensor(lib.tensor(X), 0.1, 200, lib.qint8),
    "twice": lambda lib: lib.quantize_per_tensor(of(lib, "qint8"), 0.1, 0, lib.qint8),
    "sizes": lambda lib: lib.quantize_per_channel(
        lib.tensor(X), lib.tensor([0.1]), lib.tensor([0]), 0, lib.qint8
    ),
    "to float": lambda lib: of(lib, "qint8").to(lib.float32),
    "to quantized": lambda lib: lib.tensor(X).to(lib.qint8),
    "gradient": lambda lib: of(lib, "qint8").requires_grad_(),
    "numpy": lambda lib: of(lib, "qint8").numpy(),
    "view per channel": lambda lib: by_channel(lib, "qint8").t(),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls(name: str) -> None:
    with torch_quiet(), pytest.raises((RuntimeError, TypeError)) as theirs:
        WRONG[name](torch)
    with pytest.raises(theirs.type) as ours:
        WRONG[name](dt)
    assert re.search(r"\w+", str(ours.value))


def test_lists_and_tuples() -> None:
    def run(lib: Any) -> Any:
        rows = [lib.tensor(row) for row in X]
        scales, points = lib.tensor([0.1, 0.2, 0.3, 0.4]), lib.tensor([0, 1, 2, 3])
        made = lib.quantize_per_tensor(rows, scales, points, lib.qint8)
        return tuple(made) + tuple(lib.dequantize(list(made)))

    same(run)


@pytest.mark.parametrize("make", [of, by_channel])
def test_files_both_ways(make: Any) -> None:
    ours = make(dt, "qint8")
    theirs = as_theirs({"q": ours, "view": make(dt, "quint8")[1:2] if make is of else ours})
    assert facts(theirs["q"]) == facts(ours)
    back = as_ours({"q": theirs["q"], "dtype": torch.quint8, "scheme": torch.per_tensor_affine})
    assert facts(back["q"]) == facts(ours)
    assert back["dtype"] is dt.quint8
    assert back["scheme"] is dt.per_tensor_affine


@pytest.mark.parametrize("make", [of, by_channel])
def test_copies_of_python(make: Any) -> None:
    q = make(dt, "qint8")
    for twin in (copy.deepcopy(q), copy.copy(q), pickle.loads(pickle.dumps(q))):
        assert type(twin) is type(q)
        assert facts(twin) == facts(q)
    deep = copy.deepcopy(q)
    deep._ints.fill_(0)
    assert integers(q).any()


def test_a_damaged_file_is_refused() -> None:
    file = io.BytesIO()
    dt.save(of(dt, "qint8"), file)
    data = file.getvalue().replace(b"per_tensor_affine", b"per_tensor_symmetr")
    with pytest.raises((dt.serialization.CheckpointError, RuntimeError)):
        dt.load(io.BytesIO(data))


def test_int_mm_is_exact() -> None:
    rng = np.random.default_rng(0)
    for fill in (127, -128):
        a, b = np.full((3, 2501), fill, np.int8), np.full((2501, 2), fill, np.int8)
        a[1], b[:, 1] = rng.integers(-128, 128, 2501), 127
        made = dt._int_mm(dt.tensor(a), dt.tensor(b))
        assert made.dtype is dt.int32
        assert (made.numpy() == a.astype(np.int64) @ b.astype(np.int64)).all()
        assert (torch._int_mm(torch.tensor(a), torch.tensor(b)).numpy() == made.numpy()).all()
    with pytest.raises(RuntimeError, match="int8"):
        dt._int_mm(dt.ones(2, 2), dt.ones(2, 2))
