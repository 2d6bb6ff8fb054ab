"""One layer of a transformer: attention and a hidden layer, each with its norm and its detour.

Meanings follow PyTorch's pages ``TransformerEncoderLayer`` and ``TransformerDecoderLayer``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail.nn import functional as F
from dovetail.nn.activation import GELU, ReLU
from dovetail.nn.attention import MultiheadAttention
from dovetail.nn.dropout import Dropout
from dovetail.nn.functional.attention import canonical_mask
from dovetail.nn.linear import Linear
from dovetail.nn.module import Module
from dovetail.nn.norm import LayerNorm
from dovetail.nn.rectified import linear_then

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["TransformerDecoderLayer", "TransformerEncoderLayer"]

Activation = Callable[["Tensor"], "Tensor"]


def _activation(given: str | Activation) -> Activation:
    """The function of this name, or what was given.

    Raises:
        RuntimeError: another name.
    """
    if not isinstance(given, str):
        return given
    if given not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {given}")
    return F.relu if given == "relu" else F.gelu


def _attended(
    attention: Module, x: Tensor, memory: Tensor, mask: Any, padding: Any, causal: bool
) -> Any:
    return attention(
        x,
        memory,
        memory,
        attn_mask=mask,
        key_padding_mask=padding,
        need_weights=False,
        is_causal=causal,
    )[0]


class TransformerEncoderLayer(Module):
    """Self-attention and a hidden layer.

    Args:
        d_model: size E of each place.
        nhead: heads of the attention.
        dim_feedforward: size of the hidden layer.
        dropout: the chance to drop an element, in training.
        activation: of the hidden layer: ``"relu"``, ``"gelu"`` or a function.
        layer_norm_eps: of both layer norms.
        batch_first: sequences are (N, L, E) instead of (L, N, E).
        norm_first: layer norms come before attention and hidden layer, not after.
        bias: whether there are biases.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **place
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **place)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        function = _activation(activation)
        self.activation_relu_or_gelu = (
            1
            if function is F.relu or isinstance(function, ReLU)
            else 2
            if function is F.gelu or isinstance(function, GELU)
            else 0
        )
        self.activation = function

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """A sequence -> one of the same shape.

        Args:
            src: (L, N, E), (N, L, E) with ``batch_first``, or (L, E).
            src_mask: (L, L) or (N x heads, L, L), True or minus infinity where nothing is seen.
            src_key_padding_mask: (N, L) or (L), the same for keys.
            is_causal: a hint that ``src_mask`` is causal.
        """
        padding = canonical_mask(
            src_key_padding_mask, "src_key_padding_mask", src.dtype, src_mask, "src_mask"
        )
        mask = canonical_mask(src_mask, "src_mask", src.dtype)
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), mask, padding, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, mask, padding, is_causal))
        return self.norm2(x + self._ff_block(x))  # type: ignore[no-any-return]

    def _sa_block(
        self,
        x: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Any:
        return self.dropout1(
            _attended(self.self_attn, x, x, attn_mask, key_padding_mask, is_causal)
        )

    def _ff_block(self, x: Tensor) -> Any:
        return self.dropout2(
            self.linear2(self.dropout(linear_then(self.linear1, self.activation, x)))
        )


class TransformerDecoderLayer(Module):
    """Self-attention, attention to what the encoder gave, and a hidden layer.

    Args:
        d_model: size E of each place.
        nhead: heads of the attentions.
        dim_feedforward: size of the hidden layer.
        dropout: the chance to drop an element, in training.
        activation: of the hidden layer: ``"relu"``, ``"gelu"`` or a function.
        layer_norm_eps: of the layer norms.
        batch_first: sequences are (N, L, E) instead of (L, N, E).
        norm_first: layer norms come before attentions and hidden layer, not after.
        bias: whether there are biases.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        heads: dict[str, Any] = {"dropout": dropout, "bias": bias, "batch_first": batch_first}
        self.self_attn = MultiheadAttention(d_model, nhead, **heads, **place)
        self.multihead_attn = MultiheadAttention(d_model, nhead, **heads, **place)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **place)
        self.norm3 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **place)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """A sequence -> one of the same shape.

        Args:
            tgt: (T, N, E), (N, T, E) with ``batch_first``, or (T, E).
            memory: what the encoder gave, (S, N, E) likewise.
            tgt_mask: (T, T) or (N x heads, T, T).
            memory_mask: (T, S) or (N x heads, T, S).
            tgt_key_padding_mask: (N, T) or (T).
            memory_key_padding_mask: (N, S) or (S).
            tgt_is_causal: a hint that ``tgt_mask`` is causal.
            memory_is_causal: the same of ``memory_mask``.
        """
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        others = (memory_mask, memory_key_padding_mask, memory_is_causal)
        x = tgt
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), *own)
            x = x + self._mha_block(self.norm2(x), memory, *others)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, *own))
        x = self.norm2(x + self._mha_block(x, memory, *others))
        return self.norm3(x + self._ff_block(x))  # type: ignore[no-any-return]

    def _sa_block(
        self,
        x: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Any:
        return self.dropout1(
            _attended(self.self_attn, x, x, attn_mask, key_padding_mask, is_causal)
        )

    def _mha_block(
        self,
        x: Tensor,
        mem: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Any:
        return self.dropout2(
            _attended(self.multihead_attn, x, mem, attn_mask, key_padding_mask, is_causal)
        )

    def _ff_block(self, x: Tensor) -> Any:
        return self.dropout3(
            self.linear2(self.dropout(linear_then(self.linear1, self.activation, x)))
        )
