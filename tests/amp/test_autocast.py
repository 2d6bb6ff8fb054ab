"""autocast beside PyTorch's: dtypes of results by operator, modes, cache, Function, checkpoint."""

from __future__ import annotations

import pickle
import threading
import warnings

import numpy as np
import pytest

import dovetail as dt
from dovetail import autocast_lists, observe
from dovetail.dispatch import clear_plans
from dovetail.ops.schema import REGISTRY

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")


def F(x):
    """The library of a tensor, and its functions of layers."""
    lib = dt if isinstance(x, dt.Tensor) else torch
    return lib.nn.functional


def lib_of(x):
    return dt if isinstance(x, dt.Tensor) else torch


def classes(x):
    return lib_of(x).tensor([0, 1, 2, 3], device=x.device)


MATRIX, BATCH, ROW = (4, 4), (1, 4, 4), (4,)
SIGNAL, IMAGE, VOLUME = (1, 2, 6), (1, 2, 4, 4), (1, 2, 4, 4, 4)

# name: (function of tensors, their shapes)
CALLS = {
    "conv1d": (lambda x, w: F(x).conv1d(x, w), (SIGNAL, (3, 2, 2))),
    "conv2d": (lambda x, w: F(x).conv2d(x, w), (IMAGE, (3, 2, 2, 2))),
    "conv3d": (lambda x, w: F(x).conv3d(x, w), (VOLUME, (3, 2, 2, 2, 2))),
    "conv_transpose2d": (lambda x, w: F(x).conv_transpose2d(x, w), (IMAGE, (2, 3, 2, 2))),
    "prelu": (lambda x, w: F(x).prelu(x, w), (MATRIX, (1,))),
    "linear": (lambda x, w, b: F(x).linear(x, w, b), (MATRIX, MATRIX, ROW)),
    "matmul": (lambda a, b: a @ b, (MATRIX, MATRIX)),
    "matmul by a vector": (lambda a, b: a @ b, (MATRIX, ROW)),
    "matmul of batches": (lambda a, b: lib_of(a).matmul(a, b), (BATCH, MATRIX)),
    "mm": (lambda a, b: a.mm(b), (MATRIX, MATRIX)),
    "bmm": (lambda a, b: lib_of(a).bmm(a, b), (BATCH, BATCH)),
    "addmm": (lambda c, a, b: lib_of(a).addmm(c, a, b), (MATRIX, MATRIX, MATRIX)),
    "baddbmm": (lambda c, a, b: lib_of(a).baddbmm(c, a, b), (BATCH, BATCH, BATCH)),
    "addbmm": (lambda c, a, b: lib_of(a).addbmm(c, a, b), (MATRIX, BATCH, BATCH)),
    "einsum": (lambda a, b: lib_of(a).einsum("ij,jk", a, b), (MATRIX, MATRIX)),
    "vecdot": (lambda a, b: lib_of(a).linalg.vecdot(a, b), (MATRIX, MATRIX)),
    "attention": (
        lambda q, k, v: F(q).scaled_dot_product_attention(q, k, v), (BATCH, BATCH, BATCH)
    ),
    "add": (lambda a, b: a + b, (MATRIX, MATRIX)),
    "mul": (lambda a: a * 2, (MATRIX,)),
    "exp": (lambda a: a.exp(), (MATRIX,)),
    "pow": (lambda a: a**2, (MATRIX,)),
    "softmax": (lambda a: F(a).softmax(a, -1), (MATRIX,)),
    "log_softmax": (lambda a: F(a).log_softmax(a, -1), (MATRIX,)),
    "layer_norm": (lambda a: F(a).layer_norm(a, (4,)), (MATRIX,)),
    "group_norm": (lambda a: F(a).group_norm(a, 2), (IMAGE,)),
    "sum": (lambda a: a.sum(), (MATRIX,)),
    "mean": (lambda a: a.mean(), (MATRIX,)),
    "prod": (lambda a: a.prod(), (MATRIX,)),
    "cumsum": (lambda a: a.cumsum(0), (MATRIX,)),
    "norm": (lambda a: a.norm(), (MATRIX,)),
    "logsumexp": (lambda a: a.logsumexp(0), (MATRIX,)),
    "relu": (lambda a: a.relu(), (MATRIX,)),
    "mse_loss": (lambda a, b: F(a).mse_loss(a, b), (MATRIX, MATRIX)),
    "l1_loss": (lambda a, b: F(a).l1_loss(a, b), (MATRIX, MATRIX)),
    "smooth_l1_loss": (lambda a, b: F(a).smooth_l1_loss(a, b), (MATRIX, MATRIX)),
    "huber_loss": (lambda a, b: F(a).huber_loss(a, b), (MATRIX, MATRIX)),
    "nll_loss": (lambda a: F(a).nll_loss(a, classes(a)), (MATRIX,)),
    "cross_entropy": (lambda a: F(a).cross_entropy(a, classes(a)), (MATRIX,)),
    "cross_entropy of parts": (lambda a, b: F(a).cross_entropy(a, b), (MATRIX, MATRIX)),
    "binary_cross_entropy": (lambda a, b: F(a).binary_cross_entropy(a, b), (MATRIX, MATRIX)),
    "binary_cross_entropy_with_logits": (
        lambda a, b: F(a).binary_cross_entropy_with_logits(a, b), (MATRIX, MATRIX)
    ),
    "kl_div": (lambda a, b: F(a).kl_div(a, b, reduction="sum"), (MATRIX, MATRIX)),
    "poisson_nll_loss": (lambda a, b: F(a).poisson_nll_loss(a, b), (MATRIX, MATRIX)),
    "hinge_embedding_loss": (lambda a, b: F(a).hinge_embedding_loss(a, b), (MATRIX, MATRIX)),
    "margin_ranking_loss": (
        lambda a, b, c: F(a).margin_ranking_loss(a, b, c), (MATRIX, MATRIX, MATRIX)
    ),
    "soft_margin_loss": (lambda a, b: F(a).soft_margin_loss(a, b), (MATRIX, MATRIX)),
    "triplet_margin_loss": (
        lambda a, b, c: F(a).triplet_margin_loss(a, b, c), (MATRIX, MATRIX, MATRIX)
    ),
    "cosine_similarity": (lambda a, b: F(a).cosine_similarity(a, b), (MATRIX, MATRIX)),
    "cdist": (lambda a, b: lib_of(a).cdist(a, b), (MATRIX, MATRIX)),
    "cat": (lambda a, b: lib_of(a).cat([a, b]), (MATRIX, MATRIX)),
    "stack": (lambda a, b: lib_of(a).stack([a, b]), (MATRIX, MATRIX)),
    "index_copy": (lambda a, b: lib_of(a).index_copy(a, 0, classes(a), b), (MATRIX, MATRIX)),
    "addcmul": (lambda a, b, c: lib_of(a).addcmul(a, b, c), (MATRIX, MATRIX, MATRIX)),
    "atan2": (lambda a, b: lib_of(a).atan2(a, b), (MATRIX, MATRIX)),
    "avg_pool2d": (lambda a: F(a).avg_pool2d(a, 2), (IMAGE,)),
    "avg_pool3d": (lambda a: F(a).avg_pool3d(a, 2), (VOLUME,)),
    "max_pool2d": (lambda a: F(a).max_pool2d(a, 2), (IMAGE,)),
    "max_pool3d": (lambda a: F(a).max_pool3d(a, 2), (VOLUME,)),
    "adaptive_avg_pool2d": (lambda a: F(a).adaptive_avg_pool2d(a, 2), (IMAGE,)),
    "adaptive_avg_pool3d": (lambda a: F(a).adaptive_avg_pool3d(a, 2), (VOLUME,)),
    "reflected": (lambda a: F(a).pad(a, (1, 1), "reflect"), (SIGNAL,)),
    "replicated": (lambda a: F(a).pad(a, (1, 1, 1, 1), "replicate"), (IMAGE,)),
    "padded": (lambda a: F(a).pad(a, (1, 1)), (SIGNAL,)),
    "polar": (lambda a, b: lib_of(a).polar(a, b), (MATRIX, MATRIX)),
    "quantile": (lambda a: a.quantile(0.5), (MATRIX,)),
    "trace": (lambda a: lib_of(a).trace(a), (MATRIX,)),
    "view_as_complex": (lambda a: lib_of(a).view_as_complex(a), ((3, 2),)),
    "median": (lambda a: a.median(), (MATRIX,)),
    "pinverse": (lambda a: a.pinverse(), (MATRIX,)),
    "inverse": (lambda a: a.inverse(), (MATRIX,)),
    "svd": (lambda a: lib_of(a).linalg.svd(a)[1], (MATRIX,)),
    "qr": (lambda a: lib_of(a).linalg.qr(a)[1], (MATRIX,)),
    "solve": (lambda a, b: lib_of(a).linalg.solve(a, b), (MATRIX, MATRIX)),
    "cond": (lambda a: lib_of(a).linalg.cond(a), (MATRIX,)),
    "fft": (lambda a: lib_of(a).fft.fft(a), (MATRIX,)),
    "hfft": (lambda a: lib_of(a).fft.hfft(a), (MATRIX,)),
    "batch_norm": (lambda a: F(a).batch_norm(a, None, None, training=True), (IMAGE,)),
    "float64": (lambda a, b: a.double() @ b.double(), (MATRIX, MATRIX)),
    "integers": (lambda a: (a * 3).int().sum(), (MATRIX,)),
}  # fmt: skip


def given(lib, shapes, dtypes, device):
    rng = np.random.default_rng(0)
    made = []
    for shape, dtype in zip(shapes, dtypes, strict=True):
        values = rng.uniform(0.1, 0.9, shape).astype("float32")
        if shape == MATRIX:
            values += np.eye(4, dtype="float32") * 0.05
        made.append(lib.from_numpy(values).to(device).to(getattr(lib, dtype)))
    return made


@pytest.mark.parametrize("low", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", CALLS)
def test_dtypes_on_the_host(name, low):
    function, shapes = CALLS[name]
    mixes = [["float32"] * len(shapes), [low] * len(shapes)]
    if len(shapes) > 1:
        mixes.append(["float32", *[low] * (len(shapes) - 1)])
    for dtypes in mixes:
        outcomes = []
        for lib in (dt, torch):
            with lib.autocast("cpu", dtype=getattr(lib, low)):
                try:
                    result = function(*given(lib, shapes, dtypes, "cpu"))
                    outcomes.append((str(result.dtype), result))
                except RuntimeError:
                    outcomes.append(("error", None))
        (mine, a), (theirs, b) = outcomes
        if theirs == "error":
            continue  # what PyTorch refuses here may do more
        assert mine == theirs, dtypes
        if b.is_floating_point():
            found, wanted = a.double().numpy(), b.double().numpy()
            np.testing.assert_allclose(found, wanted, rtol=0.05, atol=0.05)


WIDE = {"exp", "pow", "softmax", "log_softmax", "layer_norm", "sum", "cumsum", "norm", "logsumexp",
        "mse_loss", "cross_entropy", "nll_loss", "cosine_similarity", "cdist"}  # fmt: skip
LOWER = {"linear", "matmul", "matmul by a vector", "mm", "bmm", "addmm", "einsum", "attention",
         "conv2d", "prelu"}  # fmt: skip


@pytest.mark.parametrize("name", sorted(WIDE | LOWER | {"cat", "addcmul", "add"}))
def test_dtypes_on_accelerators(name, monkeypatch, request):
    """PyTorch's lists for accelerators, which every other device uses, tried on the host."""
    monkeypatch.setattr("dovetail.autocast_rules.HOST", autocast_lists.ACCELERATOR)
    clear_plans()  # which know what the lists say
    request.addfinalizer(clear_plans)
    function, shapes = CALLS[name]
    with dt.autocast("cpu", dtype=dt.float16):
        low = function(*given(dt, shapes, ["float16"] * len(shapes), "cpu"))
        wide = function(*given(dt, shapes, ["float32"] * len(shapes), "cpu"))
    assert low.dtype is (dt.float32 if name in WIDE else dt.float16)
    assert wide.dtype is (dt.float16 if name in LOWER else dt.float32)
    if name in ("sum", "softmax", "cumsum"):
        with dt.autocast("cpu", dtype=dt.float16):
            x = dt.ones(3, dtype=dt.float16)
            keywords = {} if name == "sum" else {"dim": 0}
            assert getattr(dt, name)(x, dtype=dt.float16, **keywords).dtype is dt.float16


def test_on_every_device(device):
    kind = device.type
    layer = dt.nn.Linear(3, 2).to(device)
    low = dt.get_autocast_dtype(kind)
    with dt.autocast(kind):
        assert dt.is_autocast_enabled(kind)
        assert layer(dt.ones(1, 3, device=device)).dtype is low
        loss = dt.nn.functional.mse_loss(layer(dt.ones(1, 3, device=device)), dt.zeros(
            1, 2, device=device, dtype=low))  # fmt: skip
        assert loss.dtype is dt.float32
    loss.backward()
    assert layer.weight.grad.dtype is dt.float32


def test_lists_name_what_there_is():
    """Names of the lists that are neither records nor functions would be dead, or misspelt."""
    later = {
        "ctc_loss", "fractional_max_pool2d", "fractional_max_pool3d", "grid_sample", "interpolate",
        "max_unpool2d", "max_unpool3d", "multi_margin_loss", "multilabel_margin_loss",
    }  # fmt: skip
    unknown = set()
    for name in autocast_lists.CASTS:
        owner = dt
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        places = (owner, dt.nn.functional)
        if name not in REGISTRY and not any(hasattr(place, last) for place in places):
            unknown.add(name)
    assert unknown <= later


def test_functions_that_are_cast_as_a_whole_are_pickled_by_name():
    for function in (dt.nn.functional.cosine_embedding_loss, dt.linalg.solve, dt.fft.fft):
        assert pickle.loads(pickle.dumps(function)) is function


# ---------------------------------------------------------------------- modes


def test_nothing_is_watched_outside():
    before = list(observe.active)
    with dt.autocast("cpu"):
        assert observe.active != before
        with dt.autocast("cpu", enabled=False):
            assert observe.active == before
            assert (dt.ones(2, 2) @ dt.ones(2, 2)).dtype is dt.float32
        assert (dt.ones(2, 2) @ dt.ones(2, 2)).dtype is dt.bfloat16
    assert observe.active == before
    with pytest.raises(ZeroDivisionError), dt.autocast("cpu"):
        _ = 1 / 0
    assert observe.active == before
    assert (dt.ones(2, 2) @ dt.ones(2, 2)).dtype is dt.float32


def test_settings():
    def run(lib):
        seen = []

        def note():
            seen.append((
                lib.is_autocast_enabled("cpu"), str(lib.get_autocast_dtype("cpu")),
                lib.is_autocast_cache_enabled(), lib.is_autocast_enabled("cpu"),
            ))  # fmt: skip

        note()
        block = lib.autocast("cpu", dtype=lib.float16, cache_enabled=False)
        with block:
            note()
            with lib.autocast("cpu"):
                note()
            with lib.autocast("cpu", dtype=lib.bfloat16):
                note()
            note()
            with lib.autocast("cpu", enabled=False):
                note()
            note()
        note()
        lib.set_autocast_enabled("cpu", True)
        lib.set_autocast_dtype("cpu", lib.float16)
        note()
        seen.append(str((lib.ones(2, 2) @ lib.ones(2, 2)).dtype))
        lib.set_autocast_enabled("cpu", False)
        lib.set_autocast_dtype("cpu", lib.bfloat16)
        note()
        seen.append(lib.amp.is_autocast_available("cpu"))
        return seen

    assert run(dt) == run(torch)
    dt.set_autocast_cpu_enabled(True)
    dt.set_autocast_cpu_dtype(dt.float16)
    assert (dt.is_autocast_cpu_enabled(), dt.get_autocast_cpu_dtype()) == (True, dt.float16)
    dt.set_autocast_cpu_enabled(False)
    dt.set_autocast_cpu_dtype(dt.bfloat16)
    assert not dt.is_autocast_enabled("cpu")


def test_a_block_may_be_used_again_and_decorate():
    block = dt.autocast("cpu")

    @block
    def product(a, b):
        """The product."""
        with block:
            return a @ b

    assert product(dt.ones(2, 2), dt.ones(2, 2)).dtype is dt.bfloat16
    assert product.__doc__ == "The product."
    assert not dt.is_autocast_enabled("cpu")
    with pytest.raises(TypeError, match="requires a callable, but got int"):
        block(3)


def test_threads_are_apart():
    found = []
    with dt.autocast("cpu"):
        thread = threading.Thread(
            target=lambda: found.append((dt.ones(2, 2) @ dt.ones(2, 2)).dtype)
        )
        thread.start()
        thread.join()
    assert found == [dt.float32]


WRONG = {
    "type": lambda lib: lib.autocast(3),
    "unknown": lambda lib: lib.autocast("nothing"),
    "forward's type": lambda lib: lib.amp.custom_fwd(device_type=3),
    "backward's type": lambda lib: lib.amp.custom_bwd(device_type=3),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    outcomes = []
    for lib in (dt, torch):
        with pytest.raises((ValueError, RuntimeError)) as caught:
            WRONG[name](lib)
        outcomes.append((type(caught.value), str(caught.value)[:40]))
    assert outcomes[0][0] is outcomes[1][0]
    if name != "unknown":
        assert outcomes[0] == outcomes[1]


def test_a_dtype_that_is_none_of_lower_precision_warns():
    for lib in (dt, torch):
        with pytest.warns(UserWarning, match="In CPU autocast, but the target dtype is not"):
            block = lib.autocast("cpu", dtype=lib.float32)
        with block:
            assert (lib.ones(2, 2) @ lib.ones(2, 2)).dtype is lib.float32


def test_writes_and_outs_are_left_alone():
    a, b = dt.ones(2, 2), dt.ones(2, 2)
    with dt.autocast("cpu"):
        assert a.addmm_(b, b).dtype is dt.float32
        assert dt.mm(b, b, out=dt.empty(2, 2)).dtype is dt.float32
        assert dt.matmul(b, b, out=dt.empty(2, 2)).dtype is dt.float32
    assert a.tolist() == [[3.0, 3.0], [3.0, 3.0]]


# ------------------------------------------------------------ gradients and weights


def test_gradients_reach_the_parameters_in_their_dtype():
    def run(lib, dtype):
        rng = np.random.default_rng(0)
        make = lambda *shape: lib.from_numpy(rng.standard_normal(shape).astype("f"))
        w, v = make(4, 3).requires_grad_(), make(2, 4).requires_grad_()
        x, y = make(5, 3), lib.tensor([0, 1, 1, 0, 1])
        with lib.autocast("cpu", dtype=dtype):
            hidden = lib.nn.functional.linear(x, w).relu()
            loss = lib.nn.functional.cross_entropy(lib.nn.functional.linear(hidden, v), y)
        assert (hidden.dtype, loss.dtype) == (dtype, lib.float32)
        loss.backward()
        return loss.detach().numpy(), w.grad.numpy(), v.grad.numpy()

    for mine, theirs in zip(run(dt, dt.bfloat16), run(torch, torch.bfloat16), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, atol=0.02)


def test_parameters_are_cast_once():
    w = dt.ones(2, 2, requires_grad=True)
    x = dt.ones(2, 2)

    def casts(events):
        return sum(e.op in ("copy", "copy_to", "clone_record") for e in events)

    def count(**options):
        with dt.trace() as events, dt.autocast("cpu", **options):
            for _ in range(3):
                dt.mm(x, w)
        return casts(events)

    assert count(cache_enabled=False) - count() == 2
    with dt.autocast("cpu"):
        first = dt.mm(x, w)
        with dt.no_grad():
            w.mul_(2)
        second = dt.mm(x, w)  # what was kept is out of date
        with dt.no_grad():
            third = dt.mm(x, w)
    assert first.tolist() == [[2, 2], [2, 2]]
    assert second.tolist() == third.tolist() == [[4, 4], [4, 4]]
    second.sum().backward()
    assert w.grad.tolist() == [[2, 2], [2, 2]]


def test_backward_inside_runs_as_forward_has():
    w = dt.ones(2, 2, requires_grad=True)
    with dt.autocast("cpu"):
        loss = dt.mm(w.exp(), w).float().sum()
        loss.backward()
    assert w.grad.dtype is dt.float32


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_run_again_as_they_did(reentrant):
    def run(again):
        w = dt.full((2, 2), 0.5, requires_grad=True)
        with dt.autocast("cpu"):
            f = lambda x: (x @ w.t()).relu() @ w
            x = dt.full((2, 2), 0.3, requires_grad=True)
            y = dt.utils.checkpoint.checkpoint(f, x, use_reentrant=reentrant) if again else f(x)
        y.float().sum().backward()
        return w.grad.tolist(), x.grad.tolist()

    assert run(True) == run(False)


@pytest.mark.parametrize("cast", [None, "float32"])
@pytest.mark.parametrize("enabled", [True, False])
def test_functions_with_custom_forward_and_backward(cast, enabled):
    def run(lib):
        seen = []
        options = {} if cast is None else {"cast_inputs": getattr(lib, cast)}

        class Product(lib.autograd.Function):
            @staticmethod
            @lib.amp.custom_fwd(device_type="cpu", **options)
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                seen.append((str(a.dtype), lib.is_autocast_enabled("cpu")))
                return a.mm(b)

            @staticmethod
            @lib.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                seen.append((str(g.dtype), lib.is_autocast_enabled("cpu")))
                return g.mm(b.t().to(g.dtype)), a.t().to(g.dtype).mm(g)

        a = lib.ones(2, 2, requires_grad=True)
        b = lib.ones(2, 2, dtype=lib.float32)
        with lib.autocast("cpu", enabled=enabled):
            y = Product.apply(a, b.bfloat16() if cast and enabled else b)
        y.sum().backward()
        return seen, str(y.dtype), a.grad.tolist()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run(dt) == run(torch)


def test_training_in_mixed_precision():
    def run(lib, dtype):
        rng = np.random.default_rng(0)
        x = lib.from_numpy(rng.standard_normal((16, 6)).astype("f"))
        y = lib.from_numpy((rng.standard_normal(16) > 0).astype("int64"))
        model = lib.nn.Sequential(lib.nn.Linear(6, 8), lib.nn.Tanh(), lib.nn.Linear(8, 2))
        with lib.no_grad():
            for p in model.parameters():
                values = rng.standard_normal(tuple(p.shape)).astype("f") * 0.3
                p.copy_(lib.from_numpy(values))
        optimizer = lib.optim.SGD(model.parameters(), lr=0.5)
        scaler = lib.amp.GradScaler("cpu", init_scale=256.0)
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            with lib.autocast("cpu", dtype=dtype):
                loss = lib.nn.functional.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        return losses

    for name in ("bfloat16", "float16"):
        mine, theirs = run(dt, getattr(dt, name)), run(torch, getattr(torch, name))
        np.testing.assert_allclose(mine, theirs, rtol=0.02)
        assert mine[-1] < mine[0]


def test_calls_that_were_made_before() -> None:
    """Functions find the plan of an earlier call: that of the block they are in, each time."""
    nn = dt.nn.functional
    x, w = dt.ones(1, 2, 5, 5), dt.ones(3, 2, 3, 3, requires_grad=True)
    for _ in range(2):
        for _ in range(2):
            assert nn.conv2d(x, w).dtype is dt.float32
        for lower in (dt.bfloat16, dt.float16):
            for _ in range(2):
                with dt.autocast("cpu", dtype=lower):
                    made = nn.conv2d(x, w)
                    assert made.dtype is lower
                    with dt.autocast("cpu", enabled=False):
                        assert nn.conv2d(x, w).dtype is dt.float32
                (slope,) = dt.autograd.grad(made.sum(), w)
                assert slope.dtype is dt.float32
                assert (slope == 9).all()


def test_a_watched_call_under_autocast_is_seen() -> None:
    nn = dt.nn.functional
    x, w = dt.ones(1, 2, 5, 5), dt.ones(3, 2, 3, 3)
    with dt.autocast("cpu", dtype=dt.bfloat16):
        for _ in range(2):
            nn.conv2d(x, w)
            dt.relu(x)
        with dt.trace() as events:
            nn.conv2d(x, w)
            dt.relu(x)
            x.clone().relu_()
            with dt.autocast("cpu", enabled=False):
                nn.conv2d(x, w)
                nn.conv2d(x, w)
    names = [event.op for event in events]
    assert names.count("conv") == 3
    assert names.count("relu") == 2
