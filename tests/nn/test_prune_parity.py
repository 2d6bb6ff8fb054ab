"""Pruning beside PyTorch's (``nn.utils.prune``), and the table of what is left."""

from __future__ import annotations

import copy
import importlib
import math

import numpy as np
import pytest
from nn_parity import array, assert_same, copy_state, gradients, outcome

import dovetail as dt

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")
importlib.import_module("torch.nn.utils.prune")  # which PyTorch does not import by itself


def model(lib):
    return lib.nn.Sequential(lib.nn.Conv2d(2, 4, 3), lib.nn.Flatten(), lib.nn.Linear(16, 3))


def pair(device="cpu"):
    theirs = model(torch)
    mine = model(dt).to(device)
    copy_state(theirs, mine, device)
    return mine, theirs


def scores(lib, module):
    """Something else than the weight to compare: its last elements matter most."""
    count = module.weight.numel()
    return lib.arange(count).view_as(module.weight).float().to(module.weight.device)


# What is done to the convolution, one after the other.
METHODS = {
    "identity": [lambda lib, m, p: p.identity(m, "weight")],
    "l1": [lambda lib, m, p: p.l1_unstructured(m, "weight", 0.3)],
    "l1, many": [lambda lib, m, p: p.l1_unstructured(m, "weight", 20)],
    "l1, none": [lambda lib, m, p: p.l1_unstructured(m, "weight", 0)],
    "l1, all": [lambda lib, m, p: p.l1_unstructured(m, "weight", 1.0)],
    "l1 of scores": [
        lambda lib, m, p: p.l1_unstructured(m, "weight", 10, importance_scores=scores(lib, m))
    ],
    "l2 of channels": [lambda lib, m, p: p.ln_structured(m, "weight", 2, n=2, dim=0)],
    "l1 of inputs": [lambda lib, m, p: p.ln_structured(m, "weight", 0.5, n=1, dim=1)],
    "largest of columns": [lambda lib, m, p: p.ln_structured(m, "weight", 1, math.inf, dim=-1)],
    "l3 of channels": [lambda lib, m, p: p.ln_structured(m, "weight", 1, 3, dim=-4)],
    "no channels": [lambda lib, m, p: p.ln_structured(m, "weight", 0, n=2, dim=0)],
    "channels by scores": [
        lambda lib, m, p: p.ln_structured(
            m, "weight", 1, n=2, dim=0, importance_scores=scores(lib, m)
        )
    ],
    "mask": [lambda lib, m, p: p.custom_from_mask(m, "weight", mask=(scores(lib, m) % 3 > 0))],
    "bias": [lambda lib, m, p: p.l1_unstructured(m, "bias", 2)],
    "twice": [lambda lib, m, p: p.l1_unstructured(m, "weight", 0.25)] * 2,
    "elements, then channels": [
        lambda lib, m, p: p.l1_unstructured(m, "weight", 0.25),
        lambda lib, m, p: p.ln_structured(m, "weight", 1, n=2, dim=0),
    ],
    "channels, then channels": [
        lambda lib, m, p: p.ln_structured(m, "weight", 1, n=2, dim=0),
        lambda lib, m, p: p.ln_structured(m, "weight", 1, n=1, dim=-4),
    ],
    "three ways": [
        lambda lib, m, p: p.ln_structured(m, "weight", 1, n=2, dim=0),
        lambda lib, m, p: p.custom_from_mask(m, "weight", mask=(scores(lib, m) % 2 > 0)),
        lambda lib, m, p: p.l1_unstructured(m, "weight", 5),
    ],
}


@pytest.mark.parametrize("name", METHODS)
def test_methods(name, device):
    mine, theirs = pair(device)
    for lib, module in ((dt, mine), (torch, theirs)):
        for method in METHODS[name]:
            assert method(lib, module[0], lib.nn.utils.prune) is module[0]
    target = "bias" if name == "bias" else "weight"
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert_same(list(mine.state_dict().values()), list(theirs.state_dict().values()), 0)
    x = np.random.default_rng(0).standard_normal((2, 2, 4, 4)).astype("f")
    run = lambda module, x: module(x)
    inputs = [dt.from_numpy(x).to(device).requires_grad_()], [torch.from_numpy(x).requires_grad_()]
    assert_same(gradients(mine, inputs[0], run), gradients(theirs, inputs[1], run), 1e-5)
    assert dt.nn.utils.prune.is_pruned(mine)
    kept = int(array(getattr(mine[0], f"{target}_mask")).sum())
    assert dt.nn.utils.prune.sparsity(mine)[f"0.{target}"].kept == kept
    for lib, module in ((dt, mine), (torch, theirs)):
        assert lib.nn.utils.prune.remove(module[0], target) is module[0]
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert_same(list(mine.state_dict().values()), list(theirs.state_dict().values()), 0)
    assert isinstance(getattr(mine[0], target), dt.nn.Parameter)
    assert not dt.nn.utils.prune.is_pruned(mine)


RANDOM = {
    "part": lambda lib, m, p: p.random_unstructured(m, "weight", 0.25),
    "count": lambda lib, m, p: p.random_unstructured(m, "weight", 7),
    "twice": lambda lib, m, p: p.random_unstructured(
        p.random_unstructured(m, "weight", 0.5), "weight", 0.5
    ),
    "channels": lambda lib, m, p: p.random_structured(m, "weight", 2, dim=0),
    "inputs": lambda lib, m, p: p.random_structured(m, "weight", 0.5, dim=1),
    "none": lambda lib, m, p: p.random_structured(m, "weight", 0, dim=1),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_methods(name, device):
    """As many elements, or whole slices, as PyTorch prunes."""
    mine, theirs = pair(device)
    masks = []
    for lib, module in ((dt, mine[0]), (torch, theirs[0])):
        RANDOM[name](lib, module, lib.nn.utils.prune)
        masks.append(array(module.weight_mask))
    assert masks[0].dtype == masks[1].dtype
    assert masks[0].sum() == masks[1].sum()
    if name in ("channels", "inputs"):
        axis = int(name == "inputs")
        others = tuple(i for i in range(4) if i != axis)
        np.testing.assert_array_equal(masks[0].min(others), masks[0].max(others))


def test_global_pruning(device):
    def run(lib, module):
        prune = lib.nn.utils.prune
        places = [(module[0], "weight"), (module[2], "weight"), (module[2], "bias")]
        prune.l1_unstructured(module[0], "weight", 5)
        given = {places[0]: scores(lib, module[0])}
        prune.global_unstructured(places, prune.L1Unstructured, amount=0.4)
        prune.global_unstructured(
            places, pruning_method=prune.L1Unstructured, importance_scores=given, amount=3
        )
        return list(module.state_dict().values())

    mine, theirs = pair(device)
    assert_same(run(dt, mine), run(torch, theirs), 0)
    assert list(mine.state_dict()) == list(theirs.state_dict())


def checkered(lib):
    """A method of one's own: every other element of what is left."""

    class Checkered(lib.nn.utils.prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    return Checkered


def test_own_methods_and_tensors():
    def run(lib, module):
        prune = lib.nn.utils.prune
        prune.l1_unstructured(module, "weight", 0.5)
        method = checkered(lib).apply(module, "weight")
        assert isinstance(method, prune.PruningContainer)
        kinds = [type(m).__name__ for m in method]
        pruned = prune.L1Unstructured(2).prune(lib.tensor([3.0, -1.0, 2.0, 0.5]))
        masked = prune.L1Unstructured(1).prune(
            lib.tensor([3.0, -1.0, 2.0]), default_mask=lib.tensor([1.0, 1.0, 0.0]),
            importance_scores=lib.tensor([0.1, 1.0, 2.0]),
        )  # fmt: skip
        return (
            kinds,
            len(method),
            type(method[0]).__name__,
            pruned.tolist(),
            masked.tolist(),
            [v.tolist() for v in module.state_dict().values()],
        )

    theirs = torch.nn.Linear(3, 2)
    mine = dt.nn.Linear(3, 2)
    copy_state(theirs, mine)
    assert run(dt, mine) == run(torch, theirs)


def test_training_leaves_zeros_at_zero():
    layer = dt.nn.utils.prune.l1_unstructured(dt.nn.Linear(4, 2), "weight", 0.5)
    optimizer = dt.optim.SGD(layer.parameters(), lr=0.1)
    mask = array(layer.weight_mask)
    for _ in range(3):
        optimizer.zero_grad()
        layer(dt.ones(3, 4)).square().sum().backward()
        optimizer.step()
    layer(dt.ones(1, 4))
    assert (array(layer.weight)[mask == 0] == 0).all()
    assert (array(layer.weight_orig)[mask == 0] != 0).all()


def container(lib, *names):
    prune = lib.nn.utils.prune
    methods = []
    for name in names:
        methods.append(prune.L1Unstructured(1))
        methods[-1]._tensor_name = name
    return prune.PruningContainer(methods[0]), methods[-1]


def strange(lib, kind):
    class Strange(lib.nn.utils.prune.BasePruningMethod):
        PRUNING_TYPE = kind

        def compute_mask(self, t, default_mask):
            return default_mask

    return Strange


def after_l1(lib, kind):
    layer = lib.nn.utils.prune.l1_unstructured(lib.nn.Linear(3, 2), "weight", 1)
    return strange(lib, kind).apply(layer, "weight")


WRONG = {
    "amount": lambda lib, p: p.l1_unstructured(lib.nn.Linear(3, 2), "weight", "many"),
    "part": lambda lib, p: p.l1_unstructured(lib.nn.Linear(3, 2), "weight", 1.5),
    "negative part": lambda lib, p: p.random_unstructured(lib.nn.Linear(3, 2), "weight", -0.5),
    "negative count": lambda lib, p: p.random_structured(lib.nn.Linear(3, 2), "weight", -1, 0),
    "count": lambda lib, p: p.l1_unstructured(lib.nn.Linear(3, 2), "weight", 7),
    "channels": lambda lib, p: p.ln_structured(lib.nn.Linear(3, 2), "weight", 3, 2, dim=0),
    "a vector": lambda lib, p: p.ln_structured(lib.nn.Linear(3, 2), "bias", 1, 2, dim=0),
    "random vector": lambda lib, p: p.random_structured(lib.nn.Linear(3, 2), "bias", 1, dim=0),
    "dim": lambda lib, p: p.ln_structured(lib.nn.Linear(3, 2), "weight", 1, 2, dim=2),
    "scores": lambda lib, p: (
        p.l1_unstructured(lib.nn.Linear(3, 2), "weight", 1, importance_scores=lib.ones(2)).weight
    ),
    "scores of a tensor": lambda lib, p: p.L1Unstructured(1).prune(
        lib.ones(3), importance_scores=lib.ones(2)
    ),
    "mask": lambda lib, p: p.custom_from_mask(lib.nn.Linear(3, 2), "weight", lib.ones(2)),
    "not pruned": lambda lib, p: p.remove(lib.nn.Linear(3, 2), "weight"),
    "no list": lambda lib, p: p.global_unstructured(3, p.L1Unstructured, amount=1),
    "no dict": lambda lib, p: p.global_unstructured(
        [(lib.nn.Linear(3, 2), "weight")], p.L1Unstructured, importance_scores=3, amount=1
    ),
    "no method": lambda lib, p: p.PruningContainer(container(lib, "a")[1]).add_pruning_method(3),
    "another name": lambda lib, p: (lambda c, m: c.add_pruning_method(m))(
        *container(lib, "a", "b")
    ),
    "type": lambda lib, p: after_l1(lib, "fancy"),
    "no dim": lambda lib, p: after_l1(lib, "structured"),
    "abstract": lambda lib, p: p.BasePruningMethod(),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    def text(lib):
        kind, words = outcome(lambda lib: WRONG[name](lib, lib.nn.utils.prune), lib)
        return kind, words.split(" object at ")[0].split(" of module ")[0]

    mine, theirs = text(dt), text(torch)
    assert mine[0] == theirs[0] != "value"
    assert mine == theirs or name == "abstract"


def test_structured_methods_are_not_global():
    prune = dt.nn.utils.prune
    with pytest.raises(TypeError, match='Only "unstructured" PRUNING_TYPE supported'):
        prune.global_unstructured(
            [(dt.nn.Linear(3, 2), "weight")], prune.RandomStructured, amount=1
        )


def test_a_failed_pruning_changes_nothing():
    layer = dt.nn.Linear(3, 2)
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(ValueError, match="should be smaller"):
        dt.nn.utils.prune.l1_unstructured(layer, "weight", 100)
    assert list(layer.state_dict()) == ["bias", "weight"] or list(before) == list(
        layer.state_dict()
    )
    assert layer.weight is layer._parameters["weight"]
    assert not dt.nn.utils.prune.is_pruned(layer)


def test_report_of_sparsity(device):
    prune = dt.nn.utils.prune
    net = dt.nn.Sequential(dt.nn.Linear(300, 100), dt.nn.ReLU(), dt.nn.Linear(100, 10)).to(device)
    prune.l1_unstructured(net[0], "weight", 0.9)
    prune.ln_structured(net[2], "weight", 0.5, n=2, dim=0)
    report = prune.sparsity(net)
    rows = [(r.name, r.shape, r.elements, r.kept, r.is_pruned) for r in report]
    assert [r[:2] for r in rows] == [
        ("0.bias", (100,)), ("0.weight", (100, 300)), ("2.bias", (10,)), ("2.weight", (10, 100)),
    ]  # fmt: skip
    weight, last = report["0.weight"], report["2.weight"]
    assert (weight.elements, weight.kept, weight.is_pruned) == (30000, 3000, True)
    assert weight.sparsity == pytest.approx(0.9)
    assert weight.compression == pytest.approx(10.0)
    assert (last.kept, last.compression) == (500, 2.0)
    assert report.total.elements == 31110
    assert report.total.kept == 3610
    text = str(report).splitlines()
    assert text[0].split() == ["parameter", "shape", "elements", "kept", "sparsity", "fewer"]
    assert text[3].split() == ["0.weight", "100×300", "30,000", "3,000", "90.0%", "10.0×"]
    assert text[-1].split() == ["total", "31,110", "3,610", "88.4%", "8.6×"]
    assert len(report) == 4
    with pytest.raises(KeyError):
        report["1.weight"]


def test_reports_of_nothing_and_of_everything():
    prune = dt.nn.utils.prune
    assert str(prune.sparsity(dt.nn.ReLU())).splitlines()[-1].split() == [
        "total", "0", "0", "0.0%", "1.0×",
    ]  # fmt: skip
    layer = prune.l1_unstructured(dt.nn.Linear(2, 1, bias=False), "weight", 1.0)
    assert prune.sparsity(layer)["weight"].compression == math.inf
    assert str(prune.sparsity(layer)).splitlines()[-1].split()[-1] == "all"
