"""What cuBLASLt and cuDNN are asked, with stand-ins for them that compute on the host."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from libraries import FrontEnd, Products

import dovetail as dt
from dovetail import ops
from dovetail.backend.state import state_of
from dovetail_conformance.compare import tolerance_of
from dovetail_cuda import blas, dnn
from dovetail_cuda.kernels import FAMILIES, products, widened

Placed = tuple[Any, Products, FrontEnd]
"""The driver, and the two libraries."""

NAME = "standin:0"
FLOATS = (dt.float32, dt.float64, dt.float16, dt.bfloat16)
KINDS = (*FLOATS, dt.complex64, dt.complex128)


@pytest.fixture
def placed(stand: Any) -> Iterator[Callable[..., Placed]]:
    """``placed(products, front_end)``: the stand-in's device with these libraries."""

    def made(products: Products | None = None, front_end: FrontEnd | None = None) -> Placed:
        driver, _ = stand(total=1 << 33)
        products, front_end = products or Products(), front_end or FrontEnd()
        blas.place(products)
        dnn.place(front_end)
        table = state_of(dt.device(NAME)).table
        for family in FAMILIES:
            importlib.import_module(f"dovetail_cuda.kernels.{family}").enter(table)
        return driver, products, front_end

    yield made
    blas.place(None)
    dnn.place(None)
    dnn.declined.clear()


def drawn(*shape: int, dtype: dt.dtype, seed: int = 0, where: str = NAME) -> Any:
    rng = np.random.default_rng(seed)
    made = rng.uniform(-1, 1, shape)
    return dt.tensor(made + 1j * made[::-1] if dtype.is_complex else made).to(dtype).to(where)


def values_of(x: Any) -> np.ndarray:
    here = x.detach().cpu()
    return np.asarray(here.to(dt.complex128 if x.dtype.is_complex else dt.float64).numpy())


def close(name: str, result: Any, expected: np.ndarray, given: list[Any]) -> None:
    found, wanted = values_of(result), np.asarray(expected)
    assert found.shape == wanted.shape
    allowed = tolerance_of(ops.REGISTRY[name], result.dtype, wanted, given)
    assert (np.abs(found - wanted) <= allowed).all()


# products


def _laid(dtype: dt.dtype, where: str) -> list[tuple[Any, Any]]:
    def drawn_there(*shape: int) -> Any:
        return drawn(*shape, dtype=dtype, where=where)

    wide = drawn_there(9, 11)
    return [
        (drawn_there(3, 5), drawn_there(5, 4)),
        (drawn_there(5, 3).mT, drawn_there(4, 5).mT),
        (wide[1:4, 2:7], wide[3:8, 1:5]),
        (drawn_there(1, 5), drawn_there(5, 1)),
        (drawn_there(3, 1), drawn_there(1, 4)),
        (drawn_there(2, 3, 7, 5), drawn_there(2, 3, 5, 4)),
        (drawn_there(3, 5), drawn_there(2, 5, 4)),
        (drawn_there(2, 3, 7, 5), drawn_there(3, 5, 4)),
        (drawn_there(2, 7, 3, 5).transpose(1, 2), drawn_there(2, 3, 5, 4)),
    ]


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_how_matrices_lie(placed: Any, dtype: dt.dtype) -> None:
    driver, library, _ = placed()
    for (a, b), here in zip(_laid(dtype, NAME), _laid(dtype, "cpu"), strict=True):
        driver.launched.clear()
        x, y = map(values_of, here)
        close("matmul", a @ b, x @ y, [x, y])
        assert not driver.launched, "nothing is packed"
    batches = [problem.batch for problem, *_ in library.queued]
    assert batches == [1, 1, 1, 1, 1, 6, 2, 3, 3, 3, 3], "the last two take a loop"


def test_long_rows_of_halves_are_aligned(placed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, library, _ = placed()
    monkeypatch.setattr(products, "MUCH", 1)
    x, weight = drawn(6, 16, dtype=dt.bfloat16), drawn(13, 16, dtype=dt.bfloat16)
    dt.nn.functional.linear(x, weight)
    problem = library.queued[-1][0]
    assert (problem.d.lead, problem.a.lead, problem.b.lead) == (16, 16, 16)
    assert [launch.name for launch in driver.launched] == ["copy"]
    made = drawn(6, 13, dtype=dt.bfloat16)
    made @ weight
    assert library.queued[-1][0].b.lead == 16
    made.mT @ x
    problem = library.queued[-1][0]
    assert (problem.b.lead, problem.turned_b) == (16, True)
    drawn(6, 13, dtype=dt.float32) @ drawn(13, 5, dtype=dt.float32)
    assert library.queued[-1][0].d.lead == 5


def test_many_of_them_are_copied_in_pieces(placed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, library, _ = placed()
    for name, value in (("MUCH", 1), ("TILE", 2), ("PIECE", 128)):
        monkeypatch.setattr(products, name, value)
    x, weight = drawn(7, 16, dtype=dt.bfloat16), drawn(13, 16, dtype=dt.bfloat16)
    dt.nn.functional.linear(x, weight, drawn(13, dtype=dt.bfloat16))
    assert [problem.d.columns for problem, *_ in library.queued] == [4, 3]
    library.queued.clear()
    dt.nn.functional.linear(drawn(2, 4, 16, dtype=dt.bfloat16), weight)
    assert [problem.d.columns for problem, *_ in library.queued] == [4, 4]
    library.queued.clear()
    made = drawn(7, 13, dtype=dt.bfloat16)
    made @ weight
    assert [problem.d.columns for problem, *_ in library.queued] == [4, 3]
    library.queued.clear()
    made.mT @ x
    assert [problem.d.columns for problem, *_ in library.queued] == [6, 6, 1]


def test_odd_sizes_of_halves_are_made_even(placed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, library, _ = placed()
    for of, name, value in (
        (products, "MUCH", 1), (products, "LEAST", 1), (products, "PIECE", 128),
        (widened, "TILE", 2),
    ):  # fmt: skip
        monkeypatch.setattr(of, name, value)
    x, weight = drawn(7, 16, dtype=dt.bfloat16), drawn(13, 16, dtype=dt.bfloat16)
    dt.nn.functional.linear(x, weight)
    assert [(p.d.rows, p.d.columns, p.d.lead) for p, *_ in library.queued] == [
        (16, 4, 16),
        (16, 3, 16),
    ]
    library.queued.clear()
    driver.launched.clear()
    drawn(7, 13, dtype=dt.bfloat16) @ weight
    assert [(p.b.rows, p.b.columns, p.d.rows) for p, *_ in library.queued] == [
        (16, 4, 16),
        (16, 3, 16),
    ]
    names = [launch.name for launch in driver.launched]
    assert sum(name.startswith("fill") for name in names) == 3, "what is added to the depth is 0"
    library.queued.clear()
    drawn(7, 13, dtype=dt.float32) @ drawn(13, 5, dtype=dt.float32)
    assert [p.d.rows for p, *_ in library.queued] == [5]


def test_rows_of_a_batch_are_one_matrix(placed: Any) -> None:
    _, library, _ = placed()
    x, weight = drawn(4, 6, 5, dtype=dt.float32), drawn(7, 5, dtype=dt.float32)
    made = dt.nn.functional.linear(x, weight, drawn(7, dtype=dt.float32, seed=1))
    wanted = values_of(x) @ values_of(weight).T + values_of(drawn(7, dtype=dt.float32, seed=1))
    close("linear", made, wanted, [values_of(x), values_of(weight)])
    ((problem, _, beta, _),) = library.queued
    assert (problem.batch, problem.d.columns, problem.epilogue, beta) == (1, 24, blas.BIAS, 0)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (4,)], ids=str)
def test_what_is_added(placed: Any, shape: Any, has_bias: bool) -> None:
    _driver, library, _ = placed(Products(has_bias=has_bias))
    a, b = drawn(3, 5, dtype=dt.float64), drawn(5, 4, dtype=dt.float64)
    added = drawn(*shape, dtype=dt.float64)
    for beta, alpha in ((1, 1), (1, 3), (0, 2), (0.5, 2)):
        made = dt.addmm(added, a, b, beta=beta, alpha=alpha)
        problem, by, times, _ = library.queued[-1]
        assert by == alpha
        is_bias = beta == 1 and shape[0] != 3
        assert problem.epilogue == (blas.BIAS if is_bias and has_bias else blas.DEFAULT)
        assert times == (0 if is_bias and has_bias else beta)
        if beta == 0 or (len(shape) == 2 and shape[0] == 3) or (is_bias and has_bias):
            wanted = beta * values_of(added) + alpha * values_of(a) @ values_of(b)
            close("addmm", made, wanted, [values_of(a), values_of(b)])


def test_precision_is_asked_for_at_each_call(placed: Any) -> None:
    _, library, _ = placed()
    a = drawn(4, 4, dtype=dt.float32)
    for allowed in (False, True, False):
        with dt.backends.cuda.matmul.flags(allow_tf32=allowed):
            a @ a
        assert library.queued[-1][0].tf32 == allowed
    with dt.backends.cuda.matmul.flags(allow_tf32=True):
        drawn(4, 4, dtype=dt.float64) @ drawn(4, 4, dtype=dt.float64)
    assert not library.queued[-1][0].tf32


def test_alignment_is_that_of_the_addresses(placed: Any) -> None:
    _, library, _ = placed()
    x = drawn(200, dtype=dt.float32)
    for first, aligned in ((1, 4), (2, 8), (3, 4)):
        a = x[first : first + 16].view(4, 4)
        a @ a
        assert library.queued[-1][0].aligned == aligned
    a @ x[:16].view(4, 4)
    assert library.queued[-1][0].aligned == 4


def test_streams_have_workspaces_of_their_own(placed: Any) -> None:
    _, library, _ = placed()
    a = drawn(4, 4, dtype=dt.float32)
    a @ a
    with dt.Stream(NAME):
        a @ a
    assert len(library.workspaces) == 2
    assert len({stream for *_, stream in library.queued}) == 2


def test_without_an_algorithm_or_a_library_our_own_kernels_serve(placed: Any) -> None:
    driver, library, _ = placed(Products(has_any=False))
    a = drawn(8, 8, dtype=dt.float32)
    a @ a
    assert not library.queued
    assert [launch.name for launch in driver.launched][-1] == "tiles"


def test_whole_numbers_and_no_depth_are_not_the_library_s(placed: Any) -> None:
    _, library, _ = placed()
    whole = dt.ones(4, 4, dtype=dt.int32, device=NAME)
    whole @ whole
    dt.zeros(4, 0, device=NAME) @ dt.zeros(0, 4, device=NAME)
    dt.zeros(0, 4, device=NAME) @ dt.zeros(4, 4, device=NAME)
    assert not library.queued


def test_graphs_have_workspaces_of_their_own(placed: Any) -> None:
    """They may run at once, beside each other and beside calls on the stream that captured them."""
    _driver, library, _ = placed()
    x = drawn(16, 16, dtype=dt.float32)
    x @ x
    (eager,) = library.workspaces
    graphs = []
    for _ in range(2):
        graph = dt.standin.CUDAGraph()
        with dt.standin.graph(graph):
            x @ x
            x @ x
        graphs.append(graph)
    assert len(library.workspaces) == 3
    with dt.standin.graph(dt.standin.CUDAGraph(), pool=graphs[0].pool()):
        x @ x
    assert len(library.workspaces) == 3, "graphs that share memory share this too"
    x @ x
    assert eager in library.workspaces
    assert len(library.workspaces) == 3


# convolutions

CONVOLUTIONS = [
    ((2, 4, 9, 8), (6, 4, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((2, 4, 9, 8), (6, 2, 3, 2), (2, 1), (1, 2), (1, 2), 2),
    ((2, 3, 10), (4, 3, 3), (2,), (1,), (1,), 1),
    ((1, 2, 5, 6, 7), (3, 2, 2, 3, 2), (1, 2, 1), (0, 0, 0), (1, 1, 1), 1),
]


@pytest.mark.parametrize("dtype", [dt.float32, dt.float16, dt.bfloat16], ids=str)
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions(placed: Any, case: Any, dtype: dt.dtype) -> None:
    driver, _, library = placed()
    shape, weight_shape, stride, padding, dilation, groups = case
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, weight = drawn(*shape, dtype=dtype), drawn(*weight_shape, dtype=dtype, seed=1)
    made = ops.conv(x, weight, None, **options)
    y = drawn(*made.shape, dtype=dtype, seed=2)
    calls = {
        "conv": (made, (x, weight, None), {}),
        "conv_grad_input": (
            ops.conv_grad_input(y, weight, input_shape=shape, **options), (y, weight),
            {"input_shape": shape},
        ),
        "conv_grad_weight": (
            ops.conv_grad_weight(y, x, weight_shape=weight_shape, **options), (y, x),
            {"weight_shape": weight_shape},
        ),
    }  # fmt: skip
    for name, (result, inputs, more) in calls.items():
        given = [None if v is None else values_of(v) for v in inputs]
        close(name, result, ops.REGISTRY[name].reference(*given, **options, **more), given[:2])
    assert [name for name, _ in library.queued] == ["conv_fprop", "conv_dgrad", "conv_wgrad"]
    assert not driver.launched


@pytest.mark.parametrize("has_plan", [True, False])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_a_bias_is_part_of_the_graph(placed: Any, case: Any, has_plan: bool) -> None:
    """Where there is a plan for both; else it is one launch more."""
    refused = frozenset() if has_plan else frozenset({"conv_fprop with bias"})
    driver, _, library = placed(front_end=FrontEnd(refused))
    shape, weight_shape, stride, padding, dilation, groups = case
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, weight = drawn(*shape, dtype=dt.float32), drawn(*weight_shape, dtype=dt.float32, seed=1)
    bias = drawn(weight_shape[0], dtype=dt.float32, seed=2)
    made = ops.conv(x, weight, bias, **options)
    if has_plan:
        given = [values_of(v) for v in (x, weight, bias)]
        close("conv", made, ops.REGISTRY["conv"].reference(*given, **options), given)
        assert library.queued == [("conv_fprop with bias", -1)]
        assert not driver.launched
    else:
        assert library.queued == [("conv_fprop", -1)]
        (added,) = driver.launched
        assert added.name.startswith("add_")
        assert dnn.declined == {"conv with its bias": "no plan for conv_fprop with bias"}


def test_channels_last_is_taken_as_it_lies(placed: Any) -> None:
    driver, _, library = placed()
    x = drawn(2, 6, 5, 3, dtype=dt.float32).permute(0, 3, 1, 2)
    weight = drawn(4, 2, 2, 3, dtype=dt.float32).permute(0, 3, 1, 2)
    made = dt.nn.functional.conv2d(x, weight)
    assert made.stride() == (80, 1, 16, 4)
    options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    wanted = ops.REGISTRY["conv"].reference(values_of(x), values_of(weight), None, **options)
    close("conv", made, wanted, [values_of(x), values_of(weight)])
    assert library.queued == [("conv_fprop", -1)]
    assert not driver.launched


def test_what_is_not_dense_is_packed(placed: Any) -> None:
    driver, _, library = placed()
    x = drawn(2, 3, 6, 16, dtype=dt.float32)[..., ::2]
    dt.nn.functional.conv2d(x, drawn(4, 3, 3, 3, dtype=dt.float32))
    assert [launch.name for launch in driver.launched] == ["copy"]
    assert library.queued == [("conv_fprop", -1)]


def test_switches(placed: Any) -> None:
    driver, _, library = placed()
    x, weight = drawn(2, 3, 6, 8, dtype=dt.float32), drawn(4, 3, 3, 3, dtype=dt.float32)

    def call(**switches: Any) -> tuple[str, ...]:
        before = len(library.graphs)
        with dt.backends.cudnn.flags(**switches):
            dt.nn.functional.conv2d(x, weight)
        return library.graphs[-1][1] if len(library.graphs) > before else ()

    assert call() == ("DOWN_CONVERT_INPUTS",)
    assert call(allow_tf32=False) == ("DOWN_CONVERT_INPUTS", "TENSOR_CORE")
    assert call(deterministic=True) == ("NONDETERMINISTIC", "DOWN_CONVERT_INPUTS")
    assert call() == (), "it is planned once"
    assert not dnn.choice().deterministic
    dt.use_deterministic_algorithms(True)
    try:
        assert dnn.choice().deterministic
    finally:
        dt.use_deterministic_algorithms(False)
    queued = len(library.queued)
    call(enabled=False)
    assert len(library.queued) == queued
    assert driver.launched
    call(benchmark=True)
    timed = {index for _, index in library.queued[queued:]}
    assert timed == {0, 2}, "plan 1 cannot be built"
    assert "plan 1" in "".join(dnn.declined)
    before = len(library.queued)
    call(benchmark=True)
    assert len(library.queued) == before + 1


def test_what_has_no_plan_goes_to_our_own_kernels(placed: Any) -> None:
    driver, _, library = placed(front_end=FrontEnd(frozenset({"conv_fprop", "sdpa"})))
    dt.nn.functional.conv2d(
        drawn(2, 3, 6, 8, dtype=dt.float32), drawn(4, 3, 3, 3, dtype=dt.float32)
    )
    assert not library.queued
    assert driver.launched
    assert dnn.declined == {"conv": "no plan for conv_fprop"}


def test_a_large_workspace_is_the_tensors_afterwards(placed: Any) -> None:
    """It counts while it is used, and the next tensor of its size has its memory."""
    _driver, _, library = placed()
    library.workspace = 96 << 20
    x, weight = drawn(2, 3, 6, 8, dtype=dt.float32), drawn(4, 3, 3, 3, dtype=dt.float32)
    before = dt.standin.memory_allocated()
    dt.standin.reset_peak_memory_stats()
    dt.nn.functional.conv2d(x, weight)
    assert dt.standin.memory_allocated() == before
    assert dt.standin.max_memory_allocated() >= before + library.workspace
    reserved = dt.standin.memory_reserved()
    kept = dt.empty(library.workspace, dtype=dt.uint8, device=NAME)
    assert dt.standin.memory_reserved() == reserved
    del kept
    library.workspace = 1 << 20
    dt.nn.functional.conv2d(x[:1], weight)
    assert dt.standin.memory_reserved() <= reserved + 512


def test_a_stream_has_one_workspace_for_all_plans(stand: Any) -> None:
    driver, device = stand()
    first = device.workspace(5000)
    assert device.workspace(100) == first
    larger = device.workspace(1 << 20)
    assert device.workspace(5000) == larger
    assert device._pool.allocated == 1 << 20
    with dt.Stream("standin:0"):
        assert device.workspace(100) != larger
    assert len(driver.of("allocate")) == 3


# attention

ATTENTION = [
    ((2, 3, 9, 16), (2, 3, 7, 16), (2, 3, 7, 8)),
    ((3, 9, 16), (3, 7, 16), (3, 7, 8)),
    ((9, 16), (7, 16), (7, 8)),
    ((2, 2, 3, 9, 16), (2, 2, 3, 7, 16), (2, 2, 3, 7, 8)),
]


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", [dt.float16, dt.bfloat16], ids=str)
@pytest.mark.parametrize("shapes", ATTENTION, ids=str)
def test_attention(placed: Any, shapes: Any, dtype: dt.dtype, is_causal: bool) -> None:
    driver, _, library = placed()
    inputs = [drawn(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes)]
    given = [values_of(x) for x in inputs]
    forward = ops.REGISTRY["scaled_dot_product_attention"]
    made, sums = dt.dispatch.call(forward, (*inputs, None), (is_causal, 0.25))
    close(forward.name, made, forward.reference(*given, None, is_causal, 0.25), given)
    grad = drawn(*made.shape, dtype=dtype, seed=9)
    options = {"is_causal": is_causal, "scale": 0.25}
    found = ops.scaled_dot_product_attention_backward(
        grad, *inputs, None, made, sums, None, **options
    )
    backward = ops.REGISTRY["scaled_dot_product_attention_backward"]
    wanted = backward.reference(
        values_of(grad), *given, None, values_of(made), values_of(sums), None, **options
    )
    for result, expected in zip(found, wanted, strict=True):
        close(backward.name, result, expected, [values_of(grad), *given])
    assert [name for name, _ in library.queued] == ["sdpa", "sdpa_backward"]
    assert not driver.launched


def test_heads_of_a_projection_are_not_copied(placed: Any) -> None:
    driver, _, library = placed()
    made = drawn(2, 9, 3, 2, 16, dtype=dt.bfloat16).permute(2, 0, 3, 1, 4)
    dt.nn.functional.scaled_dot_product_attention(made[0], made[1], made[2])
    assert library.queued == [("sdpa", -1)]
    assert not driver.launched


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_attention_of_products(placed: Any, dtype: dt.dtype) -> None:
    """With a mask, and in float32 where tiles have no room: scores are made, turned into weights,
    multiplied."""
    driver, library, front_end = placed()
    size = 300 if dtype is dt.float32 else 16
    inputs = [drawn(2, 3, 50, size, dtype=dtype) for _ in range(3)]
    mask = dt.ones(50, 50, dtype=dt.bool, device=NAME)
    driver.launched.clear()
    record = ops.REGISTRY["scaled_dot_product_attention"]
    made, sums = dt.dispatch.call(record, (*inputs, mask), (False, 0.25))
    assert [launch.name for launch in driver.launched] == ["weights"]
    first, second = library.queued
    assert (first[0].batch, first[1], first[0].made) == (6, 0.25, sums.dtype.name)
    assert (second[0].batch, second[1], second[0].made) == (6, 1, dtype.name)
    library.queued.clear()
    driver.launched.clear()
    ops.scaled_dot_product_attention_backward(
        made, *inputs, mask, made, sums, None, is_causal=False, scale=0.25
    )
    assert [launch.name for launch in driver.launched] == ["slopes"]
    assert len(library.queued) == 5
    assert [alpha for _, alpha, *_ in library.queued[:2]] == [0.25, 1], "scores are scaled"
    assert not front_end.queued


def test_attention_by_tiles(placed: Any) -> None:
    """In float32, with and without a mask: a launch forward, three backward, and no products."""
    driver, library, front_end = placed()
    inputs = [drawn(2, 3, 150, 64, dtype=dt.float32) for _ in range(3)]
    record = ops.REGISTRY["scaled_dot_product_attention"]
    for mask in (None, dt.ones(150, 150, dtype=dt.bool, device=NAME)):
        driver.launched.clear()
        made, sums = dt.dispatch.call(record, (*inputs, mask), (mask is None, 0.25))
        ops.scaled_dot_product_attention_backward(
            made, *inputs, mask, made, sums, None, is_causal=mask is None, scale=0.25
        )
        names = [launch.name for launch in driver.launched]
        assert names == ["forward", "delta", "of_query", "of_keys"]
        # A group of 8 by 8 for each 64 lines of each head.
        assert [launch.grid[0] for launch in driver.launched] == [18, 15, 18, 18]
        assert {launch.block for launch in driver.launched} == {(64,)}
    assert not library.queued
    assert not front_end.queued
