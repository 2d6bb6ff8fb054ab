"""Attention of several heads, with its projections (``torch.nn.functional``).

Shapes: query (L, N, E), key (S, N, K) and value (S, N, V), or without N.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail import ops
from dovetail.nn.functional.dropout import dropout
from dovetail.nn.functional.linear import linear
from dovetail.nn.functional.padding import pad
from dovetail.ops.layers.attention import scaled_dot_product_attention
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["canonical_mask", "multi_head_attention_forward"]


def canonical_mask(
    mask: Tensor | None,
    name: str,
    kind: Any,
    other: Tensor | None = None,
    other_name: str = "",
) -> Tensor | None:
    """A mask as what is added to the scores: minus infinity where a bool mask is True.

    Args:
        mask: bool or floating; None stays None.
        name: for messages.
        kind: the dtype that a bool mask becomes.
        other: another mask, which should have the same dtype (a warning else).
        other_name: for messages.

    Raises:
        AssertionError: a mask of another dtype.
    """
    if mask is None:
        return None
    is_float = mask.is_floating_point()
    if not is_float and mask.dtype is not dovetail.bool:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and mask.dtype is not other.dtype:
        warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both "
            "instead.",
        )
    if is_float:
        return mask
    return ops.where(mask, -math.inf, mask.new_zeros((), dtype=kind))  # type: ignore[no-any-return]


def _check_shapes(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Whether the inputs have a batch dim.

    Raises:
        AssertionError: numbers of dims that do not fit together, in PyTorch's words.
    """
    if query.dim() not in (2, 3):
        raise AssertionError(
            "query should be unbatched 2D or batched 3D tensor but received "
            f"{query.dim()}-D query tensor"
        )
    n = query.dim()
    label = f"For {'batched' if n == 3 else 'unbatched'} ({n}-D) `query`, expected"
    if key.dim() != n or value.dim() != n:
        raise AssertionError(
            f"{label} `key` and `value` to be {n}-D but found {key.dim()}-D and {value.dim()}-D "
            "tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != n - 1:
        raise AssertionError(
            f"{label} `key_padding_mask` to be `None` or {n - 1}-D but found "
            f"{key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(
                f"{label} `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D "
                "tensor instead"
            )
        expected = (num_heads, query.shape[0], key.shape[0])
        if n == 2 and attn_mask.dim() == 3 and tuple(attn_mask.shape) != expected:
            raise AssertionError(
                f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}"
            )
    return n == 3


def _project_packed(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """Projections by the three parts of one weight (3 E, E): one product where inputs are one."""
    size = query.size(-1)
    if query is key is value:
        whole = linear(query, weight, bias)
        return tuple(whole.split(size, -1))
    parts = weight.split(size)
    biases = (None,) * 3 if bias is None else bias.split(size)
    if key is value:
        joined = None if bias is None else bias[size:]
        return linear(query, parts[0], biases[0]), *linear(key, weight[size:], joined).chunk(2, -1)
    inputs = (query, key, value)
    return tuple(linear(x, w, b) for x, w, b in zip(inputs, parts, biases, strict=True))


def _project_apart(
    inputs: tuple[Tensor, ...], weights: tuple[Tensor | None, ...], bias: Tensor | None
) -> tuple[Tensor, ...]:
    """Projections by weights of their own."""
    size = inputs[0].size(-1)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    made = []
    names = ("query", "key", "value")
    for name, x, weight, part in zip(names, inputs, weights, biases, strict=True):
        if weight is None:
            raise AssertionError(
                f"use_separate_proj_weight is True but {name[0]}_proj_weight is None"
            )
        if tuple(weight.shape) != (size, x.size(-1)):
            raise AssertionError(
                f"expecting {name} weights shape of {(size, x.size(-1))}, but got {weight.shape}"
            )
        made.append(linear(x, weight, part))
    return tuple(made)


def _check_mask(mask: Tensor, heads: int, wanted: tuple[int, int]) -> Tensor:
    """The mask with a dim of heads in front.

    Raises:
        RuntimeError: another shape.
    """
    expected = wanted if mask.dim() == 2 else (heads, *wanted)
    if tuple(mask.shape) != expected:
        raise RuntimeError(
            f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {expected}."
        )
    return mask.unsqueeze(0) if mask.dim() == 2 else mask


def _static(
    name: str, given: Tensor | None, x: Tensor, batch: int, split: tuple[int, int]
) -> Tensor:
    """(batch, heads, S, size) from what was projected, or what was given instead of it; ``split``:
    (heads, size)."""
    if given is None:
        return x.unflatten(-1, split).permute(1, 2, 0, 3)
    for dim, wanted in ((0, batch * split[0]), (2, split[1])):
        if given.size(dim) != wanted:
            raise AssertionError(
                f"expecting {name}.size({dim}) of {wanted}, but got {given.size(dim)}"
            )
    return given.unflatten(0, (batch, split[0]))


def _padded(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else pad(mask, (0, 1))


def _with_bias(
    k: Tensor, v: Tensor, bias_k: Tensor | None, bias_v: Tensor | None, is_static: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Keys and values with the learned one at the end."""
    if bias_k is None or bias_v is None:
        there, lacking = ("bias_v", "bias_k") if bias_k is None else ("bias_k", "bias_v")
        raise AssertionError(f"{there} is set but {lacking} is None")
    for name, given in zip(("key", "value"), is_static, strict=True):
        if given:
            raise AssertionError(f"bias cannot be added to static {name}.")
    batch = k.shape[1]
    k = dovetail.cat([k, bias_k.repeat(1, batch, 1)])
    return k, dovetail.cat([v, bias_v.repeat(1, batch, 1)])


def _check_key_padding(mask: Tensor, length: int, batch: int) -> None:
    for dim, wanted in enumerate((batch, length)):
        if mask.shape[dim] != wanted:
            raise AssertionError(
                f"Expected key_padded_mask.shape[{dim}] to be {wanted}, but got {mask.shape[dim]}"
            )


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of several heads over projected inputs, projected back.

    Args:
        query: (L, N, E) or (L, E).
        key: (S, N, K) or (S, K).
        value: (S, N, V) or (S, V).
        embed_dim_to_check: E.
        num_heads: each sees E / num_heads of the projections.
        in_proj_weight: (3 E, E): the projections of all three, one below the other.
        in_proj_bias: (3 E), or None.
        bias_k: (1, 1, E): a learned key at the end; with ``bias_v``.
        bias_v: (1, 1, E): its value.
        add_zero_attn: a key and value of zeros at the end.
        dropout_p: the chance that a weight is dropped, in training.
        out_proj_weight: (E, E).
        out_proj_bias: (E), or None.
        training: drop weights.
        key_padding_mask: (N, S) or (S): True (or what is added) where a key does not count.
        need_weights: give the weights too.
        attn_mask: (L, S) or (N x heads, L, S): True where a query does not see a key, or what is
            added to the scores.
        use_separate_proj_weight: use the three weights below instead of ``in_proj_weight``.
        q_proj_weight: (E, E).
        k_proj_weight: (E, K).
        v_proj_weight: (E, V).
        static_k: (N x heads, S, E / heads) instead of projected keys.
        static_v: the same instead of values.
        average_attn_weights: give the mean of the weights over the heads.
        is_causal: a hint that ``attn_mask`` is causal; without weights it is not read.

    Returns:
        (L, N, E), and weights (N, L, S), or (N, heads, L, S) each, or None.

    Raises:
        AssertionError: shapes that do not fit together.
        RuntimeError: a mask of another shape, or ``is_causal`` without a mask.
    """
    is_batched = _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not is_batched:
        rows: dict[int, Tensor] = {id(x): x.unsqueeze(1) for x in (query, key, value)}
        query, key, value = rows[id(query)], rows[id(key)], rows[id(value)]
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, size = query.shape
    heads = batch * num_heads
    padding = canonical_mask(
        key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask"
    )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and padding is None and not need_weights:
        mask = None
    else:
        mask = canonical_mask(attn_mask, "attn_mask", query.dtype)
        is_causal = False
    if size != embed_dim_to_check:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {size}"
        )
    each = size // num_heads
    if each * num_heads != size:
        raise AssertionError(f"embed_dim {size} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {key.shape[:2]} do not match value's "
                f"{value.shape[:2]}"
            )
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _project_apart((query, key, value), weights, in_proj_bias)
    else:
        if key.shape != value.shape:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        if in_proj_weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _project_packed(query, key, value, in_proj_weight, in_proj_bias)

    if mask is not None:
        mask = _check_mask(mask, heads, (length, key.shape[0]))
    if bias_k is not None or bias_v is not None:
        k, v = _with_bias(k, v, bias_k, bias_v, (static_k is not None, static_v is not None))
        mask, padding = _padded(mask), _padded(padding)
    split = (num_heads, each)
    q = q.unflatten(-1, split).permute(1, 2, 0, 3)
    k = _static("static_k", static_k, k, batch, split)
    v = _static("static_v", static_v, v, batch, split)
    if add_zero_attn:
        k, v = (dovetail.cat([x, x.new_zeros((batch, num_heads, 1, each))], 2) for x in (k, v))
        mask, padding = _padded(mask), _padded(padding)
    seen = k.size(2)
    if mask is not None:
        lead = (1, 1) if mask.shape[0] == 1 else (batch, num_heads)
        mask = mask.reshape(*lead, *mask.shape[1:])
    if padding is not None:
        _check_key_padding(padding, seen, batch)
        padding = padding.reshape(batch, 1, 1, seen)
        mask = padding if mask is None else mask + padding

    dropped = dropout_p if training else 0.0
    attention = None
    if need_weights:
        scores = (q * math.sqrt(1.0 / each)).matmul(k.transpose(-2, -1))
        attention = (scores if mask is None else scores + mask).softmax(-1)
        if dropped > 0.0:
            attention = dropout(attention, dropped)
        out = attention.matmul(v)
    else:
        out = scaled_dot_product_attention(q, k, v, mask, dropped, is_causal)
    out = linear(
        out.permute(2, 0, 1, 3).reshape(length, batch, size), out_proj_weight, out_proj_bias
    )
    if attention is not None and average_attn_weights:
        attention = attention.mean(1)
    if is_batched:
        return out, attention
    return out.squeeze(1), None if attention is None else attention.squeeze(0)
