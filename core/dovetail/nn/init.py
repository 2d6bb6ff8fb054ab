"""Filling tensors with start values, in place and without history (PyTorch's ``torch.nn.init``).

The formulas: Glorot and Bengio, AISTATS 2010 (xavier); He et al., ICCV 2015 (kaiming); Saxe et al.,
2013 (orthogonal); Martens, ICML 2010 (sparse).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import dovetail
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_LINEAR = ("linear", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)))
_GAINS = dict.fromkeys((*_LINEAR, "sigmoid"), 1.0) | {
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much to scale weights so that the given nonlinearity keeps the variance.

    Args:
        nonlinearity: linear, conv1d …, sigmoid, tanh, relu, leaky_relu or selu.
        param: the slope of ``leaky_relu`` (0.01 if None).

    Raises:
        ValueError: an unknown nonlinearity, or a slope that is no number.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with values uniform in [a, b)."""
    with dovetail.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with values of the normal distribution N(mean, std²)."""
    with dovetail.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Fill with values of N(mean, std²) that lie in [a, b], by drawing again those that do not."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
        )
    if tensor.is_meta or tensor.numel() == 0:
        return tensor

    def below(x: float) -> float:
        return (1.0 + math.erf((x - mean) / std / math.sqrt(2.0))) / 2.0

    with dovetail.no_grad():
        if below(b) - below(a) > 0.3:
            return _redraw_until_inside(tensor, mean, std, a, b, generator)
        return _thin_uniform(tensor, mean, std, a, b, generator)


def _redraw_until_inside(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any
) -> Tensor:
    tensor.normal_(mean, std, generator=generator)
    while True:
        # Bounds as the tensor's dtype rounds them, so that a value equal to one counts as inside.
        outside = (tensor < a) | (tensor > b)
        if not outside.any():
            return tensor
        again = dovetail.empty_like(tensor).normal_(mean, std, generator=generator)
        tensor.copy_(dovetail.where(outside, again, tensor))


def _thin_uniform(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any
) -> Tensor:
    """Rejection from a uniform proposal: for an interval that holds little of the normal's mass."""
    peak = max(a, min(mean, b))
    log_peak = -0.5 * ((peak - mean) / std) ** 2
    tensor.uniform_(a, b, generator=generator)
    pending = None
    while True:
        log_density = ((tensor - mean) / std).square().mul(-0.5).sub(log_peak)
        chance = dovetail.empty_like(tensor).uniform_(generator=generator).log()
        rejected = chance > log_density
        pending = rejected if pending is None else pending & rejected
        if not pending.any():
            return tensor
        again = dovetail.empty_like(tensor).uniform_(a, b, generator=generator)
        tensor.copy_(dovetail.where(pending, again, tensor))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with ``val``."""
    with dovetail.no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    with dovetail.no_grad():
        return tensor.zero_()


def _fill_from_host(tensor: Tensor, values: np.ndarray) -> Tensor:
    """Copy an array made on the host: one transfer instead of one write per element."""
    with dovetail.no_grad():
        return tensor.copy_(dovetail.from_numpy(values).reshape(tensor.shape))


def eye_(tensor: Tensor) -> Tensor:
    """Fill a 2-D tensor with the identity."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    if tensor.is_meta:
        return tensor
    return _fill_from_host(tensor, np.eye(*tensor.shape, dtype=np.float32))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution's weight so that it passes on its input channels unchanged.

    Args:
        tensor: weight of 3, 4 or 5 dims (out_channels, in_channels / groups, …).
        groups: the convolution's groups.
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    if tensor.is_meta:
        return tensor
    values = np.zeros(tuple(tensor.shape), np.float32)
    per_group = tensor.shape[0] // groups
    centre = tuple(size // 2 for size in tensor.shape[2:])
    for group in range(groups):
        for channel in range(min(per_group, tensor.shape[1])):
            place = (group * per_group + channel, channel, *centre)
            values[place] = 1
    return _fill_from_host(tensor, values)


def _fans(tensor: Tensor) -> tuple[int, int]:
    """(fan in, fan out): numbers of inputs and outputs that one unit is connected with."""
    if tensor.dim() < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fan(tensor: Tensor, mode: str) -> int:
    modes = ["fan_in", "fan_out"]
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode.lower()} not supported, please use one of {modes}")
    return _fans(tensor)[modes.index(mode.lower())]


# As others' models call them.
_calculate_fan_in_and_fan_out, _calculate_correct_fan = _fans, _fan


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill uniformly in ±gain·sqrt(6 / (fan_in + fan_out))."""
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from N(0, gain²·2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    if 0 in tensor.shape:
        warn("Initializing zero-element tensors is a no-op")
        return None
    return calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill uniformly in ±gain·sqrt(3 / fan).

    Args:
        tensor: the weight.
        a: the slope of ``leaky_relu``.
        mode: ``fan_in`` keeps the variance forward, ``fan_out`` backward.
        nonlinearity: see ``calculate_gain``.
        generator: where the random numbers come from.
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill from N(0, gain² / fan); arguments as for ``kaiming_uniform_``."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix times ``gain``; dims behind the first are flattened.

    The factorisation runs on the host in float64, so every device gets the same values.
    """
    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.is_meta or tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    drawn = dovetail.empty(rows, tensor.numel() // rows, dtype=tensor.dtype, device=tensor.device)
    matrix = normal_(drawn, generator=generator).cpu().double().numpy()
    wide = matrix.shape[0] < matrix.shape[1]
    q, r = np.linalg.qr(matrix.T if wide else matrix)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform
    return _fill_from_host(tensor, np.ascontiguousarray((q.T if wide else q) * gain))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Fill a 2-D tensor from N(0, std²) with a fraction ``sparsity`` of each column set to zero."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    if tensor.is_meta:
        return tensor
    rows, columns = tensor.shape
    keep = np.ones((rows, columns), np.float32)
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0, std, generator)
    for column in range(columns):
        keep[
            dovetail.randperm(rows, device=tensor.device, generator=generator).tolist()[:zeros],
            column,
        ] = 0
    with dovetail.no_grad():
        return tensor.mul_(dovetail.from_numpy(keep).to(tensor.device, tensor.dtype))


def _deprecated(function: Any) -> Any:
    def old(*args: Any, **kwargs: Any) -> Tensor:
        warn(
            f"`nn.init.{old.__name__}` is now deprecated in favor of "
            f"`nn.init.{function.__name__}`.",
            FutureWarning,
        )
        return function(*args, **kwargs)  # type: ignore[no-any-return]

    old.__name__ = old.__qualname__ = function.__name__.rstrip("_")
    old.__doc__ = f"The old name of ``{function.__name__}``."
    return old


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
