"""GradScaler beside PyTorch's: factors, steps left out, state, errors."""

from __future__ import annotations

import math
import pickle

import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")


def trained(lib, gradients, device="cpu", clip=None, **options):
    """Factors and weights over iterations whose gradients are given."""
    w = lib.ones(2, device=device, requires_grad=True)
    optimizer = lib.optim.SGD([w], lr=0.5)
    scaler = lib.amp.GradScaler(w.device.type, **options)
    path = []
    for value in gradients:
        optimizer.zero_grad()
        scaler.scale((w * value).sum()).backward()
        if clip is not None:
            scaler.unscale_(optimizer)
            lib.nn.utils.clip_grad_norm_([w], clip)
        scaler.step(optimizer)
        scaler.update()
        path.append((scaler.get_scale(), scaler.state_dict()["_growth_tracker"], w.tolist()))
    return path, scaler


CASES = {
    "plain": ([0.5, 0.25, 1.0], {}),
    "infinite": ([0.5, math.inf, 0.5, math.nan, 0.5], {"init_scale": 8.0}),
    "growing": ([0.5] * 7, {"init_scale": 2.0, "growth_interval": 3}),
    "other factors": (
        [0.5, math.inf, 0.5, 0.5],
        {"growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 1, "init_scale": 4.0},
    ),
    "overflow": ([0.5, 0.5], {"init_scale": 2.0**127, "growth_interval": 1}),
    "clipped": ([3.0, 4.0], {"clip": 0.5, "init_scale": 16.0}),
}


@pytest.mark.parametrize("name", CASES)
def test_path(name, device):
    gradients, options = CASES[name]
    mine, first = trained(dt, gradients, device, **options)
    theirs, second = trained(torch, gradients, **options)
    assert [step[:2] for step in mine] == [step[:2] for step in theirs]
    for found, wanted in zip(mine, theirs, strict=True):
        assert found[2] == pytest.approx(wanted[2])
    assert first.state_dict() == second.state_dict()
    assert list(first.state_dict()) == list(second.state_dict())


def test_states_are_exchanged_with_pytorch():
    _, theirs = trained(torch, [0.5, math.inf, 0.5], init_scale=64.0)
    used = trained(dt, [0.5])[1]
    for scaler in (dt.amp.GradScaler("cpu"), used):
        scaler.load_state_dict(theirs.state_dict())
        assert scaler.state_dict() == theirs.state_dict()
        assert (scaler.get_scale(), scaler.is_enabled()) == (32.0, True)
    copied = pickle.loads(pickle.dumps(used))
    assert copied.state_dict() == used.state_dict()
    copied.update_after = None
    for name, value in (("growth_factor", 3.0), ("backoff_factor", 0.1), ("growth_interval", 7)):
        getattr(copied, f"set_{name}")(value)
        assert getattr(copied, f"get_{name}")() == value


def test_many_outputs():
    def run(lib):
        scaler = lib.amp.GradScaler("cpu", init_scale=4.0)
        made = scaler.scale([lib.ones(1), (lib.ones(2), [lib.zeros(1)])])
        assert isinstance(made[1], tuple)
        rest = [x.tolist() for x in scaler.scale(x for x in [lib.ones(1)])]
        return made[0].tolist(), made[1][0].tolist(), rest

    assert run(dt) == run(torch)


def test_new_scales():
    def run(lib):
        scaler = trained(lib, [0.5])[1]
        seen = []
        for value in (8.0, lib.tensor(16.0)):
            scaler.update(value)
            seen.append(scaler.get_scale())
        return seen

    assert run(dt) == run(torch) == [8.0, 16.0]


def test_disabled_scalers_pass_through():
    w = dt.ones(1, requires_grad=True)
    optimizer = dt.optim.SGD([w], lr=1.0)
    scaler = dt.amp.GradScaler("cpu", enabled=False)
    x = dt.ones(1)
    assert scaler.scale(x) is x
    w.grad = dt.ones(1)
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0.0]
    assert (scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (1.0, {}, False)
    scaler.load_state_dict({})
    with pytest.warns(UserWarning, match="not available.  Disabling"):
        assert not dt.amp.GradScaler("nothing").is_enabled()


def begun(lib, dtype="float32", gradient=True):
    w = lib.ones(1, dtype=getattr(lib, dtype), requires_grad=True)
    optimizer = lib.optim.SGD([w], lr=1.0)
    scaler = lib.amp.GradScaler("cpu")
    scaler.scale(lib.ones(1))
    if gradient:
        w.grad = lib.ones_like(w)
    return scaler, optimizer


def twice(lib, *names):
    scaler, optimizer = begun(lib)
    for name in names:
        getattr(scaler, name)(optimizer)


WRONG = {
    "growth": lambda lib: lib.amp.GradScaler("cpu", growth_factor=1.0),
    "backoff": lambda lib: lib.amp.GradScaler("cpu", backoff_factor=1.0),
    "outputs": lambda lib: lib.amp.GradScaler("cpu").scale(3),
    "not scaled": lambda lib: lib.amp.GradScaler("cpu").step(begun(lib)[1]),
    "not scaled, unscale": lambda lib: lib.amp.GradScaler("cpu").unscale_(begun(lib)[1]),
    "not scaled, update": lambda lib: lib.amp.GradScaler("cpu").update(),
    "two unscales": lambda lib: twice(lib, "unscale_", "unscale_"),
    "unscale after step": lambda lib: twice(lib, "step", "unscale_"),
    "two steps": lambda lib: twice(lib, "step", "step"),
    "no step": lambda lib: begun(lib)[0].update(),
    "no gradients": lambda lib: (lambda s, o: s.step(o))(*begun(lib, gradient=False)),
    "closure": lambda lib: (lambda s, o: s.step(o, closure=list))(*begun(lib)),
    "half": lambda lib: (lambda s, o: s.unscale_(o))(*begun(lib, "float16")),
    "two scales": lambda lib: begun(lib)[0].update(lib.ones(2)),
    "a scale with a gradient": lambda lib: begun(lib)[0].update(lib.ones(1, requires_grad=True)),
    "empty state": lambda lib: lib.amp.GradScaler("cpu").load_state_dict({}),
    "pickled in between": lambda lib: (lambda s, o: (s.unscale_(o), pickle.dumps(s)))(*begun(lib)),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    outcomes = []
    for lib in (dt, torch):
        with pytest.raises((ValueError, RuntimeError, AssertionError)) as caught:
            WRONG[name](lib)
        words = " ".join(str(caught.value).split())
        # PyTorch names the types of its devices.
        outcomes.append((type(caught.value), words.split(" or a 1-element")[0]))
    assert outcomes[0] == outcomes[1]
