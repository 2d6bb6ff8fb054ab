"""Bags of embeddings as a layer (PyTorch's page ``EmbeddingBag``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn import functional as F
from dovetail.nn import init
from dovetail.nn.module import Module
from dovetail.nn.parameter import Parameter

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["EmbeddingBag"]


class EmbeddingBag(Module):
    """Sums, means or largest elements of bags of embeddings: (B, N) -> (B, embedding_dim).

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of each vector.
        max_norm: rows that are used and longer than this are scaled down, in place.
        norm_type: the p of that norm.
        scale_grad_by_freq: divide a row's gradient by how often it was used.
        mode: ``sum``, ``mean`` or ``max``.
        sparse: not available; must be False.
        _weight: the table to start with.
        include_last_offset: offsets have one number more, where the last bag ends.
        padding_idx: a row that starts as zeros, counts for nothing and gets no gradient.
        device: where the table is.
        dtype: its dtype.

    >>> import dovetail as dt
    >>> bags = dt.nn.EmbeddingBag(10, 3, mode="sum")
    >>> bags(dt.tensor([1, 2, 4, 5]), dt.tensor([0, 3])).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError("padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        if _weight is None:
            table = dovetail.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
            self.weight = Parameter(table)
            self.reset_parameters()
        else:
            if list(_weight.shape) != [num_embeddings, embedding_dim]:
                raise AssertionError(
                    "Shape of weight does not match num_embeddings and embedding_dim"
                )
            self.weight = Parameter(_weight)
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset

    def reset_parameters(self) -> None:
        """Draw the table again from N(0, 1); the padding row is zeros."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with dovetail.no_grad():
                self.weight[self.padding_idx].fill_(0)

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """(B, N), or (N) with offsets (B) -> (B, embedding_dim)."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        defaults = (("max_norm", None), ("norm_type", 2), ("scale_grad_by_freq", False))
        for name, default in defaults:
            value = getattr(self, name)
            if value != default:
                parts.append(f"{name}={value!r}")
        parts.append(f"mode={self.mode!r}")
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx!r}")
        return ", ".join(parts)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """An ``EmbeddingBag`` of a table that exists: (num_embeddings, embedding_dim)."""
        if embeddings.dim() != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        rows, columns = embeddings.shape
        made = cls(
            rows,
            columns,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            _weight=embeddings,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )
        made.weight.requires_grad = not freeze
        return made
