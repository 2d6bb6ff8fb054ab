"""Convolutions of one, two and three spatial dims (PyTorch's ``torch.nn.functional`` page).

The dims differ only in number, so each family is one function that is made three times. All checks
are here, before any kernel runs: the same mistake gives the same sentence on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail import ops
from dovetail.nn.functional.arguments import ntuple
from dovetail.nn.functional.padding import pad
from dovetail.nn.functional.planned import finder

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolution_of",
    "rectified_convolution_of",
    "transposed_convolution_of",
]

_PLACES = {1: "kW", 2: "kH, kW", 3: "kD, kH, kW"}


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _check_input_and_weight(name: str, n: int, input: Tensor, weight: Tensor, order: str) -> None:
    if weight.dim() != n + 2:
        raise RuntimeError(
            f"{name}: weight must be {n + 2}-D ({order}, {_PLACES[n]}), got shape {_shape(weight)}"
        )
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(
            f"{name}: input must be {n + 2}-D (batch, channels, …) or {n + 1}-D (channels, …), "
            f"got shape {_shape(input)}"
        )


def _check_positive(name: str, **values: tuple[int, ...]) -> None:
    for label, value in values.items():
        if any(step <= 0 for step in value):
            raise RuntimeError(f"{name}: {label} must be greater than 0, got {value}")


def _check_bias(name: str, bias: Tensor | None, channels: int) -> None:
    if bias is not None and tuple(bias.shape) != (channels,):
        raise RuntimeError(
            f"{name}: bias must have shape ({channels},), one per output channel, "
            f"got shape {_shape(bias)}"
        )


def _spread(name: str, label: str, value: Any, n: int) -> tuple[int, ...]:
    spread = ntuple(value, n)
    if len(spread) == 1:
        spread *= n
    if len(spread) != n:
        raise RuntimeError(
            f"{name}: {label} must be one number or {n} of them, got {tuple(spread)}"
        )
    return spread


def _resolve_padding(
    name: str,
    n: int,
    input: Tensor,
    weight: Tensor,
    stride: tuple[int, ...],
    padding: Any,
    dilation: tuple[int, ...],
) -> tuple[Tensor, tuple[int, ...]]:
    """The padding in numbers; what "same" needs on one side only is padded here."""
    if not isinstance(padding, str):
        sides = _spread(name, "padding", padding, n)
        if any(side < 0 for side in sides):
            raise RuntimeError(f"{name}: padding must not be negative, got {sides}")
        return input, sides
    if padding == "valid":
        return input, (0,) * n
    if padding != "same":
        raise RuntimeError(f"{name}: padding must be 'same', 'valid' or numbers, got {padding!r}")
    if any(step != 1 for step in stride):
        raise RuntimeError(f"{name}: padding='same' needs stride 1, got {stride}")
    totals = [step * (size - 1) for step, size in zip(dilation, weight.shape[2:], strict=True)]
    if any(total % 2 for total in totals):
        extra = [side for total in reversed(totals) for side in (0, total % 2)]
        input = pad(input, extra)
    return input, tuple(total // 2 for total in totals)


def _convolution(n: int, record: str = "conv") -> Callable[..., Tensor]:
    """The function of so many dims, which computes what the record says."""
    name = f"conv{n}d"
    find, compute = finder(record), getattr(ops, record)

    def conv(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        options = [x if x.__class__ is tuple else (x,) * n for x in (stride, padding, dilation)]
        run = find(input, weight, bias, (*options, groups))
        if run is not None:
            return run(input, weight, bias)  # type: ignore[no-any-return]
        _check_input_and_weight(name, n, input, weight, "out_channels, in_channels/groups")
        stride = _spread(name, "stride", stride, n)
        dilation = _spread(name, "dilation", dilation, n)
        _check_positive(name, stride=stride, dilation=dilation, groups=(groups,))
        channels = input.shape[-n - 1]
        if channels != weight.shape[1] * groups:
            raise RuntimeError(
                f"{name}: input must have {weight.shape[1] * groups} channels for groups={groups} "
                f"and weight of shape {_shape(weight)}, got {channels} channels "
                f"(input of shape {_shape(input)})"
            )
        if weight.shape[0] % groups:
            raise RuntimeError(
                f"{name}: out_channels must be divisible by groups={groups}, "
                f"got weight of shape {_shape(weight)}"
            )
        _check_bias(name, bias, weight.shape[0])
        input, padding = _resolve_padding(name, n, input, weight, stride, padding, dilation)
        padded = tuple(
            size + 2 * side for size, side in zip(input.shape[-n:], padding, strict=True)
        )
        window = tuple(d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True))
        if any(size < needed for size, needed in zip(padded, window, strict=True)):
            raise RuntimeError(
                f"{name}: the window must fit in the padded input, got a window of {window} "
                f"(kernel {tuple(weight.shape[2:])}, dilation {dilation}) and an input of {padded}"
            )
        is_batch = input.dim() == n + 2
        result = compute(
            input if is_batch else input.unsqueeze(0),
            weight,
            bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        return result if is_batch else result.squeeze(0)

    conv.__name__ = conv.__qualname__ = name
    conv.__doc__ = f"""Convolution over {n} spatial dim{"s" * (n > 1)}.

    Args:
        input: (N, C_in, *) or (C_in, *).
        weight: (C_out, C_in / groups, {_PLACES[n]}).
        bias: (C_out).
        stride: step of the window, one number or {n}.
        padding: zeros on both sides, one number or {n}, or "same" or "valid".
        dilation: distance between the window's elements.
        groups: blocks of channels that are convolved apart.

    Raises:
        RuntimeError: shapes or options that do not fit together.
    """
    return conv


def _transposed_convolution(n: int) -> Callable[..., Tensor]:
    name = f"conv_transpose{n}d"

    def conv_transpose(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Tensor:
        _check_input_and_weight(name, n, input, weight, "in_channels, out_channels/groups")
        stride = _spread(name, "stride", stride, n)
        padding = _spread(name, "padding", padding, n)
        output_padding = _spread(name, "output_padding", output_padding, n)
        dilation = _spread(name, "dilation", dilation, n)
        _check_positive(name, stride=stride, dilation=dilation, groups=(groups,))
        if any(side < 0 for side in padding):
            raise RuntimeError(f"{name}: padding must not be negative, got {padding}")
        for extra, step, gap in zip(output_padding, stride, dilation, strict=True):
            if not 0 <= extra < max(step, gap):
                raise RuntimeError(
                    f"{name}: output padding must be smaller than either stride or dilation, got "
                    f"output_padding={output_padding}, stride={stride}, dilation={dilation}"
                )
        channels = input.shape[-n - 1]
        if channels != weight.shape[0] or channels % groups:
            raise RuntimeError(
                f"{name}: input must have {weight.shape[0]} channels, a multiple of "
                f"groups={groups}, for weight of shape {_shape(weight)}, got {channels} channels "
                f"(input of shape {_shape(input)})"
            )
        _check_bias(name, bias, weight.shape[1] * groups)
        is_batch = input.dim() == n + 2
        result = ops.conv_transpose(
            input if is_batch else input.unsqueeze(0),
            weight,
            bias,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            dilation=dilation,
            groups=groups,
        )
        return result if is_batch else result.squeeze(0)

    conv_transpose.__name__ = conv_transpose.__qualname__ = name
    conv_transpose.__doc__ = f"""Transposed convolution over {n} spatial dim{"s" * (n > 1)}.

    It is the gradient of ``conv{n}d`` with respect to its input.

    Args:
        input: (N, C_in, *) or (C_in, *).
        weight: (C_in, C_out / groups, {_PLACES[n]}).
        bias: (C_out).
        stride: step of the window in the output.
        padding: cut off both sides of the output.
        output_padding: added to one side of the output.
        groups: blocks of channels that are convolved apart.
        dilation: distance between the window's elements.

    Raises:
        RuntimeError: shapes or options that do not fit together.
    """
    return conv_transpose


conv1d, conv2d, conv3d = (_convolution(n) for n in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (
    _transposed_convolution(n) for n in (1, 2, 3)
)

_RECTIFIED = {n: _convolution(n, "conv_relu") for n in (1, 2, 3)}
_CONVOLUTIONS = {1: conv1d, 2: conv2d, 3: conv3d}
_TRANSPOSED = {1: conv_transpose1d, 2: conv_transpose2d, 3: conv_transpose3d}


def convolution_of(dims: int) -> Callable[..., Tensor]:
    """``conv1d``, ``conv2d`` or ``conv3d``."""
    return _CONVOLUTIONS[dims]


def rectified_convolution_of(dims: int) -> Callable[..., Tensor]:
    """``convolution_of(dims)`` and a ReLU behind it, as one operator."""
    return _RECTIFIED[dims]


def transposed_convolution_of(dims: int) -> Callable[..., Tensor]:
    """``conv_transpose1d``, ``conv_transpose2d`` or ``conv_transpose3d``."""
    return _TRANSPOSED[dims]
