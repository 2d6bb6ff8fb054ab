"""Transformers: encoder, decoder, their layers, and both together.

Meanings follow PyTorch's pages of these names. Shapes: sequences (L, N, E), (N, L, E) with
``batch_first``, or (L, E).

Source: Vaswani et al., "Attention is all you need", 2017.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn import functional as F
from dovetail.nn import init
from dovetail.nn.containers import ModuleList
from dovetail.nn.functional.attention import canonical_mask
from dovetail.nn.module import Module
from dovetail.nn.norm import LayerNorm
from dovetail.nn.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["Transformer", "TransformerDecoder", "TransformerEncoder"]


def _subsequent(size: int, device: Any = None, dtype: Any = None) -> Tensor:
    whole = dovetail.full((size, size), -math.inf, dtype=dtype, device=device)
    return whole.triu(1)


def _is_causal(mask: Tensor | None, is_causal: bool | None, length: int) -> bool:
    """Whether attention is causal, found by looking at the mask where it is not said."""
    if is_causal is not None or mask is None:
        return is_causal is True
    if tuple(mask.shape) != (length, length):
        return False
    causal = _subsequent(length, mask.device, mask.dtype)
    return bool((mask == causal).all())


def _length(x: Tensor, batch_first: bool) -> int:
    return int(x.shape[1 if x.dim() == 3 and batch_first else 0])


def _clones(layer: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


def _why_no_nesting(layer: Module) -> str:
    """Why a stack of this layer gives padding a value of its own; empty where it gives zeros."""
    label = "encoder_layer"
    if not isinstance(layer, TransformerEncoderLayer):
        return f"{label} was not TransformerEncoderLayer"
    attention = layer.self_attn
    reasons = {
        f"{label}.norm_first was True": layer.norm_first,
        f"{label}.self_attn.batch_first was not True"
        "(use batch_first for better inference performance)": not attention.batch_first,
        f"{label}.self_attn._qkv_same_embed_dim was not True": not attention._qkv_same_embed_dim,
        f"{label}.self_attn was passed bias=False": attention.in_proj_bias is None,
        f"{label}.activation_relu_or_gelu was not True": not layer.activation_relu_or_gelu,
        f"{label}.norm1.eps was not equal to {label}.norm2.eps": (
            layer.norm1.eps != layer.norm2.eps
        ),
        f"{label}.self_attn.num_heads is odd": attention.num_heads % 2 == 1,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


class TransformerEncoder(Module):
    """A stack of encoder layers.

    Args:
        encoder_layer: copied ``num_layers`` times.
        num_layers: how many.
        norm: applied at the end, if given.
        enable_nested_tensor: where no gradient is wanted, in evaluation, and keys are only masked
            at the end of sequences, what comes out for masked places is zeros (before ``norm``).
        mask_check: look whether masked keys are at the end; else take it for granted.
    """

    def __init__(
        self,
        encoder_layer: TransformerEncoderLayer,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _clones(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.use_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check
        reason = _why_no_nesting(encoder_layer)
        if enable_nested_tensor and reason:
            warn(
                "enable_nested_tensor is True, but self.use_nested_tensor is False because "
                f"{reason}",
            )
            self.use_nested_tensor = False

    def _drops_padding(self, src: Tensor, mask: Any, padding: Tensor | None) -> bool:
        """Whether masked places come out as zeros."""
        if padding is None or mask is not None or not self.use_nested_tensor:
            return False
        first: Any = self.layers[0]
        if first.training or src.dim() != 3:
            return False
        if dovetail.is_grad_enabled() and (
            src.requires_grad or any(p.requires_grad for p in first.parameters())
        ):
            return False
        if not self.mask_check:
            return True
        kept = (padding == 0).to(dovetail.int8)
        return bool((kept[:, 1:] <= kept[:, :-1]).all())

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Run all layers.

        Args:
            src: (L, N, E), (N, L, E) with ``batch_first``, or (L, E).
            mask: (L, L) or (N x heads, L, L), True or minus infinity where nothing is seen.
            src_key_padding_mask: (N, L) or (L), the same for keys.
            is_causal: a hint that ``mask`` is causal; None: look.
        """
        padding = canonical_mask(
            src_key_padding_mask, "src_key_padding_mask", src.dtype, mask, "mask"
        )
        mask = canonical_mask(mask, "mask", src.dtype)
        first: Any = self.layers[0]
        causal = _is_causal(mask, is_causal, _length(src, first.self_attn.batch_first))
        output = src
        for layer in self.layers:
            output = layer(output, src_mask=mask, is_causal=causal, src_key_padding_mask=padding)
        if padding is not None and self._drops_padding(src, mask, padding):
            output = output.masked_fill((padding != 0).unsqueeze(-1), 0.0)
        return output if self.norm is None else self.norm(output)


class TransformerDecoder(Module):
    """A stack of decoder layers.

    Args:
        decoder_layer: copied ``num_layers`` times.
        num_layers: how many.
        norm: applied at the end, if given.
    """

    def __init__(
        self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None
    ) -> None:
        super().__init__()
        self.layers = _clones(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Run all layers.

        Args:
            tgt: (T, N, E), (N, T, E) with ``batch_first``, or (T, E).
            memory: what the encoder gave, (S, N, E) likewise.
            tgt_mask: (T, T) or (N x heads, T, T).
            memory_mask: (T, S) or (N x heads, T, S).
            tgt_key_padding_mask: (N, T) or (T).
            memory_key_padding_mask: (N, S) or (S).
            tgt_is_causal: a hint that ``tgt_mask`` is causal; None: look.
            memory_is_causal: the same of ``memory_mask``.
        """
        first: Any = self.layers[0]
        causal = _is_causal(tgt_mask, tgt_is_causal, _length(tgt, first.self_attn.batch_first))
        output = tgt
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return output if self.norm is None else self.norm(output)


class Transformer(Module):
    """An encoder and a decoder.

    Args:
        d_model: size E of each place.
        nhead: heads of each attention.
        num_encoder_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder.
        dim_feedforward: size of the hidden layer behind each attention.
        dropout: the chance to drop an element, in training.
        activation: of the hidden layer: ``"relu"``, ``"gelu"`` or a function.
        custom_encoder: a module in the encoder's place.
        custom_decoder: a module in the decoder's place.
        layer_norm_eps: of all layer norms.
        batch_first: sequences are (N, L, E) instead of (L, N, E).
        norm_first: layer norms come before attention and hidden layer, not after.
        bias: whether there are biases.
        device: where the parameters are.
        dtype: their dtype.

    >>> import dovetail as dt
    >>> model = dt.nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
    >>> model(dt.ones(3, 5, 16), dt.ones(3, 4, 16)).shape
    torch.Size([3, 4, 16])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        options = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias,
        )  # fmt: skip

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **place)

        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            encoder_layer = TransformerEncoderLayer(*options, **place)
            self.encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm())
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            decoder_layer = TransformerDecoderLayer(*options, **place)
            self.decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm())
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Encode ``src``, and decode ``tgt`` with it.

        Args:
            src: (S, N, E), (N, S, E) with ``batch_first``, or (S, E).
            tgt: (T, N, E) likewise.
            src_mask: (S, S) or (N x heads, S, S).
            tgt_mask: (T, T) or (N x heads, T, T).
            memory_mask: (T, S) or (N x heads, T, S).
            src_key_padding_mask: (N, S) or (S).
            tgt_key_padding_mask: (N, T) or (T).
            memory_key_padding_mask: (N, S) or (S).
            src_is_causal: a hint that ``src_mask`` is causal; None: look.
            tgt_is_causal: the same of ``tgt_mask``.
            memory_is_causal: the same of ``memory_mask``.

        Raises:
            RuntimeError: batches that differ, or sizes that are not E.
        """
        batch = 0 if self.batch_first else 1
        if src.dim() == 3 and src.size(batch) != tgt.size(batch):
            raise RuntimeError("the batch number of src and tgt must be equal")
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(
            src,
            mask=src_mask,
            src_key_padding_mask=src_key_padding_mask,
            is_causal=src_is_causal,
        )
        return self.decoder(  # type: ignore[no-any-return]
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """(sz, sz): minus infinity above the diagonal, 0 elsewhere."""
        return _subsequent(sz, device, dtype)

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)
