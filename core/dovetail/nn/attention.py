"""Attention of several heads as a layer (PyTorch's page ``MultiheadAttention``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn import functional as F
from dovetail.nn import init
from dovetail.nn.attention_backends import SDPBackend, sdpa_kernel
from dovetail.nn.functional.attention import canonical_mask
from dovetail.nn.linear import Linear
from dovetail.nn.module import Module
from dovetail.nn.parameter import Parameter

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["MultiheadAttention", "NonDynamicallyQuantizableLinear", "SDPBackend", "sdpa_kernel"]


class NonDynamicallyQuantizableLinear(Linear):
    """The ``Linear`` that an attention ends with, under the name that PyTorch prints."""


class MultiheadAttention(Module):
    """Attention of several heads: softmax(q kᵀ / sqrt(E / heads)) v on projections of the inputs.

    Args:
        embed_dim: size E of the query and of the result; a multiple of ``num_heads``.
        num_heads: how many heads share it.
        dropout: the chance that a weight is dropped, in training.
        bias: whether projections have biases.
        add_bias_kv: a learned key and value at the end of the sequence.
        add_zero_attn: a key and value of zeros at the end.
        kdim: size of the keys; None: E.
        vdim: size of the values; None: E.
        batch_first: inputs are (N, L, E) instead of (L, N, E).
        device: where the parameters are.
        dtype: their dtype.

    Parameters: ``in_proj_weight`` (3 E, E), or ``q_proj_weight``, ``k_proj_weight`` and
    ``v_proj_weight`` where sizes differ, ``in_proj_bias`` (3 E), ``bias_k`` and ``bias_v``
    (1, 1, E), and those of ``out_proj``.

    Source: Vaswani et al., "Attention is all you need", 2017.

    >>> import dovetail as dt
    >>> x = dt.ones(5, 2, 8)
    >>> out, weights = dt.nn.MultiheadAttention(8, 2)(x, x, x)
    >>> out.shape, weights.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 5, 5]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "embed_dim and num_heads must be greater than 0, got "
                f"embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")

        def empty(*shape: int) -> Parameter:
            return Parameter(dovetail.empty(shape, device=device, dtype=dtype))

        apart = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim}
        apart["v_proj_weight"] = self.vdim
        if self._qkv_same_embed_dim:
            self.in_proj_weight = empty(3 * embed_dim, embed_dim)
            for name in apart:
                self.register_parameter(name, None)
        else:
            for name, size in apart.items():
                setattr(self, name, empty(embed_dim, size))
            self.register_parameter("in_proj_weight", None)
        if bias:
            self.in_proj_bias = empty(3 * embed_dim)
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias=bias, device=device, dtype=dtype
        )
        self.bias_k: Parameter | None = empty(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v: Parameter | None = empty(1, 1, embed_dim) if add_bias_kv else None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name, parameter in self.named_parameters(recurse=False):
            if name.endswith("proj_weight"):
                init.xavier_uniform_(parameter)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        for parameter in (self.bias_k, self.bias_v):
            if parameter is not None:
                init.xavier_normal_(parameter)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The weighted values, and the weights.

        Args:
            query: (L, N, E), (N, L, E) with ``batch_first``, or (L, E).
            key: (S, N, kdim) likewise.
            value: (S, N, vdim) likewise.
            key_padding_mask: (N, S) or (S): True (or what is added to the scores) where a key
                does not count.
            need_weights: give the weights too; without them attention is faster.
            attn_mask: (L, S) or (N x heads, L, S): True where a query does not see a key, or
                what is added to the scores.
            average_attn_weights: the mean of the weights over the heads.
            is_causal: a hint that ``attn_mask`` is causal.

        Returns:
            (L, N, E), and weights (N, L, S), or (N, heads, L, S), or None.
        """
        is_batched = query.dim() == 3
        padding = canonical_mask(
            key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask"
        )
        attn_mask = canonical_mask(attn_mask, "attn_mask", query.dtype)
        if self.batch_first and is_batched:
            # Inputs that are one tensor stay one, for they are projected together.
            turned = {id(x): x.transpose(1, 0) for x in (query, key, value)}
            query, key, value = turned[id(query)], turned[id(key)], turned[id(value)]
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=padding,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        if self.batch_first and is_batched:
            output = output.transpose(1, 0)
        return output, weights

    def merge_masks(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor
    ) -> tuple[Tensor | None, int | None]:
        """Both masks as one, and its kind: 1 of keys (N, S), 2 of all (N, heads, L, L), or None."""
        if attn_mask is None:
            return key_padding_mask, None if key_padding_mask is None else 1
        batch, length, _ = query.shape
        if attn_mask.dim() == 3:
            merged = attn_mask.view(batch, -1, length, length)
        else:
            merged = attn_mask.view(1, 1, length, length)
            merged = merged.expand(batch, self.num_heads, -1, -1)
        if key_padding_mask is not None:
            merged = merged + key_padding_mask.view(batch, 1, 1, length)
        return merged, 2
