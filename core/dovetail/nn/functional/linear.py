"""Affine maps, embeddings, one-hot vectors and distances (``torch.nn.functional``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dovetail
from dovetail import ops
from dovetail.autograd.mode import mode
from dovetail.dtypes import type_name
from dovetail.nn.functional.planned import finder
from dovetail.ops.calling import told
from dovetail.ops.layers.row_losses import is_one_record
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.tensor import check_dim

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "bilinear",
    "cosine_similarity",
    "embedding",
    "linear",
    "one_hot",
    "pairwise_distance",
    "pdist",
    "rectified_linear",
]


_find_rectified = finder("linear_relu")


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Aᵀ + b.

    Args:
        input: (*, in_features).
        weight: (out_features, in_features) or (in_features).
        bias: (out_features) or ().
    """
    return ops.linear(input, weight, bias)


def rectified_linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``linear`` and a ReLU behind it, as one operator; ``weight`` has two dims."""
    run = _find_rectified(input, weight, bias, ())
    if run is not None:
        return run(input, weight, bias)  # type: ignore[no-any-return]
    if not isinstance(input, dovetail.Tensor) or not input.dim():
        return ops.linear(input, weight, bias).relu()  # which refuses it
    return ops.linear_relu(input, weight, bias)  # type: ignore[no-any-return]


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x₁ᵀ A x₂ + b.

    Args:
        input1: (*, in1_features).
        input2: (*, in2_features).
        weight: (out_features, in1_features, in2_features).
        bias: (out_features).

    Raises:
        RuntimeError: shapes that do not fit.
    """
    return ops.bilinear(input1, input2, weight, bias)  # type: ignore[no-any-return]


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of a table, by index.

    Args:
        input: (*) of int64 or int32.
        weight: (num_embeddings, embedding_dim).
        padding_idx: a row that gets no gradient.
        max_norm: rows used that are longer are scaled down first, in place.
        norm_type: the p of that norm.
        scale_grad_by_freq: divide a row's gradient by how often it was used.
        sparse: must be False; there are no sparse gradients.

    Raises:
        RuntimeError: indices of another dtype, or a table that is not 2-D.
        AssertionError: ``padding_idx`` outside the table.
        NotImplementedError: ``sparse=True``.
    """
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    if max_norm is not None:
        _shorten_rows(weight, input, max_norm, norm_type)
    padding = -1 if padding_idx is None else padding_idx
    return ops.embedding(weight, input, padding, scale_grad_by_freq, sparse)  # type: ignore[no-any-return]


def _shorten_rows(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    with dovetail.no_grad():
        used = input.reshape(-1).long()
        rows = weight.index_select(0, used)
        norms = rows.norm(norm_type, 1, keepdim=True)
        scale = dovetail.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0)
        # A row used more than once is written more than once, with the same values.
        weight[used] = rows * scale.to(rows.dtype)


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """Classes as vectors that are 1 at the class: (*) -> (*, num_classes) of int64.

    Args:
        input: classes, int64.
        num_classes: one more than the largest class if -1.

    Raises:
        RuntimeError: another dtype, or classes outside the range.
    """
    return ops.one_hot(input, num_classes)  # type: ignore[no-any-return]


@told
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between two tensors along ``dim``; norms are at least ``eps``.

    Raises:
        TypeError: ``dim`` is not an integer.
        RuntimeError: the dtypes promote to whole or complex numbers.
    """
    if dim.__class__ is not int:
        dim = whole_number("cosine_similarity", "dim", dim)
    first, second = x1, x2
    if x1.dtype is not x2.dtype or x1.shape != x2.shape:
        common = dovetail.result_type(x1, x2)
        first, second = dovetail.broadcast_tensors(x1.to(common), x2.to(common))
    if first.dtype.category != 2:
        raise RuntimeError(
            "expected common dtype to be floating point, yet common dtype is "
            f"{type_name(first.dtype)}"
        )
    if first.dim():
        dim = check_dim(dim, first.dim())
        return ops.cosine_similarity(first, second, dim=dim, eps=float(eps))
    first_norm = first.norm(2, dim, keepdim=True).clamp(eps)
    second_norm = second.norm(2, dim, keepdim=True).clamp(eps)
    return ((first / first_norm) * (second / second_norm)).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dim."""
    if p == 2 and not keepdim and mode.autocast is None and is_one_record(x1, x2):
        return ops.pairwise_distance(x1, x2, eps=float(eps))
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of every two rows of ``input`` (N, M): (N (N - 1) / 2)."""
    return ops.pdist(input, p)  # type: ignore[no-any-return]
