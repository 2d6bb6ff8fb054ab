"""Losses: values, gradients and errors of the modules and functions are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt
import dovetail.nn

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

from nn_parity import assert_same, given, outcome, quietly, same_outcome  # noqa: E402

rng = np.random.default_rng(11)


def real(*shape):
    return torch.from_numpy(rng.standard_normal(shape))


def chance(*shape):
    return torch.from_numpy(rng.random(shape))


def classes(high, *shape):
    return torch.from_numpy(rng.integers(0, high, shape))


def signs(*shape):
    return torch.from_numpy(rng.choice([-1.0, 1.0], shape))


def distribution(*shape):
    return chance(*shape).softmax(1)


WEIGHT = {"weight": torch.tensor([0.5, 2.0, 1.0, 0.0], dtype=torch.float64)}

# name of the function -> (inputs, keywords) …; the first input gets a gradient
CASES = {
    "l1_loss": [
        ([real(3, 4), real(3, 4)], {}),
        ([real(3, 4), real(3, 4)], {"weight": chance(3, 4)}),
    ],
    "mse_loss": [
        ([real(3, 4), real(3, 4)], {}),
        ([real(3, 4), real(4)], {}),
        ([real(3, 4), real(3, 4)], {"weight": chance(3, 4)}),
    ],
    "smooth_l1_loss": [
        ([real(3, 4), real(3, 4)], {}),
        ([real(3, 4), real(3, 4)], {"beta": 0.3}),
        ([real(3, 4), real(3, 4)], {"beta": 0}),
    ],
    "huber_loss": [
        ([real(3, 4), real(3, 4)], {"delta": 0.4}),
        ([real(3, 4), real(3, 4)], {"weight": chance(3, 4)}),
    ],
    "nll_loss": [
        ([real(5, 4), classes(4, 5)], {}),
        ([real(4), classes(4)], {}),
        ([real(5, 4, 3, 2), classes(4, 5, 3, 2)], {}),
        ([real(5, 4), classes(3, 5)], WEIGHT),
        ([real(5, 4), torch.tensor([0, 1, -100, 2, 3])], {}),
        ([real(5, 4, 2), classes(4, 5, 2)], {**WEIGHT, "ignore_index": 1}),
    ],
    "cross_entropy": [
        ([real(5, 4), classes(4, 5)], {}),
        ([real(4), classes(4)], {}),
        ([real(5, 4, 3, 2), classes(4, 5, 3, 2)], {}),
        ([real(5, 4), torch.tensor([0, 1, -100, 2, 0])], {**WEIGHT, "label_smoothing": 0.1}),
        ([real(5, 4), torch.tensor([0, 1, 2, 2, 0])], {"ignore_index": 2}),
        ([real(5, 4), torch.tensor([0, 1, 2, 2, 0])], {"label_smoothing": 0.3}),
        ([real(5, 4, 2), classes(4, 5, 2)], {**WEIGHT, "label_smoothing": 0.3}),
        ([real(5, 4), distribution(5, 4)], {}),
        ([real(5, 4, 2), distribution(5, 4, 2)], {**WEIGHT, "label_smoothing": 0.2}),
        ([real(4), chance(4).softmax(0)], {}),
    ],
    "binary_cross_entropy": [
        ([chance(3, 4), chance(3, 4)], {}),
        ([chance(3, 4), chance(3, 4)], {"weight": chance(4)}),
        ([torch.tensor([0.0, 1.0, 0.5]).double(), torch.tensor([1.0, 0.0, 1.0]).double()], {}),
    ],
    "binary_cross_entropy_with_logits": [
        ([real(3, 4), chance(3, 4)], {}),
        ([real(3, 4), chance(3, 4)], {"weight": chance(4), "pos_weight": chance(4)}),
        ([real(3, 4) * 1000, chance(3, 4)], {}),
    ],
    "kl_div": [
        ([real(3, 4), chance(3, 4)], {}),
        ([real(3, 4), real(3, 4)], {"log_target": True}),
        ([real(3, 4), torch.zeros(3, 4).double()], {}),
    ],
    "poisson_nll_loss": [
        ([real(3, 4), classes(5, 3, 4).double()], {}),
        ([chance(3, 4), classes(5, 3, 4).double()], {"log_input": False, "full": True}),
    ],
    "gaussian_nll_loss": [
        ([real(3, 4), real(3, 4), chance(3, 4)], {}),
        ([real(3, 4), real(3, 4), chance(3, 1)], {"full": True}),
        ([real(3, 4), real(3, 4), chance(3)], {"eps": 0.5}),
    ],
    "hinge_embedding_loss": [([real(3, 4), signs(3, 4)], {"margin": 0.5})],
    "soft_margin_loss": [([real(3, 4), signs(3, 4)], {})],
    "margin_ranking_loss": [([real(5), real(5), signs(5)], {"margin": 0.2})],
    "cosine_embedding_loss": [
        ([real(5, 3), real(5, 3), signs(5)], {"margin": 0.2}),
        ([real(3), real(3), torch.tensor(1.0).double()], {}),
    ],
    "triplet_margin_loss": [
        ([real(5, 3), real(5, 3), real(5, 3)], {}),
        ([real(5, 3), real(5, 3), real(5, 3)], {"p": 1, "swap": True, "margin": 0.5}),
    ],
}
LISTED = [
    pytest.param(name, inputs, keywords, id=f"{name}-{i}")
    for name, cases in CASES.items()
    for i, (inputs, keywords) in enumerate(cases)
]
REDUCTIONS = ["mean", "sum", "none"]


def converted(keywords, device):
    return {k: given(v, device) if isinstance(v, torch.Tensor) else v for k, v in keywords.items()}


def graded(function, inputs, keywords):
    loss = function(*inputs, **keywords)
    weights = np.cos(np.arange(loss.numel())).reshape(tuple(loss.shape))
    if isinstance(loss, dt.Tensor):
        weights = dt.from_numpy(weights).to(loss.device)
    else:
        weights = torch.from_numpy(weights)
    (loss * weights).sum().backward()
    return [loss, inputs[0].grad]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "inputs", "keywords"), LISTED)
def test_function(name, inputs, keywords, reduction, device):
    theirs = [x.clone() for x in inputs]
    theirs[0].requires_grad_()
    expected = quietly(
        lambda: graded(
            getattr(torch.nn.functional, name), theirs, {**keywords, "reduction": reduction}
        )
    )
    mine = [given(x, device) for x in inputs]
    mine[0].requires_grad_()
    got = quietly(
        lambda: graded(
            getattr(dt.nn.functional, name),
            mine,
            {**converted(keywords, device), "reduction": reduction},
        )
    )
    # PyTorch keeps the divisor of binary_cross_entropy's gradient above 1e-12 in float32.
    assert_same(got, expected, 1e-8 if name == "binary_cross_entropy" else 1e-9)


MODULES = {
    "L1Loss": "l1_loss",
    "MSELoss": "mse_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "HuberLoss": "huber_loss",
    "NLLLoss": "nll_loss",
    "CrossEntropyLoss": "cross_entropy",
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "KLDivLoss": "kl_div",
    "PoissonNLLLoss": "poisson_nll_loss",
    "GaussianNLLLoss": "gaussian_nll_loss",
    "HingeEmbeddingLoss": "hinge_embedding_loss",
    "SoftMarginLoss": "soft_margin_loss",
    "MarginRankingLoss": "margin_ranking_loss",
    "CosineEmbeddingLoss": "cosine_embedding_loss",
    "TripletMarginLoss": "triplet_margin_loss",
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_module(name, reduction, device):
    for inputs, keywords in CASES[MODULES[name]]:
        if name in ("L1Loss", "MSELoss", "HuberLoss") and "weight" in keywords:
            continue  # the function only
        theirs = getattr(torch.nn, name)(**keywords, reduction=reduction)
        mine = getattr(dt.nn, name)(**converted(keywords, "cpu"), reduction=reduction).to(device)
        assert repr(mine) == repr(theirs)
        assert list(mine.state_dict()) == list(theirs.state_dict())
        expected = quietly(lambda inputs=inputs, theirs=theirs: theirs(*inputs))
        got = quietly(lambda inputs=inputs, mine=mine: mine(*(given(x, device) for x in inputs)))
        assert_same([got], [expected], 1e-9)


def zeros(lib, *shape):
    return lib.zeros(*shape)


def F(lib):
    return lib.nn.functional


SAME_TEXT = {
    "reduction": lambda lib: F(lib).mse_loss(zeros(lib, 2), zeros(lib, 2), reduction="x"),
    "reduction of kl_div": lambda lib: F(lib).kl_div(zeros(lib, 2), zeros(lib, 2), reduction="x"),
    "beta": lambda lib: F(lib).smooth_l1_loss(zeros(lib, 2), zeros(lib, 2), beta=-1),
    "delta": lambda lib: F(lib).huber_loss(zeros(lib, 2), zeros(lib, 2), delta=0),
    "batch size": lambda lib: F(lib).cross_entropy(zeros(lib, 2, 3), zeros(lib, 3).long()),
    "0-d input": lambda lib: F(lib).nll_loss(lib.tensor(1.0), lib.tensor(0)),
    "bce sizes": lambda lib: F(lib).binary_cross_entropy(zeros(lib, 2, 3), zeros(lib, 2)),
    "bce logits sizes": lambda lib: F(lib).binary_cross_entropy_with_logits(
        zeros(lib, 2, 3), zeros(lib, 2)
    ),
    "margin": lambda lib: lib.nn.TripletMarginLoss(margin=0),
    "variance": lambda lib: F(lib).gaussian_nll_loss(
        zeros(lib, 2), zeros(lib, 2), zeros(lib, 2) - 1
    ),
    "smoothing": lambda lib: F(lib).cross_entropy(
        zeros(lib, 2, 3), zeros(lib, 2).long(), label_smoothing=1.5
    ),
}


@pytest.mark.parametrize("name", SAME_TEXT)
def test_errors_with_the_same_text(name):
    same_outcome(SAME_TEXT[name])


SAME_CLASS = {
    "class out of range": lambda lib: F(lib).cross_entropy(zeros(lib, 2, 3), lib.tensor([0, 3])),
    "negative class": lambda lib: F(lib).nll_loss(zeros(lib, 2, 3), lib.tensor([0, -1])),
    "float target": lambda lib: F(lib).cross_entropy(zeros(lib, 2, 3), zeros(lib, 2)),
    "int32 target": lambda lib: F(lib).cross_entropy(zeros(lib, 2, 3), zeros(lib, 2).int()),
    "class weights": lambda lib: F(lib).cross_entropy(
        zeros(lib, 2, 3), zeros(lib, 2).long(), weight=lib.ones(2)
    ),
    "target shape": lambda lib: F(lib).nll_loss(zeros(lib, 2, 3), zeros(lib, 2, 2).long()),
    "bce range": lambda lib: F(lib).binary_cross_entropy(zeros(lib, 2) + 2, zeros(lib, 2)),
}


@pytest.mark.parametrize("name", SAME_CLASS)
def test_errors_of_the_same_class(name):
    assert outcome(SAME_CLASS[name], dt)[0] == outcome(SAME_CLASS[name], torch)[0] != "value"


def test_size_mismatch_warns():
    with pytest.warns(UserWarning, match=r"target size \(torch.Size\(\[3\]\)\)"):
        dt.nn.functional.mse_loss(dt.zeros(2, 3), dt.zeros(3))


def test_deprecated_flags():
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        loss = dt.nn.L1Loss(size_average=False)
    assert loss.reduction == "sum"
    with pytest.warns(UserWarning, match="reduction='none'"):
        dt.nn.functional.l1_loss(dt.zeros(2), dt.zeros(2), reduce=False)
