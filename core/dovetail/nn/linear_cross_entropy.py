"""Cross-entropy of a linear map, whole or chunk by chunk (PyTorch's ``LinearCrossEntropyLoss``)."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

import dovetail
from dovetail.nn import functional as F
from dovetail.nn.linear import Linear
from dovetail.nn.loss import WeightedLoss

if TYPE_CHECKING:
    from dovetail.nn.functional.arguments import Reduction
    from dovetail.tensor import Tensor

__all__ = ["LinearCrossEntropyLoss", "LinearCrossEntropyOptions"]

_AUTO = "aspect_ratio:2"


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How ``linear_cross_entropy`` goes through its rows in chunks.

    The logits of a chunk are computed again for the gradient, so those of all rows are never in
    memory at once.

    Attributes:
        allow_retain_graph: taken as PyTorch's argument; going backward again is always allowed.
        batch_chunk_size: rows of a chunk; None: as ``chunking_method`` says, or all.
        chunking_method: ``"auto"``, ``"aspect_ratio"`` (a chunk's logits are as large as the whole
            input), ``"aspect_ratio:N"`` (an Nth of that) or None.
        acc_policy: ``"auto"``, ``"accurate"``, ``"balanced"`` or ``"compact"``; halves are always
            summed in float32 here.
        acc_dtype: the dtype that logits are computed in; None: float32 for halves, else the
            input's.

    Raises:
        ValueError: other values.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: Literal["accurate", "balanced", "compact", "auto"] = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method is not None and self.chunking_method != "auto":
            name, colon, factor = self.chunking_method.partition(":")
            factor = factor if colon else "1"
            if not (name == "aspect_ratio" and factor.isdigit() and int(factor) > 0):
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        size = self.batch_chunk_size
        if not (size is None or (isinstance(size, int) and size > 0)):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        kinds = (dovetail.float16, dovetail.bfloat16, dovetail.float32, dovetail.float64)
        if self.acc_dtype is not None and self.acc_dtype not in kinds:
            raise ValueError(
                "acc_dtype must be one of {None, torch.float16, torch.bfloat16, torch.float32, "
                f"torch.float64}}, got {self.acc_dtype!r}. Pass acc_dtype=None to let the op pick "
                "automatically."
            )

    def rows(self, batch: int, in_features: int, classes: int) -> int:
        """Rows of a chunk.

        Raises:
            ValueError: a size and a method that disagree.
        """
        size = self.batch_chunk_size
        method = self.chunking_method
        if method == "auto":
            method = None if size is not None else _AUTO
        if method is None:
            return max(batch if size is None else min(size, batch), 1)
        factor = int(method.partition(":")[2] or 1)
        target = math.ceil(batch / math.ceil(classes / in_features))
        found = min((1 << max(target - 1, 0).bit_length()) // factor, batch)
        if size is not None and min(size, batch) != found:
            raise ValueError(
                f"batch_chunk_size (={size}) and chunking_method ('{method}') give different "
                f"chunk sizes ({size} vs {found}); pass only one."
            )
        return max(found, 1)


class LinearCrossEntropyLoss(WeightedLoss):
    """Cross-entropy of classes whose logits are a linear map of the input.

    Args:
        in_features: size of each input.
        num_classes: classes C.
        out_features: further dims of the loss.
        bias: whether the map has a bias.
        device: where the parameters are.
        dtype: their dtype.
        reduction: mean, sum or none.
        weight: (C) factors of the classes.
        ignore_index: targets of this value count for nothing; None: -100.
        label_smoothing: how much of the target is spread over all classes.
        options: go through the rows in chunks.

    ``linear.weight`` is (C x prod(out_features), in_features).
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: Reduction = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ) -> None:
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(
                f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}"
            )
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(
                f"expected label_smoothing to be in range [0, 1], got {label_smoothing}"
            )
        super().__init__(weight, None, None, reduction)
        self.num_classes = num_classes
        self.out_features = out_features
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        rows = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, rows, bias=bias, device=device, dtype=dtype)
        self.options = options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, in_features) and (N, *out_features), or probabilities -> a scalar, or the losses."""
        shape = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return F.linear_cross_entropy(
            input,
            self.linear.weight.reshape(*shape, self.linear.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )
