"""Losses of labels, sequences and linear maps, and the adaptive softmax, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt
import dovetail.nn

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

from functions_beside import compare, leaf  # noqa: E402
from nn_parity import array, copy_state, given, outcome, quietly, same_outcome  # noqa: E402

RNG = np.random.default_rng(8)
REDUCTIONS = ("mean", "sum", "none")


def F(lib):
    return lib.nn.functional


def real(*shape):
    return RNG.standard_normal(shape)


def beside(lib, values, like):
    """An array on the device of another tensor; in its dtype where both are floats."""
    made = lib.tensor(values) if lib is torch else lib.tensor(values, device=like.device)
    return made.to(like.dtype) if made.is_floating_point() else made


WEIGHT = RNG.uniform(0.5, 1, 4)
LABELS = np.array([[0, 1, -1, 2], [3, 3, 2, -1], [-1, 0, 0, 0]])

# name -> (inputs that get gradients, other positional arguments, keywords) …
CASES = {
    "multi_margin_loss": [
        ((real(3, 4),), [np.array([0, 3, 1])], {}),
        ((real(3, 4),), [np.array([0, 3, 1])], {"p": 2, "margin": 0.7, "weight": WEIGHT}),
        ((real(4),), [np.array(2)], {}),
        ((real(4),), [np.array([2])], {}),
    ],
    "multilabel_margin_loss": [
        ((real(3, 4),), [LABELS], {}),
        ((real(4),), [LABELS[0]], {}),
    ],
    "multilabel_soft_margin_loss": [
        ((real(3, 4), RNG.random((3, 4))), [], {}),
        ((real(2, 3, 4), RNG.random((2, 3, 4))), [], {"weight": WEIGHT}),
    ],
    "triplet_margin_with_distance_loss": [
        ((real(3, 4), real(3, 4), real(3, 4)), [], {}),
        ((real(3, 4), real(3, 4), real(3, 4)), [], {"swap": True, "margin": 0.3}),
    ],
}
NAMED = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "number"), NAMED)
def test_functions(name, number, reduction, kind, device):
    inputs, others, keywords = CASES[name][number]

    def run(lib, *tensors):
        more = {
            k: beside(lib, v, tensors[0]) if isinstance(v, np.ndarray) else v
            for k, v in keywords.items()
        }
        rest = [beside(lib, v, tensors[0]) for v in others]
        return getattr(F(lib), name)(*tensors, *rest, reduction=reduction, **more)

    exact = kind == "float64"
    arrays = tuple(a.astype(kind) for a in inputs)
    compare(run, arrays, device, 1e-9 if exact else 1e-4, second=exact and "multi_" not in name)


def test_a_distance_of_ones_own(device):
    def run(lib, *tensors):
        def distance(a, b):
            return (a - b).abs().sum(-1) + (a * a).sum(-1)

        loss = lib.nn.TripletMarginWithDistanceLoss(distance_function=distance, margin=2.0)
        return loss(*tensors)

    compare(run, (real(3, 4), real(3, 4), real(3, 4)), device)


# ctc_loss

STEPS = np.array([7, 5, 6])
COUNTS = np.array([3, 0, 2])
TARGETS = {
    "padded": np.array([[1, 1, 2], [1, 2, 3], [4, 3, 1]]),
    "joined": np.array([1, 1, 2, 4, 3]),
}


@pytest.mark.parametrize("normal", [True, False], ids=["log_softmax", "anything"])
@pytest.mark.parametrize("layout", TARGETS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ctc(reduction, layout, normal, device):
    x = real(7, 3, 5)
    for steps, zero_infinity in ((STEPS, False), (STEPS, True), (np.array([2, 0, 6]), True)):

        def run(lib, x, steps=steps, zero=zero_infinity):
            y = x.log_softmax(2) if normal else x
            return F(lib).ctc_loss(
                y, beside(lib, TARGETS[layout], x), beside(lib, steps, x),
                beside(lib, COUNTS, x), reduction=reduction, zero_infinity=zero,
            )  # fmt: skip

        compare(run, (x,), device, second=False)
        compare(run, (x.astype(np.float32),), device, 2e-4, second=False)


def test_ctc_of_one_sequence_and_impossible_labels(device):
    def of_one(lib, x):
        labels = beside(lib, np.array([1, 4, 4]), x)
        return F(lib).ctc_loss(x[:, 0].log_softmax(1), labels, (7,), (3,), blank=2)

    compare(of_one, (real(7, 2, 5),), device, second=False)

    def impossible(lib, x):
        labels = beside(lib, np.array([[1, 1]]), x)
        return F(lib).ctc_loss(x.log_softmax(2), labels, (2,), (2,), reduction="none")

    compare(impossible, (real(3, 1, 3),), device, second=False)


def test_ctc_twice(device):
    """PyTorch has no second gradient of it."""
    x = dt.tensor(real(4, 2, 3), device=device).requires_grad_()
    labels = dt.tensor([[1, 1], [2, 1]], device=device)

    def loss(x):
        return F(dt).ctc_loss(x.log_softmax(2), labels, [4, 3], [2, 1], reduction="sum")

    assert dt.autograd.gradcheck(loss, (x,))
    assert dt.autograd.gradgradcheck(loss, (x,), atol=1e-4)


# linear_cross_entropy

OPTIONS = {
    "whole": None,
    "chunks of 2": {"batch_chunk_size": 2, "chunking_method": None},
    "chunks": {},
    "ratio": {"chunking_method": "aspect_ratio:3"},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_linear_cross_entropy(reduction, option, device):
    factors = RNG.uniform(0.5, 1, 5)
    for keywords in ({}, {"ignore_index": 3}, {"weight": factors}, {"label_smoothing": 0.1}):

        def run(lib, x, weight, bias, k=keywords):
            given_options = OPTIONS[option]
            if given_options is not None:
                given_options = lib.nn.LinearCrossEntropyOptions(**given_options)
            more = {n: beside(lib, v, x) if n == "weight" else v for n, v in k.items()}
            target = beside(lib, np.array([0, 3, 1, 4]), x)
            return quietly(
                lambda: F(lib).linear_cross_entropy(
                    x, weight, target, linear_bias=bias, reduction=reduction,
                    options=given_options, **more,
                )
            )  # fmt: skip

        arrays = (real(4, 3), real(5, 3), real(5))
        compare(run, arrays, device, second=option == "whole")


def test_linear_cross_entropy_of_more_dims(device):
    def run(lib, x, weight, chances):
        labels = beside(lib, np.array([[0, 3], [1, 1]]), x)
        by_class = F(lib).linear_cross_entropy(x, weight, labels)
        likely = F(lib).linear_cross_entropy(x, weight[:, 0], chances.softmax(1))
        alone = F(lib).linear_cross_entropy(x[0], weight[:, 0], labels[0, 1], reduction="none")
        return by_class, likely, alone

    compare(run, (real(2, 3), real(5, 2, 3), real(2, 5)), device)


def test_chunks_in_halves(device):
    x, weight = real(6, 4).astype(np.float16), real(9, 4).astype(np.float16)
    target = np.array([0, 8, 3, 3, 2, 1])

    def run(lib, x, weight):
        options = lib.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
        return F(lib).linear_cross_entropy(x, weight, beside(lib, target, x), options=options)

    compare(run, (x, weight), device, 5e-3, second=False)


# modules

MODULES = {
    "CTCLoss": ["", "blank=2, reduction='sum', zero_infinity=True"],
    "MultiMarginLoss": ["", "2, 0.5, reduction='none'", "p=3"],
    "MultiLabelMarginLoss": ["", "reduction='sum'"],
    "MultiLabelSoftMarginLoss": ["", "reduction='sum'"],
    "TripletMarginWithDistanceLoss": ["", "margin=2.0, swap=True", "margin=0"],
    "LinearCrossEntropyLoss": ["3, 4", "3, 4, out_features=(2,), bias=True, ignore_index=1",
                               "3, 4, label_smoothing=2"],
    "LinearCrossEntropyOptions": ["acc_policy='x'", "chunking_method='x'", "batch_chunk_size=0",
                                  "acc_dtype=3"],
    "AdaptiveLogSoftmaxWithLoss": ["8, 12, [2, 5, 9], 2.0, True", "8, 12, []", "8, 12, [5, 2]",
                                   "8, 12, [12]", "8, 12, [2, 2]"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "args"), [(n, a) for n, cases in MODULES.items() for a in cases])
def test_text_and_state(name, args):
    def run(lib):
        module = quietly(lambda: eval(f"nn.{name}({args})", {"nn": lib.nn}))
        return repr(module), [(k, tuple(v.shape)) for k, v in module.state_dict().items()]

    same_outcome(run)


def test_modules_compute(device):
    def run(lib, x, logits):
        weight = beside(lib, WEIGHT, x)
        labels = beside(lib, np.array([0, 3, 1]), x)
        several = beside(lib, LABELS, x)
        log_probs, ones = logits.log_softmax(2), labels[:2] * 0 + 1
        return (
            lib.nn.MultiMarginLoss(2, weight=weight)(x, labels),
            lib.nn.MultiLabelMarginLoss()(x, several),
            lib.nn.MultiLabelSoftMarginLoss(weight)(x, (several > 0).to(x.dtype)),
            lib.nn.CTCLoss()(log_probs, labels[1:].unsqueeze(1), ones * 4, ones),
            lib.nn.TripletMarginWithDistanceLoss()(x, x * 2, x.flip(0)),
        )

    compare(run, (real(3, 4), real(4, 2, 4)), device, second=False)


def test_linear_cross_entropy_layer(device):
    text = "nn.LinearCrossEntropyLoss(3, 4, out_features=(2,), bias=True)"
    layers = {lib: eval(text, {"nn": lib.nn}).double() for lib in (torch, dt)}
    layers[dt].to(device)
    copy_state(layers[torch], layers[dt], device)
    compare(
        lambda lib, x: layers[lib](x, beside(lib, np.array([[0, 3], [1, 1]]), x)), (real(2, 3),),
        device,
    )  # fmt: skip


def test_adaptive_softmax(device):
    text = "nn.AdaptiveLogSoftmaxWithLoss(8, 12, [2, 5, 9], 2.0, True)"
    layers = {lib: eval(text, {"nn": lib.nn}).double() for lib in (torch, dt)}
    layers[dt].to(device)
    copy_state(layers[torch], layers[dt], device)

    def run(lib, x):
        targets = beside(lib, np.array([0, 11, 3, 1, 6, 4]), x)
        made = layers[lib](x, targets)
        alone = layers[lib](x[0], targets[0])
        return made.output, made.loss, alone.output, layers[lib].log_prob(x), layers[lib].predict(x)

    x = real(6, 8)
    compare(run, (x,), device, second=False)
    for lib, layer in layers.items():
        layer.zero_grad()
        run(lib, leaf(lib, x, device if lib is dt else None))[1].backward()
    for a, b in zip(layers[dt].parameters(), layers[torch].parameters(), strict=True):
        np.testing.assert_allclose(array(a.grad), array(b.grad), 1e-9, 1e-10)
    head = given(torch.zeros_like(layers[torch].head.weight), device)
    layers[dt].head.weight.data.copy_(head)
    assert layers[dt].predict(given(torch.tensor(x), device)).shape == (6,)


def z(lib, *shape):
    return lib.zeros(*shape)


def ctc(lib, targets=((1, 2), (3, 1)), steps=(5, 4), counts=(2, 1), **keywords):
    return F(lib).ctc_loss(z(lib, 5, 2, 4), lib.tensor(targets), lib.tensor(steps),
                           lib.tensor(counts), **keywords)  # fmt: skip


SAME_TEXT = {
    "ctc reduction": lambda lib: ctc(lib, reduction="x"),
    "ctc blank": lambda lib: ctc(lib, blank=4),
    "ctc batch": lambda lib: ctc(lib, steps=(5,)),
    "ctc floats": lambda lib: ctc(lib, steps=(5.0, 4.0)),
    "ctc of nothing": lambda lib: F(lib).ctc_loss(
        z(lib, 5, 0, 4), z(lib, 0, 2).long(), z(lib, 0).long(), z(lib, 0).long()
    ),
    "p": lambda lib: F(lib).multi_margin_loss(z(lib, 2, 3), z(lib, 2).long(), p=3),
    "weight": lambda lib: F(lib).multi_margin_loss(
        z(lib, 2, 3), z(lib, 2).long(), weight=z(lib, 3, 1)
    ),
    "weight's size": lambda lib: F(lib).multi_margin_loss(
        z(lib, 2, 3), z(lib, 2).long(), weight=z(lib, 2)
    ),
    "target": lambda lib: F(lib).multi_margin_loss(z(lib, 2, 3), lib.tensor([0, 3])),
    "targets": lambda lib: F(lib).multi_margin_loss(z(lib, 2, 3), lib.tensor([0])),
    "dims": lambda lib: F(lib).multi_margin_loss(z(lib, 2, 3, 1), lib.tensor([0, 1])),
    "labels": lambda lib: F(lib).multilabel_margin_loss(z(lib, 1, 3), lib.tensor([[0, 3, -1]])),
    "label shapes": lambda lib: F(lib).multilabel_margin_loss(z(lib, 1, 3), lib.tensor([[0, 1]])),
    "soft reduction": lambda lib: F(lib).multilabel_soft_margin_loss(
        z(lib, 2, 3), z(lib, 2, 3), reduction="x"
    ),
    "margin": lambda lib: F(lib).triplet_margin_with_distance_loss(
        z(lib, 2), z(lib, 2), z(lib, 2), margin=0
    ),
    "triplets": lambda lib: F(lib).triplet_margin_with_distance_loss(
        z(lib, 2), z(lib, 2, 1), z(lib, 2)
    ),
    "triplet reduction": lambda lib: F(lib).triplet_margin_with_distance_loss(
        z(lib, 2), z(lib, 2), z(lib, 2), reduction="x"
    ),
    "input of linear": lambda lib: F(lib).linear_cross_entropy(
        z(lib, 2, 3, 4), z(lib, 5, 4), z(lib, 2).long()
    ),
    "weight of linear": lambda lib: F(lib).linear_cross_entropy(
        z(lib, 2, 3), z(lib, 3), z(lib, 2).long()
    ),
    "features of linear": lambda lib: F(lib).linear_cross_entropy(
        z(lib, 2, 3), z(lib, 5, 4), z(lib, 2).long()
    ),
    "bias of linear": lambda lib: F(lib).linear_cross_entropy(
        z(lib, 2, 3), z(lib, 5, 3), z(lib, 2).long(), linear_bias=z(lib, 4)
    ),
    "ignored chances": lambda lib: F(lib).linear_cross_entropy(
        z(lib, 2, 3), z(lib, 5, 3), z(lib, 2, 5), ignore_index=1
    ),
    "adaptive range": lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(16, 12, [2, 5])(
        z(lib, 2, 16), lib.tensor([0, 12])
    ),
    "adaptive batch": lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(16, 12, [2])(
        z(lib, 2, 16), lib.tensor([0, 1, 2])
    ),
    "adaptive dims": lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(16, 12, [2])(
        z(lib, 2, 16), lib.tensor([[0, 1]])
    ),
}


@pytest.mark.parametrize("name", SAME_TEXT)
def test_errors(name):
    assert outcome(SAME_TEXT[name], torch)[0] != "value"
    same_outcome(SAME_TEXT[name])


SAME_CLASS = {
    "ctc steps": lambda lib: ctc(lib, steps=(6, 4)),
    "ctc negative": lambda lib: ctc(lib, steps=(5, -4)),
    "ctc labels": lambda lib: ctc(lib, counts=(3, 1)),
    "ctc rows": lambda lib: ctc(lib, targets=((1, 2),)),
    "ctc joined": lambda lib: ctc(lib, targets=(1, 2, 3, 1)),
    "float labels": lambda lib: F(lib).multilabel_margin_loss(z(lib, 1, 3), z(lib, 1, 3)),
    "float targets": lambda lib: F(lib).multi_margin_loss(z(lib, 2, 3), z(lib, 2)),
    "dtype of weight": lambda lib: F(lib).multi_margin_loss(
        z(lib, 2, 3), z(lib, 2).long(), weight=z(lib, 3).double()
    ),
}


@pytest.mark.parametrize("name", SAME_CLASS)
def test_errors_of_the_same_class(name):
    assert outcome(SAME_CLASS[name], dt)[0] == outcome(SAME_CLASS[name], torch)[0] != "value"


def test_ctc_of_halves():
    with pytest.raises(NotImplementedError, match="Half"):
        F(dt).ctc_loss(dt.zeros(5, 1, 4).half(), dt.tensor([[1]]), (5,), (1,))
