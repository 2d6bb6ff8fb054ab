"""Helpers of modules and parameters, beside PyTorch's (``nn.utils``)."""

from __future__ import annotations

import copy
import math
import warnings

import numpy as np
import pytest
from nn_parity import array, assert_same, copy_state, given, gradients, outcome

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


# ------------------------------------------------------------------ parametrize


def symmetric(lib):
    class Symmetric(lib.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, x):
            return x.triu()

    return Symmetric()


def exponential(lib):
    class Exponential(lib.nn.Module):
        def forward(self, x):
            return x.exp()

        def right_inverse(self, x):
            return x.log()

    return Exponential()


def product(lib):
    class Product(lib.nn.Module):
        def forward(self, a, b):
            return a * b

        def right_inverse(self, x):
            return x.abs().sqrt(), x.sign() * x.abs().sqrt()

    return Product()


def forward_only(lib, function):
    class Forward(lib.nn.Module):
        def forward(self, x):
            return function(x)

    return Forward()


def with_inverse(lib, inverse, forward=lambda x: x):
    class Both(lib.nn.Module):
        def forward(self, x):
            return forward(x)

        def right_inverse(self, x):
            return inverse(x)

    return Both()


def parametrized(lib, *makers, name="weight", module=None, **options):
    module = lib.nn.Linear(3, 3).double() if module is None else module
    for make in makers:
        lib.nn.utils.parametrize.register_parametrization(module, name, make(lib), **options)
    return module


CHAINS = {
    "one": (symmetric,),
    "two": (exponential, symmetric),
    "several tensors": (product,),
    "several tensors, then one": (product, symmetric),
}


@pytest.mark.parametrize("name", CHAINS)
def test_parametrized_modules(name, device):
    theirs = parametrized(torch, *CHAINS[name])
    mine = parametrized(dt, *CHAINS[name]).to(device)
    assert repr(mine) == repr(theirs)
    assert type(mine).__name__ == "ParametrizedLinear"
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    with torch.no_grad():
        for p in theirs.parameters():
            p.uniform_(0.1, 1.0)
    copy_state(theirs, mine, device)
    x = np.random.default_rng(0).standard_normal((2, 3))
    run = lambda module, x: module(x)
    pairs = [dt.from_numpy(x).to(device).requires_grad_()], [torch.from_numpy(x).requires_grad_()]
    assert_same(gradients(mine, pairs[0], run), gradients(theirs, pairs[1], run), 1e-12)
    copied = copy.deepcopy(mine)
    assert copied.parametrizations.weight is not mine.parametrizations.weight
    assert_same([copied.weight], [theirs.weight], 1e-12)
    goal = np.random.default_rng(1).uniform(0.5, 2.0, (3, 3))
    goal = goal + goal.T
    mine.weight, theirs.weight = dt.from_numpy(goal.copy()).to(device), torch.from_numpy(goal)
    assert_same([mine.weight], [theirs.weight], 1e-12)
    assert_same([*mine.parameters()], [*theirs.parameters()], 1e-12)
    utils = dt.nn.utils.parametrize
    assert utils.is_parametrized(mine)
    assert not utils.is_parametrized(mine, "bias")
    assert utils.type_before_parametrizations(mine) is dt.nn.Linear
    other = dt.nn.Linear(3, 3).double()
    utils.transfer_parametrizations_and_params(mine, other)
    assert_same([other.weight], [theirs.weight], 1e-12)
    keep = "several" in name
    kept = utils.remove_parametrizations(mine, "weight", leave_parametrized=keep)
    torch.nn.utils.parametrize.remove_parametrizations(theirs, "weight", leave_parametrized=keep)
    assert type(kept) is dt.nn.Linear
    assert not utils.is_parametrized(kept)
    assert_same([*kept.parameters()], [*theirs.parameters()], 1e-12)
    assert list(kept.state_dict()) == list(theirs.state_dict())


def test_a_cache_computes_once():
    calls = []

    def count(x):
        calls.append(1)
        return x * 2

    layer = parametrized(dt, lambda lib: forward_only(lib, count), unsafe=True)
    with dt.nn.utils.parametrize.cached():
        with dt.nn.utils.parametrize.cached():
            first = layer.weight
        assert layer.weight is first
    assert len(calls) == 1
    assert layer.weight is not first
    assert len(calls) == 2


def test_parametrized_buffers():
    def run(lib):
        norm = lib.nn.BatchNorm1d(3).double()
        parametrized(lib, exponential, name="running_var", module=norm)
        state = list(norm.state_dict())
        norm.running_var = lib.full((3,), 2.0, dtype=lib.float64)
        value = norm.running_var.tolist()
        lib.nn.utils.parametrize.remove_parametrizations(norm, "running_var")
        return state, [round(v, 12) for v in value], list(norm.state_dict())

    assert run(dt) == run(torch)


PARAMETRIZE = {
    "no tensor": lambda lib: parametrized(lib, symmetric, name="gain"),
    "dtype": lambda lib: parametrized(lib, lambda lib: forward_only(lib, lambda x: x.float())),
    "shape": lambda lib: parametrized(lib, lambda lib: forward_only(lib, lambda x: x[:2])),
    "result": lambda lib: parametrized(lib, lambda lib: forward_only(lib, lambda x: 3)),
    "second dtype": lambda lib: parametrized(
        lib, symmetric, lambda lib: forward_only(lib, lambda x: x.float())
    ),
    "second shape": lambda lib: parametrized(
        lib, symmetric, lambda lib: forward_only(lib, lambda x: x[:2])
    ),
    "second result": lambda lib: parametrized(
        lib, symmetric, lambda lib: forward_only(lib, lambda x: 3)
    ),
    "inverse": lambda lib: parametrized(lib, lambda lib: with_inverse(lib, lambda x: 3)),
    "inverse dtype": lambda lib: parametrized(
        lib, lambda lib: with_inverse(lib, lambda x: x.float())
    ),
    "inverse parts": lambda lib: parametrized(lib, lambda lib: with_inverse(lib, lambda x: (x, 3))),
    "second inverse": lambda lib: parametrized(
        lib, symmetric, lambda lib: with_inverse(lib, lambda x: 3)
    ),
    "second inverse dtype": lambda lib: parametrized(
        lib, symmetric, lambda lib: with_inverse(lib, lambda x: x.float())
    ),
    "second inverse shape": lambda lib: parametrized(
        lib, symmetric, lambda lib: with_inverse(lib, lambda x: x[:2])
    ),
    "no inverse": lambda lib: setattr(
        parametrized(lib, lambda lib: forward_only(lib, lambda x: x * 2)), "weight", lib.ones(3, 3)
    ),
    "assigned dtype": lambda lib: setattr(parametrized(lib, symmetric), "weight", lib.ones(3, 3)),
    "assigned dtypes": lambda lib: setattr(parametrized(lib, product), "weight", lib.ones(3, 3)),
    "no modules": lambda lib: lib.nn.utils.parametrize.ParametrizationList([], lib.ones(1)),
    "not parametrized": lambda lib: lib.nn.utils.parametrize.remove_parametrizations(
        lib.nn.Linear(2, 2), "weight"
    ),
    "several originals": lambda lib: lib.nn.utils.parametrize.remove_parametrizations(
        parametrized(lib, product), "weight", leave_parametrized=False
    ),
    "orthogonal bias": lambda lib: lib.nn.utils.parametrizations.orthogonal(
        lib.nn.Linear(2, 2), "bias"
    ),
    "orthogonal what": lambda lib: lib.nn.utils.parametrizations.orthogonal(
        lib.nn.Linear(2, 2), "gain"
    ),
    "orthogonal how": lambda lib: lib.nn.utils.parametrizations.orthogonal(
        lib.nn.Linear(2, 2), orthogonal_map="qr"
    ),
    "complex reflections": lambda lib: lib.nn.utils.parametrizations.orthogonal(
        lib.nn.Linear(2, 2, dtype=lib.complex64), orthogonal_map="householder"
    ),
    "orthogonal assigned": lambda lib: setattr(
        lib.nn.utils.parametrizations.orthogonal(
            lib.nn.Linear(2, 2), orthogonal_map="cayley", use_trivialization=False
        ),
        "weight",
        lib.eye(2),
    ),
    "orthogonal shape": lambda lib: setattr(
        lib.nn.utils.parametrizations.orthogonal(lib.nn.Linear(2, 2)), "weight", lib.eye(3)
    ),
    "spectral dim": lambda lib: lib.nn.utils.parametrizations.spectral_norm(
        lib.nn.Linear(2, 2), dim=2
    ),
    "spectral steps": lambda lib: lib.nn.utils.parametrizations.spectral_norm(
        lib.nn.Linear(2, 2), n_power_iterations=0
    ),
    "spectral what": lambda lib: lib.nn.utils.parametrizations.spectral_norm(
        lib.nn.Linear(2, 2), "gain"
    ),
}


@pytest.mark.parametrize("name", PARAMETRIZE)
def test_wrong_parametrizations(name):
    def split(lib):
        return " ".join(" ".join(outcome(PARAMETRIZE[name], lib)).split())

    assert split(dt) == split(torch)


def test_parametrized_modules_are_not_pickled():
    import pickle

    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(parametrized(dt, symmetric))


MAPS = [
    (which, dtype)
    for which in ("matrix_exp", "cayley", "householder", None)
    for dtype in ("float64", "complex128")
    if (which, dtype) != ("householder", "complex128")
]
"""There are no complex reflections."""


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)], ids=str)
@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize(("which", "dtype"), MAPS)
def test_orthogonal(which, trivial, dtype, shape, device):
    def build(lib):
        layer = lib.nn.Linear(shape[1], shape[0], bias=False, dtype=getattr(lib, dtype))
        return lib.nn.utils.parametrizations.orthogonal(
            layer, orthogonal_map=which, use_trivialization=trivial
        )

    mine, theirs = build(dt).to(device), build(torch)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    for layer in (mine, theirs):
        w = array(layer.weight)
        square = w.conj().T @ w if shape[0] >= shape[1] else w @ w.conj().T
        np.testing.assert_allclose(square, np.eye(min(shape)), atol=1e-12)
    with torch.no_grad():
        # The diagonal of reflections is one of signs.
        change = torch.randn_like(theirs.parametrizations.weight.original) * 0.1
        change.diagonal().zero_()
        theirs.parametrizations.weight.original += change
    copy_state(theirs, mine, device)
    assert_same([mine.weight], [theirs.weight], 1e-12)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(shape).astype(dtype)
    for lib, layer, place in ((dt, mine, device), (torch, theirs, "cpu")):
        total = (layer.weight * lib.from_numpy(weights).to(place)).sum()
        (total.real if dtype == "complex128" else total).backward()
    originals = [m.parametrizations.weight.original for m in (mine, theirs)]
    assert_same([originals[0].grad], [originals[1].grad], 1e-10)


@pytest.mark.parametrize("which", ["matrix_exp", "cayley", "householder"])
def test_orthogonal_matrices_can_be_assigned(which):
    layer = dt.nn.utils.parametrizations.orthogonal(
        dt.nn.Linear(3, 3, bias=False).double(), orthogonal_map=which
    )
    goal, _ = dt.linalg.qr(dt.randn(3, 3, dtype=dt.float64))
    layer.weight = goal
    np.testing.assert_allclose(array(layer.weight), array(goal), atol=1e-12)
    layer.weight = dt.randn(3, 3, dtype=dt.float64)
    assert array(layer.weight).T @ array(layer.weight) == pytest.approx(np.eye(3), abs=1e-12)


def test_reflections_can_be_assigned_without_a_base():
    layer = dt.nn.utils.parametrizations.orthogonal(
        dt.nn.Linear(3, 4, bias=False).double(), use_trivialization=False
    )
    goal, _ = dt.linalg.qr(dt.randn(4, 3, dtype=dt.float64))
    layer.weight = goal
    np.testing.assert_allclose(array(layer.weight), array(goal), atol=1e-12)


def test_weight_norm_reads_states_of_the_hook():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = dt.nn.utils.weight_norm(dt.nn.Linear(3, 2))
    layer = dt.nn.utils.parametrizations.weight_norm(dt.nn.Linear(3, 2))
    layer.load_state_dict(old.state_dict())
    np.testing.assert_allclose(array(layer.weight), array(old.weight), rtol=1e-6)
    assert given(torch.ones(1)).item() == 1.0
