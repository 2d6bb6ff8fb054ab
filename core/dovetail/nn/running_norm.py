"""Batch and instance normalisation: layers that may keep running statistics as buffers.

Ioffe and Szegedy 2015 (batch), Ulyanov et al. 2016 (instance). Meanings follow PyTorch's pages of
the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn import functional as F
from dovetail.nn.norm import Affine
from dovetail.nn.reading import affine_of, reader
from dovetail.ops.layers.batch_norm_step import batch_norm_step
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
]


_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_buffers_of = reader(*_BUFFERS, table="_buffers")


def _state_of(module: _RunningNorm) -> tuple[Any, ...]:
    """Weight, bias and the buffers, as :func:`reader` reads them, in one go."""
    tables = module.__dict__
    try:
        affine, kept = tables["_parameters"], tables["_buffers"]
        return (
            affine["weight"], affine["bias"], kept["running_mean"], kept["running_var"],
            kept["num_batches_tracked"],
        )  # fmt: skip
    except KeyError:
        return (*affine_of(module), *_buffers_of(module))


class _RunningNorm(Affine):
    """Layers per channel that may keep running means and variances as buffers."""

    _version = 2  # 2: num_batches_tracked

    _input_dims: tuple[int, ...]  # the numbers of dims that an input may have

    def _set_up(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._set_affine(num_features, affine, bias, device, dtype)
        made: tuple[Tensor | None, ...] = (None, None, None)
        if track_running_stats:
            made = (
                dovetail.zeros(num_features, device=device, dtype=dtype),
                dovetail.ones(num_features, device=device, dtype=dtype),
                dovetail.zeros((), device=device, dtype=dovetail.int64),
            )
        for name, buffer in zip(_BUFFERS, made, strict=True):
            self.register_buffer(name, buffer)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget every batch seen so far."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forget every batch; set the scale to ones and the shift to zeros."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self._input_dims:
            wanted = " or ".join(f"{n}D" for n in self._input_dims)
            raise ValueError(f"expected {wanted} input (got {input.dim()}D input)")

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        *lists: Any,
    ) -> None:
        version = local_metadata.get("version")
        key = f"{prefix}num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            # Older state dicts, and those without metadata, have no counter.
            counter = self.num_batches_tracked
            state_dict[key] = (
                dovetail.zeros((), dtype=dovetail.int64) if counter.is_meta else counter
            )
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *lists)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm):
    """Normalises each channel over the batch and the spatial dims.

    In training the batch's own mean and (biased) variance are used, and running ones are kept; in
    evaluation the running ones are used.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: weight of a batch in the running values; None: the plain mean of all batches.
        affine: learn a scale and a shift per channel.
        track_running_stats: keep ``running_mean`` and ``running_var`` (buffers); without them the
            batch's own values are used in evaluation too.
        device: where the parameters are.
        dtype: their dtype.
        bias: whether there is a shift, given ``affine``.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._set_up(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """The input's shape; see the class for the statistics used."""
        self._check_input_dim(input)
        momentum, training = self.momentum, self.training
        factor = 0.0 if momentum is None else momentum
        weight, bias, mean, var, tracked = _state_of(self)
        updates = training and self.track_running_stats
        if updates and tracked is not None:
            if momentum is not None and mean is not None and var is not None:
                made = batch_norm_step(input, weight, bias, mean, var, tracked, factor, self.eps)
                if made is not None:
                    return made
            tracked.add_(1)
            if momentum is None:
                factor = 1.0 / float(tracked)
        passes_stats = updates or not training
        return F.batch_norm(
            input,
            mean if passes_stats else None,
            var if passes_stats else None,
            weight,
            bias,
            training or (mean is None and var is None),
            factor,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = f"{_BatchNorm.__doc__}\n    The input is (N, C) or (N, C, L).\n    "
    _input_dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"{_BatchNorm.__doc__}\n    The input is (N, C, H, W).\n    "
    _input_dims = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = f"{_BatchNorm.__doc__}\n    The input is (N, C, D, H, W).\n    "
    _input_dims = (5,)


class _InstanceNorm(_RunningNorm):
    """Normalises each channel of each sample over its spatial dims.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: weight of a batch in the running values.
        affine: learn a scale and a shift per channel.
        track_running_stats: keep running values and use them in evaluation.
        device: where the parameters are.
        dtype: their dtype.
        bias: whether there is a shift, given ``affine``.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._set_up(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """The input's shape; a sample without the batch dim is taken too."""
        shape = input.shape
        ndim, single = len(shape), self._input_dims[0]
        if ndim not in self._input_dims:
            self._check_input_dim(input)
        channel_dim = ndim - single
        if shape[channel_dim] != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={channel_dim} to match num_features "
                    f"({self.num_features}), but got: {input.shape[channel_dim]}."
                )
            warn(
                f"input's size at dim={channel_dim} does not match num_features. You can silence "
                "this warning by not passing in num_features, which is not used because "
                "affine=False",
            )
        if ndim == single:
            return self._normalised(input.unsqueeze(0)).squeeze(0)
        return self._normalised(input)

    def _normalised(self, input: Tensor) -> Tensor:
        weight, bias, mean, var, _ = _state_of(self)
        return F.instance_norm(
            input,
            mean,
            var,
            weight,
            bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )


class InstanceNorm1d(_InstanceNorm):
    __doc__ = f"{_InstanceNorm.__doc__}\n    The input is (N, C, L) or (C, L).\n    "
    _input_dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    __doc__ = f"{_InstanceNorm.__doc__}\n    The input is (N, C, H, W) or (C, H, W).\n    "
    _input_dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    __doc__ = f"{_InstanceNorm.__doc__}\n    The input is (N, C, D, H, W) or (C, D, H, W).\n    "
    _input_dims = (4, 5)
