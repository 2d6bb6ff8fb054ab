"""Single steps of recurrent networks: ``RNNCell``, ``LSTMCell`` and ``GRUCell``.

Meanings follow PyTorch's pages of these names.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn import init
from dovetail.nn.functional.recurrent import CELLS
from dovetail.nn.module import Module
from dovetail.nn.parameter import Parameter

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase", "check_pair"]


def check_pair(name: str, hx: Any) -> None:
    """Refuse a state that is not a pair (h, c).

    Raises:
        TypeError: neither a tuple nor a list.
        RuntimeError: not two.
    """
    if not isinstance(hx, (tuple, list)):
        raise TypeError(
            f"{name}(): argument 'hx' must be a tuple of Tensors (h, c), not {type(hx).__name__}"
        )
    if len(hx) != 2:
        raise RuntimeError(f"{name} expects two hidden states")


class RNNCellBase(Module):
    """What cells have in common.

    Args:
        input_size: size I of the input.
        hidden_size: size H of the state.
        bias: whether there are biases.
        num_chunks: gates, each of H rows in the weights.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        shapes = {
            "weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size),
            "bias_ih": (rows,), "bias_hh": (rows,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if name.startswith("bias") and not bias:
                self.register_parameter(name, None)
            else:
                empty = dovetail.empty(shape, device=device, dtype=dtype)
                setattr(self, name, Parameter(empty))
        self.reset_parameters()

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            parts.append(f"nonlinearity={self.nonlinearity}")
        return ", ".join(parts)

    def reset_parameters(self) -> None:
        """Draw the start values again, uniform in ±1/sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _check_input(self, input: Tensor) -> None:
        if input.dim() not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.dim()}D instead"
            )

    def _state(self, input: Tensor, hx: Tensor | None) -> Tensor:
        """The state with a batch dim where the input has one; zeros if None."""
        if hx is None:
            return input.new_zeros((input.size(0), self.hidden_size))
        return hx

    def _check_shapes(self, input: Tensor, state: tuple[Tensor, ...]) -> None:
        if input.size(1) != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {input.size(1)} expected {self.input_size}"
            )
        for i, part in enumerate(state):
            if part.size(-1) != self.hidden_size:
                raise RuntimeError(
                    f"hidden{i} has inconsistent hidden_size: got {part.size(-1)}, expected "
                    f"{self.hidden_size}"
                )
            if part.size(0) != input.size(0):
                raise RuntimeError(
                    f"Input batch size {input.size(0)} doesn't match hidden{i} batch size "
                    f"{part.size(0)}"
                )

    def _step(self, mode: str, input: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self._check_shapes(input, state)
        weights = {name: p for name, p in self._parameters.items() if p is not None}
        cell = CELLS[mode](weights)  # type: ignore[arg-type]  # a Parameter is a Tensor
        return cell.step(cell.gates(input), state)

    def _one_state(self, mode: str, input: Tensor, hx: Tensor | None) -> Tensor:
        """A step of a cell whose state is h alone."""
        self._check_input(input)
        if hx is not None and hx.dim() not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected hidden to be 1D or 2D, got {hx.dim()}D instead"
            )
        if input.dim() == 2:
            return self._step(mode, input, (self._state(input, hx),))[0]
        row = input.unsqueeze(0)
        state = self._state(row, None if hx is None else hx.unsqueeze(0))
        return self._step(mode, row, (state,))[0].squeeze(0)


class RNNCell(RNNCellBase):
    """h = tanh(W x + b + U h' + c), or with ReLU.

    Args:
        input_size: size I of the input.
        hidden_size: size H of the state.
        bias: whether there are biases.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, I) and (N, H) -> (N, H); N may be missing in both."""
        mode = f"RNN_{self.nonlinearity.upper()}"
        if mode not in CELLS:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._one_state(mode, input, hx)


class LSTMCell(RNNCellBase):
    """A step of long short-term memory.

    Args:
        input_size: size I of the input.
        hidden_size: size H of the state.
        bias: whether there are biases.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(N, I) and a pair of (N, H) -> the pair (h, c) after it; N may be missing in all."""
        self._check_input(input)
        if hx is not None:
            check_pair("lstm_cell", hx)
        for i, part in enumerate(hx or ()):
            if part.dim() not in (1, 2):
                raise ValueError(
                    f"LSTMCell: Expected hx[{i}] to be 1D or 2D, got {part.dim()}D instead"
                )
        h, c = (None, None) if hx is None else hx
        if input.dim() == 2:
            h, c = self._step("LSTM", input, (self._state(input, h), self._state(input, c)))
            return h, c
        row = input.unsqueeze(0)
        parts = (None if part is None else part.unsqueeze(0) for part in (h, c))
        h, c = self._step("LSTM", row, tuple(self._state(row, part) for part in parts))
        return h.squeeze(0), c.squeeze(0)


class GRUCell(RNNCellBase):
    """A step of a gated recurrent unit.

    Args:
        input_size: size I of the input.
        hidden_size: size H of the state.
        bias: whether there are biases.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, I) and (N, H) -> (N, H); N may be missing in both."""
        return self._one_state("GRU", input, hx)
