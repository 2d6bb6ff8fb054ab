"""Attention and transformers: values, gradients, masks, printing and errors are PyTorch's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dovetail as dt
import dovetail.nn

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

from functions_beside import compare, leaf  # noqa: E402
from nn_parity import array, copy_state, outcome, quietly, same_outcome  # noqa: E402

RNG = np.random.default_rng(4)
X = RNG.standard_normal((4, 3, 8))  # (length, batch, size)
MEMORY = RNG.standard_normal((5, 3, 8))
HIDDEN = np.triu(np.ones((4, 4), bool), 1)
CAUSAL = np.triu(np.full((4, 4), -np.inf), 1)
PADDING = np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]], bool)
SCATTERED = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)

pytestmark = pytest.mark.filterwarnings(
    "ignore:enable_nested_tensor",
    "ignore:Support for mismatched",
    "ignore:The PyTorch API of nested tensors",
)


def build(lib, name, args):
    return quietly(lambda: eval(f"nn.{name}({args})", {"nn": lib.nn}))


def layers_of(name, args, device, dtype="double", training=True):
    theirs = getattr(build(torch, name, args), dtype)().train(training)
    mine = getattr(build(dt, name, args), dtype)().train(training).to(device)
    copy_state(theirs, mine, device)
    return {torch: theirs, dt: mine}


def tensors(lib, keywords, device):
    """Arrays among keywords as tensors."""
    place = {} if lib is torch else {"device": device}
    return {
        k: lib.tensor(v, **place) if isinstance(v, np.ndarray) else v for k, v in keywords.items()
    }


def compare_layers(layers, arrays, keywords, device, tolerance=1e-9, second=False):
    """Outputs, gradients of the inputs, and of the parameters."""

    def run(lib, *inputs):
        return layers[lib](*inputs, **tensors(lib, keywords, device))

    compare(run, arrays, device, tolerance, second)
    for lib, layer in layers.items():
        layer.zero_grad()
        made = run(lib, *(leaf(lib, a, device if lib is dt else None) for a in arrays))
        made = made[0] if isinstance(made, tuple) else made
        (made * made).sum().backward()
    for (key, a), b in zip(layers[dt].named_parameters(), layers[torch].parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), key
        if b.grad is not None:
            np.testing.assert_allclose(
                array(a.grad), array(b.grad), tolerance, tolerance, err_msg=key
            )


ATTENTIONS = [
    "8, 2",
    "8, 4, bias=False",
    "8, 2, add_bias_kv=True",
    "8, 2, add_zero_attn=True",
    "8, 2, 0.0, True, True, True",
    "8, 1, batch_first=True",
]
MASKS = {
    "none": {},
    "hidden": {"attn_mask": HIDDEN},
    "causal": {"attn_mask": CAUSAL, "average_attn_weights": False},
    "padding": {"key_padding_mask": PADDING},
    "both": {"attn_mask": HIDDEN, "key_padding_mask": PADDING},
    "both, no weights": {
        "attn_mask": HIDDEN, "key_padding_mask": PADDING, "need_weights": False,
    },
    "floats": {"attn_mask": CAUSAL, "key_padding_mask": PADDING * -2.0, "need_weights": False},
    "hint": {"attn_mask": HIDDEN, "need_weights": False, "is_causal": True},
    "hint with weights": {"attn_mask": HIDDEN, "is_causal": True},
    "hint with padding": {
        "attn_mask": HIDDEN, "key_padding_mask": PADDING, "is_causal": True, "need_weights": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("args", ATTENTIONS)
def test_self_attention(args, mask, device):
    layers = layers_of("MultiheadAttention", args, device)
    same_outcome(
        lambda lib: (
            repr(build(lib, "MultiheadAttention", args)),
            list(build(lib, "MultiheadAttention", args).state_dict()),
        )
    )
    x = np.swapaxes(X, 0, 1).copy() if layers[torch].batch_first else X

    def run(lib, x):
        return layers[lib](x, x, x, **tensors(lib, MASKS[mask], device))

    compare(run, (x,), device, second=mask in ("none", "both"))


@pytest.mark.parametrize("mask", MASKS)
def test_masks_per_head(mask, device):
    keywords = dict(MASKS[mask])
    if "attn_mask" in keywords:
        keywords["attn_mask"] = np.repeat(keywords["attn_mask"][None], 6, 0)
    layers = layers_of("MultiheadAttention", "8, 2", device)
    compare_layers(layers, (X, X, X), keywords, device)


@pytest.mark.parametrize(
    ("args", "widths"),
    [("8, 2", (8, 8)), ("8, 2, kdim=6, vdim=5", (6, 5)), ("8, 2, vdim=3, bias=False", (8, 3))],
)
def test_attention_to_others(args, widths, device):
    layers = layers_of("MultiheadAttention", args, device)
    key, value = (RNG.standard_normal((5, 3, width)) for width in widths)
    compare_layers(layers, (X, key, value), {}, device, second=True)
    compare_layers(layers, (X[:, 0], key[:, 0], value[:, 0]), {}, device)


def test_keys_are_the_values(device):
    layers = layers_of("MultiheadAttention", "8, 2", device)
    compare(lambda lib, q, k: layers[lib](q, k, k), (X, MEMORY), device)
    compare(lambda lib, q, k: layers[lib](q[:, 0], k[:, 0], k[:, 0]), (X, MEMORY), device)


def test_static_keys(device):
    arrays = [RNG.standard_normal(s) for s in ((24, 8), (24,), (8, 8), (8,), (6, 7, 4), (6, 7, 4))]

    def run(lib, x, weight, bias, out, out_bias, keys, values):
        return lib.nn.functional.multi_head_attention_forward(
            x, x, x, 8, 2, weight, bias, None, None, False, 0.0, out, out_bias,
            static_k=keys, static_v=values,
        )  # fmt: skip

    compare(run, (X, *arrays), device)


OPTIONS = [
    f"norm_first={first}, batch_first={batch}, activation={activation}"
    for (first, batch), activation in zip(
        itertools.product((False, True), (False, True)),
        ("'relu'", "'gelu'", "nn.functional.silu", "nn.GELU()"),
        strict=True,
    )
]


def turned(x, args):
    return np.swapaxes(x, 0, 1).copy() if "batch_first=True" in args else x


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("options", OPTIONS)
def test_layers(options, training, device):
    args = f"8, 2, 16, 0.0, {options}"
    for name in ("TransformerEncoderLayer", "TransformerDecoderLayer"):
        same_outcome(lambda lib, name=name: repr(build(lib, name, args)))
    x, memory = turned(X, args), turned(MEMORY, args)
    encoder = layers_of("TransformerEncoderLayer", args, device, training=training)
    for keywords in (
        {},
        {"src_mask": CAUSAL, "is_causal": True},
        {"src_mask": HIDDEN, "src_key_padding_mask": PADDING},
    ):
        compare_layers(encoder, (x,), keywords, device)
    decoder = layers_of("TransformerDecoderLayer", args, device, training=training)
    keywords = {"tgt_mask": CAUSAL, "tgt_is_causal": True}
    keywords["memory_key_padding_mask"] = np.pad(PADDING, ((0, 0), (0, 1)))
    compare_layers(decoder, (x, memory), keywords, device)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", OPTIONS[:2])
def test_transformer(options, bias, device):
    args = f"8, 2, 2, 1, 16, 0.0, {options}, bias={bias}"
    same_outcome(
        lambda lib: (
            repr(build(lib, "Transformer", args)),
            list(build(lib, "Transformer", args).state_dict()),
        )
    )
    layers = layers_of("Transformer", args, device)
    keywords = {"tgt_mask": CAUSAL, "src_key_padding_mask": np.pad(PADDING, ((0, 0), (0, 1)))}
    compare_layers(layers, (turned(MEMORY, args), turned(X, args)), keywords, device)
    compare_layers(layers, (MEMORY[:, 0], X[:, 0]), {"tgt_mask": HIDDEN}, device)


@pytest.mark.parametrize("padding", [PADDING, SCATTERED], ids=["at the end", "anywhere"])
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no grad"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_what_comes_out_for_padding(training, grad, padding, device):
    """Zeros (and what the last norm makes of them) where no gradient is asked for."""
    x = np.swapaxes(X, 0, 1).copy()
    for args in ("3", "2, nn.LayerNorm(8)", "2, None, False", "2, mask_check=False"):
        text = f"nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), {args}"
        layers = layers_of("TransformerEncoder", text, device, training=training)
        if "mask_check" in args and padding is SCATTERED:
            continue  # PyTorch reads what is not there
        made = {}
        for lib, layer in layers.items():
            place = device if lib is dt else None
            with lib.set_grad_enabled(grad):
                mask = leaf(lib, padding, place)
                made[lib] = array(layer(leaf(lib, x, place).detach(), src_key_padding_mask=mask))
        np.testing.assert_allclose(made[dt], made[torch], 1e-9, 1e-12)


def test_causal_masks_are_seen(device):
    layers = layers_of("TransformerEncoder", "nn.TransformerEncoderLayer(8, 2, 16, 0.0), 2", device)
    for mask in (CAUSAL, HIDDEN, CAUSAL.T):
        for hint in (None, False):
            keywords = {"mask": mask, "is_causal": hint}
            if mask is CAUSAL.T:
                keywords["mask"] = CAUSAL.T.copy()
            compare_layers(layers, (X,), keywords, device)


def test_subsequent_mask():
    for kind in (None, "float64"):
        mine, theirs = (
            lib.nn.Transformer.generate_square_subsequent_mask(
                3, dtype=None if kind is None else getattr(lib, kind)
            )
            for lib in (dt, torch)
        )
        np.testing.assert_array_equal(array(mine), array(theirs))
        assert str(mine.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1]


def test_float32(device):
    layers = layers_of("Transformer", "8, 2, 1, 1, 16, 0.0", device, "float")
    arrays = (MEMORY.astype(np.float32), X.astype(np.float32))
    compare_layers(layers, arrays, {}, device, 2e-4)


def test_dropped_weights():
    """With chance 1 nothing is attended to."""
    layer = dt.nn.MultiheadAttention(8, 2, dropout=1.0)
    x = dt.tensor(X).float()
    for need_weights in (True, False):
        out, weights = layer(x, x, x, need_weights=need_weights)
        expected = layer.out_proj(dt.zeros(4, 3, 8))
        assert dt.equal(out, expected)
        assert weights is None or not weights.any()
    assert layer.eval()(x, x, x)[1].sum(-1).allclose(dt.ones(3, 4))


def mha(lib, *args, **kwargs):
    return lib.nn.MultiheadAttention(8, 2, **kwargs)(*args)


def z(lib, *shape):
    return lib.zeros(*shape)


WRONG = {
    "heads": lambda lib: lib.nn.MultiheadAttention(8, 3),
    "no heads": lambda lib: lib.nn.MultiheadAttention(8, 0),
    "no size": lambda lib: lib.nn.MultiheadAttention(0, 2),
    "dims": lambda lib: mha(lib, z(lib, 8), z(lib, 8), z(lib, 8)),
    "dims of the key": lambda lib: mha(lib, z(lib, 4, 3, 8), z(lib, 4, 8), z(lib, 4, 8)),
    "dims without a batch": lambda lib: mha(lib, z(lib, 4, 8), z(lib, 4, 3, 8), z(lib, 4, 3, 8)),
    "size": lambda lib: mha(lib, z(lib, 4, 3, 6), z(lib, 4, 3, 6), z(lib, 4, 3, 6)),
    "values": lambda lib: mha(lib, z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 5, 3, 8)),
    "kind of mask": lambda lib: lib.nn.MultiheadAttention(8, 2)(
        z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 4, 3, 8), attn_mask=z(lib, 4, 4).int()
    ),
    "mask": lambda lib: lib.nn.MultiheadAttention(8, 2)(
        z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 4, 3, 8), attn_mask=z(lib, 4, 5)
    ),
    "mask per head": lambda lib: lib.nn.MultiheadAttention(8, 2)(
        z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 4, 3, 8), attn_mask=z(lib, 3, 4, 4)
    ),
    "dims of the mask": lambda lib: lib.nn.MultiheadAttention(8, 2)(
        z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 4, 3, 8), attn_mask=z(lib, 4)
    ),
    "padding": lambda lib: lib.nn.MultiheadAttention(8, 2)(
        z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 3, 5)
    ),
    "batch of padding": lambda lib: lib.nn.MultiheadAttention(8, 2)(
        z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 2, 4)
    ),
    "dims of padding": lambda lib: lib.nn.MultiheadAttention(8, 2)(
        z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 4)
    ),
    "hint": lambda lib: lib.nn.MultiheadAttention(8, 2)(
        z(lib, 4, 3, 8), z(lib, 4, 3, 8), z(lib, 4, 3, 8), is_causal=True
    ),
    "activation": lambda lib: lib.nn.TransformerEncoderLayer(8, 2, activation="tanh"),
    "batches": lambda lib: lib.nn.Transformer(8, 2, 1, 1, 8)(z(lib, 4, 3, 8), z(lib, 4, 2, 8)),
    "sizes": lambda lib: lib.nn.Transformer(8, 2, 1, 1, 8)(z(lib, 4, 3, 8), z(lib, 4, 3, 6)),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    assert outcome(WRONG[name], torch)[0] != "value"
    same_outcome(WRONG[name])


def test_nesting_is_explained():
    with pytest.warns(UserWarning, match="self_attn.batch_first was not True"):
        dt.nn.TransformerEncoder(dt.nn.TransformerEncoderLayer(8, 2, 8), 1)
