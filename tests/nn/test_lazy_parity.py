"""Lazy modules and uninitialized tensors: what PyTorch's say and become, step by step."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import dovetail as dt
import dovetail.nn
from dovetail.nn.lazy import LazyModuleMixin

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

from nn_parity import array, copy_state, given, kind_of, outcome, plain, same_outcome  # noqa: E402

# module that it becomes -> arguments without the inputs' size, shape of an input
CASES = [
    ("Linear", "3", (2, 5)),
    ("Linear", "3, bias=False", (5,)),
    ("Conv1d", "4, 3", (2, 3, 5)),
    ("Conv1d", "4, 3, groups=2, bias=False", (4, 5)),
    ("Conv2d", "4, (3, 2), 2, 1, padding_mode='reflect'", (2, 3, 5, 5)),
    ("Conv3d", "4, 2", (2, 3, 3, 3, 3)),
    ("ConvTranspose1d", "4, 3", (2, 3, 5)),
    ("ConvTranspose2d", "4, 3, 2, 1, 1, 2", (2, 4, 5, 5)),
    ("ConvTranspose3d", "4, 2, bias=False", (2, 3, 3, 3, 3)),
    ("BatchNorm1d", "", (3, 4)),
    ("BatchNorm2d", "1e-3, None", (3, 4, 2, 2)),
    ("BatchNorm3d", "affine=False", (3, 4, 2, 2, 2)),
    ("BatchNorm1d", "1e-5, 0.1, False, False", (3, 4)),
    ("BatchNorm1d", "bias=False", (3, 4)),
    ("InstanceNorm1d", "", (3, 4, 5)),
    ("InstanceNorm2d", "affine=True, track_running_stats=False", (3, 4, 5, 2)),
    ("InstanceNorm3d", "affine=True", (3, 4, 5, 2, 2)),
    ("Conv1d", "4, 3, groups=3", (2, 4, 5)),
    ("Conv2d", "4, 3", (2, 3)),
    ("BatchNorm2d", "", (2, 3)),
]


def facts(layer):
    # A tensor without a shape prints, where one with a shape is told by it.
    state = {
        k: str(v) if "Uninitialized" in type(v).__name__ else tuple(v.shape)
        for k, v in layer.state_dict().items()
    }
    return repr(layer), type(layer).__name__, state, [p.requires_grad for p in layer.parameters()]


@pytest.mark.parametrize(("name", "args", "shape"), CASES)
def test_becomes_a_module(name, args, shape):
    def run(lib):
        layer = eval(f"nn.Lazy{name}({args})", {"nn": lib.nn})
        before = facts(layer), getattr(layer, "has_uninitialized_params", bool)()
        try:
            made = tuple(layer(lib.ones(*shape)).shape)
        except RuntimeError:
            made = "RuntimeError"  # of the convolution itself, in words of its own
        return before, made, facts(layer), len(layer._forward_pre_hooks)

    same_outcome(run)


@pytest.mark.parametrize(("name", "args", "shape"), CASES[:17])
def test_computes_as_pytorch_computes(name, args, shape, device):
    theirs = eval(f"nn.Lazy{name}({args})", {"nn": torch.nn}).double()
    mine = eval(f"nn.Lazy{name}({args})", {"nn": dt.nn}).to(device).double()
    x = torch.from_numpy(np.random.default_rng(2).standard_normal(shape))
    theirs(x)
    if "Norm" in name:  # it asks for the number of channels, which no state dict has
        mine(given(x, device))
    copy_state(theirs, mine, device)  # shapes come from the state dict
    np.testing.assert_allclose(array(mine(given(x, device))), array(theirs(x)), 1e-9, 1e-12)
    assert type(mine).__name__ == name
    assert mine.weight is None or kind_of(mine.weight) == kind_of(theirs.weight)


STEPS = {
    "shape": lambda lib, p: p.shape,
    "print": lambda lib, p: repr(p),
    "size": lambda lib, p: tuple(p.size()),
    "asks": lambda lib, p: (p.requires_grad, p.is_leaf, p.is_floating_point(), p.grad),
    "cast": lambda lib, p: str(p.double().dtype).split(".")[-1],
    "share": lambda lib, p: p.share_memory_(),
    "materialize": lambda lib, p: (p.materialize((2, 3)), type(p).__name__, tuple(p.shape)),
    "materialize dtype": lambda lib, p: (
        p.materialize((2,), dtype=lib.float64), str(p.dtype).split(".")[-1], p.requires_grad
    ),
    "copy": lambda lib, p: type(copy.deepcopy(p)).__name__,
    "pickle": lambda lib, p: type(pickle.loads(pickle.dumps(p))).__name__,
    "is a tensor": lambda lib, p: (isinstance(p, lib.Tensor), isinstance(p, lib.nn.Parameter)),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["UninitializedParameter", "UninitializedBuffer"])
@pytest.mark.parametrize("name", STEPS)
def test_uninitialized(name, kind):
    if (name, kind) == ("copy", "UninitializedBuffer"):  # PyTorch cannot
        assert isinstance(copy.deepcopy(dt.nn.UninitializedBuffer()), dt.nn.UninitializedBuffer)
        return
    same_outcome(lambda lib: STEPS[name](lib, getattr(lib.nn, kind)()))


USES = {
    "operator": lambda lib, p: p + 1,
    "method": lambda lib, p: p.sum(),
    "function": lambda lib, p: lib.sum(p),
    "layer": lambda lib, p: lib.nn.functional.linear(lib.ones(1, 2), p),
    "index": lambda lib, p: p[0],
}


@pytest.mark.parametrize("kind", ["UninitializedParameter", "UninitializedBuffer"])
@pytest.mark.parametrize("name", USES)
def test_refused_in_computations(name, kind):
    for lib in (dt, torch):
        made = outcome(lambda lib: USES[name](lib, getattr(lib.nn, kind)()), lib)
        assert made[0] == "ValueError"
        assert "Attempted to use an uninitialized parameter" in made[1]


LOADS = {
    "lazy into lazy": lambda lib: lib.nn.LazyLinear(3).load_state_dict(
        lib.nn.LazyLinear(3).state_dict()
    ),
    "lazy into a module": lambda lib: lib.nn.Linear(2, 3).load_state_dict(
        lib.nn.LazyLinear(3).state_dict()
    ),
    "lacking": lambda lib: lib.nn.LazyLinear(3).load_state_dict({}),
    "more": lambda lib: lib.nn.LazyLinear(3, bias=False).load_state_dict(
        lib.nn.Linear(2, 3).state_dict()
    ),
}


@pytest.mark.parametrize("name", LOADS)
def test_loading(name):
    same_outcome(LOADS[name])


def test_loaded_then_called():
    def run(lib):
        layer = lib.nn.LazyLinear(3)
        layer.load_state_dict(lib.nn.Linear(2, 3).state_dict())
        before = facts(layer), layer.in_features
        return before, tuple(layer(lib.ones(4, 2)).shape), facts(layer)

    same_outcome(run)

    def wrong(lib):
        layer = lib.nn.LazyLinear(3)
        layer.load_state_dict(lib.nn.Linear(2, 3).state_dict())
        return layer(lib.ones(4, 5))

    same_outcome(wrong)


def test_copies_stay_lazy():
    def run(lib):
        layer = lib.nn.LazyLinear(3)
        twin = copy.deepcopy(layer)
        shape = tuple(twin(lib.ones(2, 5)).shape)
        return shape, facts(twin), facts(layer)

    same_outcome(run)


def test_in_a_model(device):
    model = dt.nn.Sequential(dt.nn.LazyConv2d(4, 3), dt.nn.LazyBatchNorm2d(), dt.nn.Flatten(),
                             dt.nn.LazyLinear(2)).to(device)  # fmt: skip
    optimizer = dt.optim.SGD(model.parameters(), lr=0.1)
    x = dt.ones(2, 3, 5, 5, device=device)
    model(x).sum().backward()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    assert all(p.device == x.device for p in model.parameters())
    assert not all(dt.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert "LazyLinear" not in plain(model)


def test_a_mixin_of_ones_own():
    class Scale(LazyModuleMixin, dt.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = dt.nn.UninitializedParameter()

        def initialize_parameters(self, x):
            self.scale.materialize(x.shape[-1:])
            dt.nn.init.ones_(self.scale)

        def forward(self, x):
            return x * self.scale

    made = Scale()
    assert made(dt.ones(2, 3)).shape == (2, 3)
    assert made.scale.shape == (3,)
