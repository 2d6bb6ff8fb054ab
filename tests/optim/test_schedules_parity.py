"""Schedules of rates and momenta walk PyTorch's path, keep its state and raise its errors."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest

import dovetail as dt
import dovetail.optim

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")


class Halving:
    """A function of the epoch that is an object: its attributes are saved."""

    def __init__(self, factor=0.5):
        self.factor = factor

    def __call__(self, epoch):
        return self.factor**epoch


def made(name, *args, **kwargs):
    """A recipe of one schedule, for either library."""
    return lambda lib, optimizer: scheduler(lib, name)(optimizer, *args, **kwargs)


def scheduler(lib, name):
    return getattr(lib.optim.swa_utils if name == "SWALR" else lib.optim.lr_scheduler, name)


def sequence(lib, optimizer):
    s = lib.optim.lr_scheduler
    parts = [
        s.ConstantLR(optimizer, 0.1, 2),
        s.ExponentialLR(optimizer, 0.9),
        s.CosineAnnealingLR(optimizer, 4),
    ]
    return s.SequentialLR(optimizer, parts, [3, 8])


def chain(lib, optimizer):
    s = lib.optim.lr_scheduler
    return s.ChainedScheduler([s.LinearLR(optimizer, 0.2), s.ExponentialLR(optimizer, 0.9)])


def nested(lib, optimizer):
    s = lib.optim.lr_scheduler
    return s.ChainedScheduler([sequence(lib, optimizer), s.StepLR(optimizer, 5, 0.5)], optimizer)


RECIPES = {
    "lambda": made("LambdaLR", lambda epoch: 0.95**epoch),
    "lambdas": made("LambdaLR", [lambda epoch: 0.5**epoch, Halving(0.7)]),
    "multiplicative": made("MultiplicativeLR", lambda epoch: 0.9 + epoch % 2 * 0.05),
    "multiplicatives": made("MultiplicativeLR", (Halving(0.9), lambda epoch: 0.5)),
    "step": made("StepLR", 3, 0.3),
    "multistep": made("MultiStepLR", [2, 5, 5, 9], 0.3),
    "constant": made("ConstantLR"),
    "constant, short": made("ConstantLR", 0.5, 2),
    "linear": made("LinearLR"),
    "linear, down": made("LinearLR", 1.0, 0.1, 7),
    "exponential": made("ExponentialLR", 0.8),
    "polynomial": made("PolynomialLR"),
    "polynomial, squared": made("PolynomialLR", 20, 2.0),
    "cosine": made("CosineAnnealingLR", 5),
    "cosine, high": made("CosineAnnealingLR", 3, 0.01),
    "restarts": made("CosineAnnealingWarmRestarts", 4),
    "restarts, longer": made("CosineAnnealingWarmRestarts", 2, 3, 0.01),
    "cyclic": made("CyclicLR", 0.01, 0.2, 4, 3),
    "cyclic, halved": made("CyclicLR", [0.01, 0.02], [0.2, 0.3], 3, mode="triangular2"),
    "cyclic, exponential": made("CyclicLR", 0.01, 0.2, 3, mode="exp_range", gamma=0.9),
    "cyclic, own": made("CyclicLR", 0.01, 0.2, 3, scale_fn=Halving(0.9), scale_mode="iterations"),
    "cyclic, rate only": made("CyclicLR", 0.01, 0.2, 4, cycle_momentum=False),
    "one cycle": made("OneCycleLR", 0.4, 24),
    "one cycle, linear": made("OneCycleLR", 0.4, epochs=6, steps_per_epoch=4,
                              anneal_strategy="linear", pct_start=0.5, div_factor=5.0),
    "one cycle, three": made("OneCycleLR", [0.4, 0.2], 24, three_phase=True,
                             base_momentum=[0.5, 0.6], final_div_factor=10.0),
    "one cycle, rate only": made("OneCycleLR", 0.4, 24, cycle_momentum=False),
    "swa": made("SWALR", 0.5, 4),
    "swa, linear": made("SWALR", [0.5, 0.01], 6, "linear"),
    "swa, at once": made("SWALR", 0.5, 0),
    "sequence": sequence,
    "chain": chain,
    "nested": nested,
}  # fmt: skip

OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "Adam": {"lr": 0.2},
}


def optimizer_of(lib, name="SGD", rate=None):
    params = [lib.ones(2, requires_grad=True) for _ in range(2)]
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.03}]
    if rate is not None:
        groups = [{"params": [p], "lr": lib.tensor(rate, dtype=lib.float64)} for p in params]
    return getattr(lib.optim, name)(groups, **OPTIMIZERS[name])


def numbers(values):
    return [float(v) for v in values]


def options(optimizer):
    """What a schedule changes in the groups, as numbers."""
    names = ("lr", "momentum", "betas", "initial_lr", "max_lr", "min_lr", "max_momentum", "swa_lr")
    return [
        {name: np.ravel(group[name]).tolist() for name in names if name in group}
        for group in optimizer.param_groups
    ]


def walk(lib, recipe, optimizer, steps=22):
    schedule = recipe(lib, optimizer)
    path = [(options(optimizer), numbers(schedule.get_last_lr()))]
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        path.append((options(optimizer), numbers(schedule.get_last_lr())))
    return path, schedule


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", RECIPES)
def test_path_and_state(name, optimizer):
    mine, first = walk(dt, RECIPES[name], optimizer_of(dt, optimizer))
    theirs, second = walk(torch, RECIPES[name], optimizer_of(torch, optimizer))
    assert mine == theirs
    assert len({str(step) for step in mine}) > 1 or name == "swa, at once"
    state, wanted = first.state_dict(), second.state_dict()
    assert state == wanted
    assert list(state) == list(wanted)


@pytest.mark.parametrize("name", RECIPES)
def test_rates_that_are_tensors_stay_the_same_tensors(name):
    def run(lib):
        optimizer = optimizer_of(lib, rate=0.1)
        before = [group["lr"] for group in optimizer.param_groups]
        path, _ = walk(lib, RECIPES[name], optimizer)
        assert all(g["lr"] is b for g, b in zip(optimizer.param_groups, before, strict=True))
        return [rates for _, rates in path]

    np.testing.assert_allclose(run(dt), run(torch), rtol=1e-12)


@pytest.mark.parametrize("name", RECIPES)
def test_states_are_exchanged_with_pytorch(name):
    """A schedule that PyTorch has run for a while goes on here as it does there."""
    theirs = optimizer_of(torch)
    _, reference = walk(torch, RECIPES[name], theirs, 7)
    mine = optimizer_of(dt)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule = RECIPES[name](dt, mine)
        schedule.load_state_dict(reference.state_dict())
    for group, other in zip(mine.param_groups, theirs.param_groups, strict=True):
        group.update({k: v for k, v in other.items() if k != "params"})
    for _ in range(9):
        for optimizer, s in ((mine, schedule), (theirs, reference)):
            optimizer.step()
            s.step()
        assert options(mine) == options(theirs)
        assert schedule.get_last_lr() == reference.get_last_lr()


@pytest.mark.parametrize("name", [n for n in RECIPES if n not in ("sequence", "chain", "nested")])
def test_closed_forms(name):
    """``step(epoch)`` warns, and jumps where there is a closed form."""

    def run(lib):
        optimizer = optimizer_of(lib)
        schedule = RECIPES[name](lib, optimizer)
        optimizer.step()
        path = []
        for epoch in (3, 1, 7, 0, 12):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                schedule.step(epoch)
            path.append((options(optimizer), [str(w.message)[:60] for w in caught]))
        return path

    assert run(dt) == run(torch)


@pytest.mark.parametrize("name", ["cosine", "linear", "step", "exponential", "one cycle", "cyclic"])
def test_resuming_by_epoch(name):
    """``last_epoch`` starts from the initial rates of the groups."""

    def run(lib):
        optimizer = optimizer_of(lib)
        recipe = RECIPES[name]
        recipe(lib, optimizer)
        keep = scheduler(lib, "LRScheduler").__init__

        def resumed(self, optimizer, last_epoch=-1):
            keep(self, optimizer, 5)

        path = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scheduler(lib, "LRScheduler"), "__init__", resumed)
            schedule = recipe(lib, optimizer)
        for _ in range(4):
            path.append(options(optimizer))
            optimizer.step()
            schedule.step()
        return path

    assert run(dt) == run(torch)


PLATEAUS = {
    "min": {"patience": 1},
    "max": {"mode": "max", "patience": 2, "factor": 0.5},
    "absolute": {"threshold_mode": "abs", "threshold": 0.3, "patience": 0},
    "absolute max": {"mode": "max", "threshold_mode": "abs", "threshold": 0.3, "patience": 0},
    "cooldown": {"patience": 0, "cooldown": 2},
    "lowest": {"patience": 0, "min_lr": [0.01, 0.02], "factor": 0.3},
    "eps": {"patience": 0, "eps": 0.02, "factor": 0.5},
}


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateau(name):
    values = [3.0, 2.5, 2.5, 2.6, 2.49, 2.5, 2.9, 1.0, 1.1, 1.2, 1.3, 1.4, 4.0, 4.0, 4.0]

    def run(lib):
        optimizer = optimizer_of(lib)
        schedule = scheduler(lib, "ReduceLROnPlateau")(optimizer, **PLATEAUS[name])
        path = []
        for i, value in enumerate(values):
            schedule.step(lib.tensor(value) if i % 2 else value)
            path.append((options(optimizer), schedule.get_last_lr(), schedule.in_cooldown))
        state = schedule.state_dict()
        twin = scheduler(lib, "ReduceLROnPlateau")(optimizer)
        twin.load_state_dict(state)
        return path, state, list(state), twin.state_dict()

    assert run(dt) == run(torch)


def test_plateau_with_a_group_that_came_later():
    def run(lib, **given):
        optimizer = optimizer_of(lib)
        schedule = scheduler(lib, "ReduceLROnPlateau")(optimizer, patience=0, **given)
        optimizer.add_param_group({"params": [lib.ones(1, requires_grad=True)], "lr": 1.0})
        schedule.step(1.0)
        schedule.step(1.0)
        return options(optimizer)

    assert run(dt) == run(torch)
    with pytest.raises(RuntimeError, match="differs from when `ReduceLROnPlateau` was"):
        run(dt, min_lr=[0.0, 0.0])


def test_order_of_calls_is_checked():
    optimizer = optimizer_of(dt)
    schedule = dt.optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
        schedule.step()
    optimizer = optimizer_of(dt)
    schedule = dt.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="has been overridden"):
        schedule.step()
    optimizer = optimizer_of(dt)
    schedule = dt.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step()
    schedule.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        schedule.get_lr()


def test_an_own_schedule():
    def run(lib):
        class Sawtooth(scheduler(lib, "LRScheduler")):
            def get_lr(self):
                return [lr * (1 + self.last_epoch % 3) for lr in self.base_lrs]

        path, schedule = walk(lib, lambda _, o: Sawtooth(o), optimizer_of(lib), 6)
        return path, schedule.state_dict()

    assert run(dt) == run(torch)


def with_rprop(lib):
    return lib.optim.Rprop([lib.ones(1, requires_grad=True)])


WRONG = {
    "no optimizer": lambda lib, o: scheduler(lib, "StepLR")(3, 1),
    "no optimizer, cyclic": lambda lib, o: scheduler(lib, "CyclicLR")(3, 1, 2),
    "no optimizer, one cycle": lambda lib, o: scheduler(lib, "OneCycleLR")(3, 1, 2),
    "no optimizer, plateau": lambda lib, o: scheduler(lib, "ReduceLROnPlateau")(3),
    "resumed": lambda lib, o: scheduler(lib, "StepLR")(o, 1, last_epoch=3),
    "lambdas": lambda lib, o: scheduler(lib, "LambdaLR")(o, [abs]),
    "multiplicatives": lambda lib, o: scheduler(lib, "MultiplicativeLR")(o, [abs]),
    "no function": lambda lib, o: scheduler(lib, "MultiplicativeLR")(o, 0.5),
    "constant": lambda lib, o: scheduler(lib, "ConstantLR")(o, 1.5),
    "linear": lambda lib, o: scheduler(lib, "LinearLR")(o, 0.0),
    "linear end": lambda lib, o: scheduler(lib, "LinearLR")(o, 0.5, 1.5),
    "restarts": lambda lib, o: scheduler(lib, "CosineAnnealingWarmRestarts")(o, 0),
    "restarts factor": lambda lib, o: scheduler(lib, "CosineAnnealingWarmRestarts")(o, 1, 0),
    "restarts lowest": lambda lib, o: scheduler(lib, "CosineAnnealingWarmRestarts")(o, 1, 1, "a"),
    "restarts epoch": lambda lib, o: scheduler(lib, "CosineAnnealingWarmRestarts")(o, 1).step(-1),
    "factor": lambda lib, o: scheduler(lib, "ReduceLROnPlateau")(o, factor=1.0),
    "mode": lambda lib, o: scheduler(lib, "ReduceLROnPlateau")(o, "least"),
    "threshold mode": lambda lib, o: scheduler(lib, "ReduceLROnPlateau")(o, threshold_mode="a"),
    "lowest rates": lambda lib, o: scheduler(lib, "ReduceLROnPlateau")(o, min_lr=[1.0]),
    "base rates": lambda lib, o: scheduler(lib, "CyclicLR")(o, [0.1], 0.2),
    "cyclic mode": lambda lib, o: scheduler(lib, "CyclicLR")(o, 0.1, 0.2, mode="square"),
    "no momentum": lambda lib, o: scheduler(lib, "CyclicLR")(with_rprop(lib), 0.1, 0.2),
    "no momentum either": lambda lib, o: scheduler(lib, "OneCycleLR")(with_rprop(lib), 0.1, 9),
    "no length": lambda lib, o: scheduler(lib, "OneCycleLR")(o, 0.1),
    "length": lambda lib, o: scheduler(lib, "OneCycleLR")(o, 0.1, -3),
    "epochs": lambda lib, o: scheduler(lib, "OneCycleLR")(o, 0.1, epochs=0, steps_per_epoch=3),
    "batches": lambda lib, o: scheduler(lib, "OneCycleLR")(o, 0.1, epochs=2, steps_per_epoch=1.5),
    "part": lambda lib, o: scheduler(lib, "OneCycleLR")(o, 0.1, 9, pct_start=1.5),
    "strategy": lambda lib, o: scheduler(lib, "OneCycleLR")(o, 0.1, 9, anneal_strategy="exp"),
    "too far": lambda lib, o: [
        s.step()
        for s in [scheduler(lib, "OneCycleLR")(o, 0.1, 3)]
        for _ in range(4)
        if not o.step()
    ],
    "swa strategy": lambda lib, o: scheduler(lib, "SWALR")(o, 0.1, anneal_strategy="exp"),
    "swa epochs": lambda lib, o: scheduler(lib, "SWALR")(o, 0.1, -1),
    "swa rates": lambda lib, o: scheduler(lib, "SWALR")(o, [0.1]),
    "nothing in a row": lambda lib, o: scheduler(lib, "SequentialLR")(o, [], []),
    "no schedules in a row": lambda lib, o: scheduler(lib, "SequentialLR")(o, [3], []),
    "a plateau in a row": lambda lib, o: scheduler(lib, "SequentialLR")(
        o, [scheduler(lib, "ReduceLROnPlateau")(o)], []
    ),
    "milestones": lambda lib, o: scheduler(lib, "SequentialLR")(
        o, [scheduler(lib, "ExponentialLR")(o, 0.5)], [1]
    ),
    "another optimizer": lambda lib, o: scheduler(lib, "SequentialLR")(
        o, [scheduler(lib, "ExponentialLR")(optimizer_of(lib), 0.5)], []
    ),
    "nothing in a chain": lambda lib, o: scheduler(lib, "ChainedScheduler")([]),
    "a plateau in a chain": lambda lib, o: scheduler(lib, "ChainedScheduler")(
        [scheduler(lib, "ReduceLROnPlateau")(o)]
    ),
    "another optimizer in a chain": lambda lib, o: scheduler(lib, "ChainedScheduler")(
        [scheduler(lib, "ExponentialLR")(optimizer_of(lib), 0.5)], o
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    def outcome(lib):
        with pytest.raises((TypeError, ValueError, KeyError, RuntimeError)) as caught:
            WRONG[name](lib, optimizer_of(lib))
        return type(caught.value).__name__, re.sub(r"dovetail|torch", "", str(caught.value))

    assert outcome(dt) == outcome(torch)


def test_a_rate_of_nothing_stays_nothing():
    optimizer = dt.optim.SGD([dt.ones(1, requires_grad=True)], lr=0.0)
    _, schedule = walk(dt, RECIPES["cosine"], optimizer, 3)
    assert schedule.get_last_lr() == [0.0]
    assert math.isfinite(sum(schedule.base_lrs))
