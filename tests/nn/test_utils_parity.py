"""Helpers of modules and parameters, beside PyTorch's (``nn.utils``)."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from nn_parity import array, assert_same, copy_state, gradients, outcome

import dovetail as dt

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

TIGHT = {"float32": 2e-6, "float64": 1e-12}


def parameters(lib, dtype, device="cpu", bad=None):
    """Three parameters with gradients and one without."""
    rng = np.random.default_rng(0)
    made = []
    for shape in ((2, 3), (4,), (), (2,)):
        values = rng.standard_normal(shape) * 3
        p = lib.from_numpy(np.asarray(values, dtype)).to(device).requires_grad_()
        p.grad = lib.from_numpy(np.asarray(values * 1.5, dtype)).to(device)
        made.append(p)
    made[3].grad = None
    if bad is not None:
        made[1].grad[2] = bad
    return made


ORDERS = [1, 2, 2.0, 3.5, 0, math.inf, -math.inf, "inf"]


@pytest.mark.parametrize("bad", [None, math.inf, math.nan], ids=str)
@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("dtype", TIGHT)
def test_clip_grad_norm(order, dtype, bad, device):
    def run(lib, device="cpu"):
        params = parameters(lib, dtype, device, bad)
        total = lib.nn.utils.clip_grad_norm_(params, 2.5, order)
        assert lib.nn.utils.get_total_norm([], order).item() == 0.0
        one = lib.nn.utils.get_total_norm(params[0].grad, order)
        return [total, one, *[p.grad for p in params[:3]]]

    assert_same(run(dt, device), run(torch), TIGHT[dtype] * 10)


@pytest.mark.parametrize("max_norm", [0.0, 1.0, 1e6], ids=str)
def test_clip_by_a_known_norm(max_norm):
    def run(lib):
        params = parameters(lib, "float64")
        total = lib.tensor(4.0, dtype=lib.float64)
        lib.nn.utils.clip_grads_with_norm_(iter(params), max_norm, total)
        lib.nn.utils.clip_grads_with_norm_(params[3], max_norm, total)
        return [p.grad for p in params[:3]]

    assert_same(run(dt), run(torch), 1e-14)


@pytest.mark.parametrize("value", [0.5, 0, 3], ids=str)
@pytest.mark.parametrize("bad", [None, math.inf, math.nan], ids=str)
def test_clip_grad_value(value, bad, device):
    def run(lib, device="cpu"):
        params = parameters(lib, "float32", device, bad)
        lib.nn.utils.clip_grad_value_(params, value)
        return [p.grad for p in params[:3]]

    assert_same(run(dt, device), run(torch), 0)


CALLS = {
    "infinite": lambda lib: lib.nn.utils.clip_grad_norm_(
        parameters(lib, "float32", bad=math.inf), 1.0, error_if_nonfinite=True
    ),
    "nan": lambda lib: lib.nn.utils.get_total_norm(
        [lib.tensor([math.nan])], 3.0, error_if_nonfinite=True
    ),
    "finite": lambda lib: lib.nn.utils.get_total_norm(
        [lib.tensor([3.0, 4.0])], error_if_nonfinite=True
    ),
    "no tensor": lambda lib: lib.nn.utils.vector_to_parameters([1.0], []),
    "vector of nothing": lambda lib: lib.nn.utils.vector_to_parameters(lib.ones(2), []),
    "too short": lambda lib: lib.nn.utils.vector_to_parameters(lib.ones(2), [lib.ones(3)]),
    "class": lambda lib: lib.nn.utils.skip_init(int, 3),
    "no device": lambda lib: lib.nn.utils.skip_init(lib.nn.ReLU),
    "two norms": lambda lib: twice(lib, "weight_norm"),
    "two spectral norms": lambda lib: twice(lib, "spectral_norm"),
    "no norm": lambda lib: lib.nn.utils.remove_weight_norm(lib.nn.Linear(2, 3)),
    "no spectral norm": lambda lib: lib.nn.utils.remove_spectral_norm(lib.nn.Linear(2, 3)),
    "no weight": lambda lib: lib.nn.utils.spectral_norm(lib.nn.Linear(2, 3, bias=False), "bias"),
    "no iterations": lambda lib: lib.nn.utils.spectral_norm(
        lib.nn.Linear(2, 3), n_power_iterations=0
    ),
    "training": lambda lib: lib.nn.utils.fuse_conv_bn_eval(
        lib.nn.Conv2d(1, 2, 1), lib.nn.BatchNorm2d(2)
    ),
    "training, linear": lambda lib: lib.nn.utils.fuse_linear_bn_eval(
        lib.nn.Linear(1, 2), lib.nn.BatchNorm1d(2)
    ),
    "no statistics": lambda lib: lib.nn.utils.fuse_conv_bn_eval(
        lib.nn.Conv2d(1, 2, 1).eval(), lib.nn.BatchNorm2d(2, track_running_stats=False).eval()
    ),
    "no statistics, linear": lambda lib: lib.nn.utils.fuse_linear_bn_eval(
        lib.nn.Linear(1, 2).eval(), lib.nn.BatchNorm1d(2, track_running_stats=False).eval()
    ),
    "features": lambda lib: lib.nn.utils.fuse_linear_bn_eval(
        lib.nn.Linear(1, 2).eval(), lib.nn.BatchNorm1d(3).eval()
    ),
}


def twice(lib, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function = getattr(lib.nn.utils, name)
        return function(function(lib.nn.Linear(2, 3)))


@pytest.mark.parametrize("name", CALLS)
def test_errors(name):
    assert outcome(CALLS[name], dt) == outcome(CALLS[name], torch)


def test_warnings_of_clipping():
    with pytest.warns(UserWarning, match="is an empty generator"):
        dt.nn.utils.clip_grad_norm_((p for p in ()), 1.0)
    with pytest.warns(FutureWarning, match="deprecated in favor"):
        assert dt.nn.utils.clip_grad_norm([], 1.0).item() == 0.0


def test_parameters_and_vectors(device):
    params = parameters(dt, "float64", device)
    vector = dt.nn.utils.parameters_to_vector(params)
    assert vector.requires_grad
    expected = np.concatenate([array(p).ravel() for p in params])
    np.testing.assert_array_equal(array(vector), expected)
    changed = vector.detach() * 2
    dt.nn.utils.vector_to_parameters(changed, params)
    np.testing.assert_array_equal(array(params[0]), expected[:6].reshape(2, 3) * 2)
    changed.zero_()  # they are views of it
    assert all(not p.detach().abs().sum().item() for p in params)
    assert params[0].is_leaf


NORMED = {
    "linear": (lambda lib: lib.nn.Linear(4, 3), (5, 4)),
    "conv": (lambda lib: lib.nn.Conv2d(4, 6, (2, 3), groups=2), (2, 4, 5, 5)),
    "transposed": (lambda lib: lib.nn.ConvTranspose1d(3, 4, 3), (2, 3, 5)),
}
DIMS = {"weight_norm": [0, 1, None, -2], "spectral_norm": [None, 0, 1]}


def normed(lib, kind, name, dim, dtype, way="utils"):
    module = NORMED[kind][0](lib).to(getattr(lib, dtype))
    owner = lib.nn.utils if way == "utils" else lib.nn.utils.parametrizations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(owner, name)(module, dim=dim)


@pytest.mark.parametrize("way", ["utils", "parametrizations"])
@pytest.mark.parametrize(("name", "dim"), [(n, d) for n, dims in DIMS.items() for d in dims])
@pytest.mark.parametrize("kind", NORMED)
@pytest.mark.parametrize("dtype", TIGHT)
def test_norms_of_weights(way, name, dim, kind, dtype, device):
    theirs = normed(torch, kind, name, dim, dtype, way)
    mine = normed(dt, kind, name, dim, dtype, way).to(device)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert repr(mine) == repr(theirs)
    copy_state(theirs, mine, device)
    x = np.random.default_rng(1).standard_normal(NORMED[kind][1]).astype(dtype)
    for training in (True, True, False):
        a, b = mine.train(training), theirs.train(training)
        a.zero_grad()
        b.zero_grad()
        inputs = (
            [dt.from_numpy(x).to(device).requires_grad_()],
            [torch.from_numpy(x).requires_grad_()],
        )
        run = lambda module, x: module(x)
        found, wanted = gradients(a, inputs[0], run), gradients(b, inputs[1], run)
        assert_same(found, wanted, TIGHT[dtype] * 20)
    assert_same(list(mine.state_dict().values()), list(theirs.state_dict().values()), 1e-5)
    if way == "utils":
        mine = getattr(dt.nn.utils, f"remove_{name}")(mine)
        theirs = getattr(torch.nn.utils, f"remove_{name}")(theirs)
    else:
        mine = dt.nn.utils.parametrize.remove_parametrizations(mine, "weight")
        theirs = torch.nn.utils.parametrize.remove_parametrizations(theirs, "weight")
    assert type(mine) is getattr(dt.nn, type(theirs).__name__)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    state, wanted = mine.state_dict(), theirs.state_dict()
    assert_same(list(state.values()), list(wanted.values()), TIGHT[dtype] * 20)
    assert isinstance(mine.weight, dt.nn.Parameter)


def test_spectral_norm_finds_the_largest_singular_value():
    layer = dt.nn.utils.spectral_norm(dt.nn.Linear(6, 4), n_power_iterations=50)
    layer(dt.ones(1, 6))
    assert dt.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1.0, abs=1e-4)


def test_spectral_norm_reads_states_from_before_it_kept_v():
    def run(lib, state=None):
        layer = lib.nn.utils.spectral_norm(lib.nn.Linear(2, 3, bias=False).double())
        if state is None:
            layer(lib.ones(1, 2, dtype=lib.float64))
            state = layer.state_dict()
            del state["weight_v"]
            state["weight"] = (layer.weight_orig / 1.5).detach()
            state = {k: array(v) for k, v in state.items()}
        layer.load_state_dict({k: lib.from_numpy(v.copy()) for k, v in state.items()})
        return array(layer.weight_v), state

    expected, state = run(torch)
    np.testing.assert_allclose(run(dt, state)[0], expected, rtol=1e-6)


FUSED = {
    "conv1d": ("fuse_conv_bn_eval", "Conv1d", (3, 4, 2), "BatchNorm1d", 4, (2, 3, 6), {}),
    "conv2d": ("fuse_conv_bn_eval", "Conv2d", (4, 4, 3, 2, 1, 1, 2, False), "BatchNorm2d", 4,
               (2, 4, 5, 5), {}),
    "transposed": ("fuse_conv_bn_eval", "ConvTranspose2d", (3, 4, 2), "BatchNorm2d", 4,
                   (2, 3, 4, 4), {"transpose": True}),
    "linear": ("fuse_linear_bn_eval", "Linear", (3, 4), "BatchNorm1d", 4, (5, 3), {}),
    "linear, no bias": ("fuse_linear_bn_eval", "Linear", (3, 4, False), "BatchNorm1d", 4,
                        (5, 3), {}),
}  # fmt: skip


# PyTorch wants an affine norm behind a linear layer.
AFFINE = [(name, True) for name in FUSED] + [(n, False) for n in FUSED if "linear" not in n]


@pytest.mark.parametrize(("name", "affine"), AFFINE)
def test_fusion(name, affine):
    function, layer, arguments, norm, features, shape, options = FUSED[name]

    def build(lib):
        return (
            getattr(lib.nn, layer)(*arguments).double().eval(),
            getattr(lib.nn, norm)(features, affine=affine).double().eval(),
        )

    theirs = build(torch)
    with torch.no_grad():
        for tensor in (*theirs[1].parameters(), *theirs[1].buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 2.0)
    mine = build(dt)
    for a, b in zip(mine, theirs, strict=True):
        copy_state(b, a)
    fused = getattr(dt.nn.utils, function)(*mine, **options)
    expected = getattr(torch.nn.utils, function)(*theirs, **options)
    assert_same([*fused.parameters()], [*expected.parameters()], 1e-13)
    assert [p.requires_grad for p in fused.parameters()] == [
        p.requires_grad for p in expected.parameters()
    ]
    x = dt.from_numpy(np.random.default_rng(0).standard_normal(shape))
    np.testing.assert_allclose(array(fused(x)), array(mine[1](mine[0](x))), rtol=1e-10, atol=1e-12)


def test_skip_init(device):
    layer = dt.nn.utils.skip_init(dt.nn.Linear, 3, 2, device=device, dtype=dt.float64)
    assert layer.weight.device == device
    assert (layer.weight.dtype, tuple(layer.weight.shape)) == (dt.float64, (2, 3))


@pytest.mark.parametrize("dims", [2, 3])
def test_memory_formats(dims):
    def run(lib):
        conv, back = (getattr(lib.nn, f"{n}{dims}d") for n in ("Conv", "ConvTranspose"))
        model = lib.nn.Sequential(conv(2, 3, 2), lib.nn.ReLU(), lib.nn.Sequential(back(3, 2, 2)))
        form = lib.channels_last if dims == 2 else lib.channels_last_3d
        function = getattr(lib.nn.utils, f"convert_conv{dims}d_weight_memory_format")
        assert function(model, form) is model
        return [tuple(p.stride()) for p in model.parameters()]

    assert run(dt) == run(torch)


def test_weight_norm_reads_states_of_the_hook():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = dt.nn.utils.weight_norm(dt.nn.Linear(3, 2))
    layer = dt.nn.utils.parametrizations.weight_norm(dt.nn.Linear(3, 2))
    layer.load_state_dict(old.state_dict())
    np.testing.assert_allclose(array(layer.weight), array(old.weight), rtol=1e-6)
