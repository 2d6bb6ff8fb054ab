"""Tables of quantized rows: each row has a scale and a zero point of its own, in floats."""

from __future__ import annotations

from typing import Any

import dovetail
import dovetail.dtypes as d
from dovetail.ao.nn.quantized.base import quantize_weight
from dovetail.nn import functional as F
from dovetail.nn.embedding_bag import EmbeddingBag as FloatEmbeddingBag
from dovetail.nn.linear import Embedding as FloatEmbedding
from dovetail.nn.module import Module
from dovetail.quantized.make import _empty_per_channel_affine_quantized
from dovetail.tensor import Tensor

__all__ = ["Embedding", "EmbeddingBag", "EmbeddingPackedParams"]


class EmbeddingPackedParams(Module):
    """The table of a quantized embedding.

    Args:
        num_embeddings, embedding_dim: its sizes.
        dtype: ``quint8``.
    """

    _version = 1

    def __init__(self, num_embeddings: int, embedding_dim: int, dtype: Any = d.quint8) -> None:
        super().__init__()
        if dtype is not d.quint8:
            raise NotImplementedError(
                f"Unsupported dtype on quantized embedding! Supports quint8. Got dtype: {dtype!r}"
            )
        self.dtype = dtype
        self.register_buffer("_packed_weight", None, persistent=False)
        ones, zeros = dovetail.ones(num_embeddings), dovetail.zeros(num_embeddings)
        shape = (num_embeddings, embedding_dim)
        self.set_weight(
            _empty_per_channel_affine_quantized(
                shape, scales=ones, zero_points=zeros, axis=0, dtype=dtype
            )
        )

    def set_weight(self, weight: Any) -> None:
        """Give it a table, quantized per row."""
        self._packed_weight = weight

    def _weight(self) -> Any:
        return self._packed_weight

    def rows(self, indices: Tensor) -> Tensor:
        """The rows of indices, in float32."""
        weight = self._packed_weight
        scales, zero_points, _ = weight._quantizer.arguments(weight.device)
        index = indices.reshape(-1).to(d.int64)
        whole = weight._ints.index_select(0, index).to(d.float32)
        scale, zero_point = scales[index].unsqueeze(1), zero_points[index].unsqueeze(1)
        made = (whole - zero_point) * scale
        return made.reshape(*indices.shape, -1)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "dtype"] = self.dtype
        destination[prefix + "_packed_weight"] = self._weight()

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: list[str],
        unexpected: list[str], errors: list[str],
    ) -> None:  # fmt: skip
        self.dtype = state_dict.pop(prefix + "dtype", d.quint8)
        weight = state_dict.pop(prefix + "_packed_weight", None)
        have = self._packed_weight
        if weight is None:
            missing.append(prefix + "_packed_weight")
        elif weight.shape != have.shape:
            errors.append(
                f"size mismatch for {prefix}_packed_weight: copying a param with shape "
                f"{weight.shape} from checkpoint, the shape in current model is {have.shape}."
            )
        else:
            self.set_weight(weight.to(have.device))
        super()._load_from_state_dict(
            state_dict, prefix, metadata, False, missing, unexpected, errors
        )

    def __repr__(self) -> str:
        return repr(self._weight())


class Embedding(Module):
    """A table of vectors in quint8: indices (*) -> (*, embedding_dim) float32.

    Args:
        num_embeddings, embedding_dim: sizes of the table.
        padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse: of training; ignored.
        _weight: the quantized table.
        dtype: ``quint8``.
    """

    _version = 1
    _FLOAT_MODULE: Any = FloatEmbedding

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        dtype: Any = d.quint8,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.dtype = dtype
        self._packed_params = EmbeddingPackedParams(num_embeddings, embedding_dim, dtype)
        if _weight is not None:
            if tuple(_weight.shape) != (num_embeddings, embedding_dim):
                raise AssertionError(
                    "Shape of weight does not match num_embeddings and embedding_dim: expected "
                    f"{[num_embeddings, embedding_dim]}, got {list(_weight.shape)}"
                )
            self.set_weight(_weight)

    def forward(self, indices: Tensor) -> Tensor:
        """(*) integers -> (*, embedding_dim)."""
        return self._packed_params.rows(indices)

    def _get_name(self) -> str:
        return "QuantizedEmbedding"

    def extra_repr(self) -> str:
        return (
            f"num_embeddings={self.num_embeddings}, embedding_dim={self.embedding_dim}, "
            f"dtype={self._packed_params.dtype}, qscheme={self.weight().qscheme()}"
        )

    def __repr__(self) -> str:
        return f"{self._get_name()}({self.extra_repr()})"

    def set_weight(self, w: Any) -> None:
        """Give it a table, quantized per row."""
        self._packed_params.set_weight(w)

    def weight(self) -> Any:
        """The quantized table."""
        return self._packed_params._weight()

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of a float module with a qconfig whose weights have float zero points.

        Raises:
            AssertionError: another module, or another dtype.
        """
        observer = _table_observer(cls, mod)
        made = cls(mod.num_embeddings, mod.embedding_dim)
        made.set_weight(quantize_weight(mod.weight, observer))
        return made


class EmbeddingBag(Embedding):
    """Sums (or means) of vectors of a quint8 table.

    Args:
        num_embeddings, embedding_dim, mode, include_last_offset: as of the float layer.
        max_norm, norm_type, scale_grad_by_freq, sparse: of training; ignored.
        _weight: the quantized table.
        dtype: ``quint8``.
    """

    _FLOAT_MODULE: Any = FloatEmbeddingBag

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "sum",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        dtype: Any = d.quint8,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, _weight=_weight, dtype=dtype)
        self.mode = mode
        self.include_last_offset = include_last_offset

    def forward(
        self, indices: Tensor, offsets: Tensor | None = None, per_sample_weights: Any = None
    ) -> Tensor:
        """Bags of indices -> (bags, embedding_dim)."""
        rows = self._packed_params.rows(indices.reshape(-1))
        places = dovetail.arange(rows.shape[0], device=rows.device).reshape(indices.shape)
        return F.embedding_bag(
            places, rows, offsets, mode=self.mode, per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
        )  # fmt: skip

    def _get_name(self) -> str:
        return "QuantizedEmbeddingBag"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of a float module with a qconfig whose weights have float zero points."""
        observer = _table_observer(cls, mod)
        made = cls(
            mod.num_embeddings, mod.embedding_dim, mode=mod.mode,
            include_last_offset=mod.include_last_offset,
        )  # fmt: skip
        made.set_weight(quantize_weight(mod.weight, observer))
        return made


def _table_observer(cls: Any, mod: Any) -> Any:
    """The table's observer after it has seen the table.

    Raises:
        AssertionError: another module, or another dtype.
    """
    if hasattr(mod, "weight_fake_quant"):
        observer = mod.weight_fake_quant
    else:
        if type(mod) is not cls._FLOAT_MODULE:
            raise AssertionError(
                f"nnq.{cls.__name__}.from_float only works for {cls._FLOAT_MODULE.__name__}"
            )
        if not hasattr(mod, "qconfig"):
            raise AssertionError("Embedding input float module must have qconfig defined")
        observer = mod.qconfig.weight()
    if observer.dtype is not d.quint8:
        raise AssertionError(
            f"The only supported dtype for nnq.{cls.__name__} is torch.quint8, got {observer.dtype}"
        )
    observer.to(mod.weight.device)
    observer(mod.weight)
    return observer
