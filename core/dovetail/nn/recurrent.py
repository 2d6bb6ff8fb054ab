"""Recurrent layers: ``RNN``, ``LSTM`` and ``GRU``.

Meanings follow PyTorch's pages of these names. Per layer k and direction (``_reverse``) there are
``weight_ih_lk`` (gates x H, inputs), ``weight_hh_lk`` (gates x H, states), ``bias_ih_lk``,
``bias_hh_lk`` and, for projections, ``weight_hr_lk``; all start uniform in ±1/sqrt(hidden_size).
"""

from __future__ import annotations

import math
import numbers
from functools import partial
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn import functional as F
from dovetail.nn import init
from dovetail.nn.functional.recurrent import CELLS, run_layers
from dovetail.nn.module import Module
from dovetail.nn.parameter import Parameter
from dovetail.nn.recurrent_cells import check_pair
from dovetail.nn.utils.rnn import PackedSequence
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _check_options(
    input_size: Any, hidden_size: Any, num_layers: int, bias: Any, batch_first: Any,
    dropout: Any, proj_size: int,
) -> None:  # fmt: skip
    number = isinstance(dropout, numbers.Number) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element "
            "being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={dropout} and "
            f"num_layers={num_layers}",
        )
    wanted = {"bias": (bias, bool), "batch_first": (batch_first, bool)}
    wanted |= {"input_size": (input_size, int), "hidden_size": (hidden_size, int)}
    for name, (value, kind) in wanted.items():
        if not isinstance(value, kind):
            raise TypeError(
                f"{name} should be of type {kind.__name__}, got: {type(value).__name__}"
            )
        if kind is int and value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


class RNNBase(Module):
    """What recurrent layers have in common.

    Args:
        mode: ``"LSTM"``, ``"GRU"``, ``"RNN_TANH"`` or ``"RNN_RELU"``.
        input_size: size I of each step's input.
        hidden_size: size H of the state.
        num_layers: layers; each takes the outputs of the one before.
        bias: whether there are biases.
        batch_first: sequences are (N, T, *) instead of (T, N, *).
        dropout: the chance to drop an output of any layer but the last, in training.
        bidirectional: each layer also runs from the end; outputs are side by side.
        proj_size: size of a projection of h (LSTM only); 0: none.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        _check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        rows = _GATES[mode] * hidden_size
        out = proj_size or hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[: self._directions]:
                inputs = input_size if layer == 0 else out * self._directions
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, inputs), "weight_hh": (rows, out)
                }  # fmt: skip
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = {name: f"{name}_l{layer}{suffix}" for name in shapes}
                for name, shape in shapes.items():
                    empty = dovetail.empty(shape, device=device, dtype=dtype)
                    setattr(self, names[name], Parameter(empty))
                self._all_weights.append(list(names.values()))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Any]:
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters per layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def reset_parameters(self) -> None:
        """Draw the start values again."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: parameters are used where they are."""

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
            "bidirectional": False,
        }  # fmt: skip
        for name, default in defaults.items():
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)

    # Checks, which subclasses of users may call

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Refuse an input of another dtype or shape."""
        kind = getattr(self, self._all_weights[0][0]).dtype
        if input.dtype is not kind:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({kind}). Convert "
                f"input: input.to({kind}), or convert model: model.to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.size(-1)}"
            )

    def _state_size(self, input: Tensor, batch_sizes: Tensor | None, size: int) -> tuple[int, ...]:
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.size(0 if self.batch_first else 1)
        return self.num_layers * self._directions, batch, size

    def get_expected_hidden_size(
        self, input: Tensor, batch_sizes: Tensor | None
    ) -> tuple[int, ...]:
        """(layers x directions, N, H), or (…, proj_size)."""
        return self._state_size(input, batch_sizes, self.proj_size or self.hidden_size)

    def check_hidden_size(
        self,
        hx: Tensor,
        expected_hidden_size: tuple[int, ...],
        msg: str = "Expected hidden size {}, got {}",
    ) -> None:
        """Refuse a state of another shape."""
        if hx.size() != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Refuse an input or a state of another shape."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The states of the sequences in another order."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # The computation, the same for states of one part and of two

    _cells: Any = CELLS
    _label = "RNN"
    _label_end = " tensor instead"

    def _check_state(self, hx: Any) -> None:
        """Refuse a state of another number of parts."""

    def _zeros(self, input: Tensor, batch_sizes: Tensor | None) -> Any:
        return input.new_zeros(self.get_expected_hidden_size(input, batch_sizes))

    def _batched_state(self, hx: Any, is_batched: bool) -> Any:
        """``hx`` with a batch dim.

        Raises:
            RuntimeError: it has another number of dims than the input.
        """
        wanted, kind = (3, "batched 3-D") if is_batched else (2, "unbatched 2-D")
        if hx.dim() != wanted:
            raise RuntimeError(
                f"For {kind} input, hx should also be {wanted}-D but got {hx.dim()}-D tensor"
            )
        return hx if is_batched else hx.unsqueeze(1)

    def _layers(self) -> list[list[dict[str, Tensor]]]:
        made = [
            {name.rpartition("_l")[0]: getattr(self, name) for name in names}
            for names in self._all_weights
        ]
        step = self._directions
        return [made[i : i + step] for i in range(0, len(made), step)]

    def _run(self, input: Tensor, hx: Any, batch_sizes: Tensor | None) -> tuple[Tensor, Any]:
        state = hx if isinstance(hx, tuple) else (hx,)
        for part in state:
            if part.dtype is not input.dtype:
                raise RuntimeError(
                    "Input and hidden tensors are not the same dtype, found input tensor with "
                    f"{input.dtype} and hidden tensor with {part.dtype}"
                )
        drops = self.training and self.dropout
        between = partial(F.dropout, p=self.dropout, training=True) if drops else None
        sizes = None if batch_sizes is None else batch_sizes.tolist()
        steps_first = self.batch_first and sizes is None
        if steps_first:
            input = input.transpose(0, 1)
        if sizes is None and not input.shape[0]:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        output, last = run_layers(
            self._cells[self.mode], input, state, self._layers(), sizes, between
        )
        if steps_first:
            output = output.transpose(0, 1)
        return output, last if isinstance(hx, tuple) else last[0]

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Run over sequences.

        Args:
            input: (T, N, I), (N, T, I) with ``batch_first``, (T, I), or a ``PackedSequence``.
            hx: the first state (layers x directions, N, H), without N where the input has none;
                for an LSTM a pair (h, c); zeros if None.

        Returns:
            The outputs of the last layer at each step (T, N, directions x H), packed if the
            input was, and the last state in the shape of ``hx``.

        Raises:
            RuntimeError: shapes that do not fit.
            ValueError: an input of another dtype, or of neither 2 nor 3 dims.
        """
        if hx is not None:
            self._check_state(hx)
        if isinstance(input, PackedSequence):
            data, sizes, order, back = input
            hx = self._zeros(data, sizes) if hx is None else hx
            self.check_forward_args(data, hx, sizes)
            output, last = self._run(data, self.permute_hidden(hx, order), sizes)
            return PackedSequence(output, sizes, order, back), self.permute_hidden(last, back)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"{self._label}: Expected input to be 2D or 3D, got {input.dim()}D{self._label_end}"
            )
        is_batched = input.dim() == 3
        batch_dim = 0 if self.batch_first else 1
        if not is_batched:
            input = input.unsqueeze(batch_dim)
        hx = self._zeros(input, None) if hx is None else self._batched_state(hx, is_batched)
        self.check_forward_args(input, hx, None)
        output, last = self._run(input, hx, None)
        if is_batched:
            return output, last
        squeezed = tuple(p.squeeze(1) for p in last) if isinstance(last, tuple) else last.squeeze(1)
        return output.squeeze(batch_dim), squeezed


def _refuse_projection(options: dict[str, Any]) -> None:
    if "proj_size" in options:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNN(RNNBase):
    """h = tanh(W x + b + U h' + c), layer by layer and step by step.

    Args:
        args: input_size, hidden_size, num_layers=1, nonlinearity="tanh" (or "relu"), bias=True,
            batch_first=False, dropout=0.0, bidirectional=False.
        kwargs: those by name, device and dtype.

    >>> import dovetail as dt
    >>> output, last = dt.nn.RNN(10, 20, 2)(dt.ones(5, 3, 10))
    >>> output.shape, last.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(kwargs)
        if len(args) > 3:
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class GRU(RNNBase):
    """Gated recurrent units.

    Args:
        args: input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
            bidirectional=False.
        kwargs: those by name, device and dtype.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; the
    reset gate scales what the state adds, after its product.
    """

    _label = "GRU"
    _label_end = " instead"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory.

    Args:
        args: input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
            bidirectional=False, proj_size=0.
        kwargs: those by name, device and dtype.

    The state is a pair: h (…, N, H or proj_size) and c (…, N, H).

    >>> import dovetail as dt
    >>> output, (h, c) = dt.nn.LSTM(10, 20, batch_first=True)(dt.ones(3, 5, 10))
    >>> output.shape, h.shape, c.shape
    (torch.Size([3, 5, 20]), torch.Size([1, 3, 20]), torch.Size([1, 3, 20]))
    """

    _label = "LSTM"
    _label_end = " instead"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, ...]:
        """(layers x directions, N, H)."""
        return self._state_size(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Refuse an input or a state of another shape."""
        self.check_input(input, batch_sizes)
        hidden_size = self.get_expected_hidden_size(input, batch_sizes)
        cell_size = self.get_expected_cell_size(input, batch_sizes)
        self.check_hidden_size(hidden[0], hidden_size, "Expected hidden[0] size {}, got {}")
        self.check_hidden_size(hidden[1], cell_size, "Expected hidden[1] size {}, got {}")

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The states of the sequences in another order."""
        if permutation is None:
            return hx
        return tuple(part.index_select(1, permutation) for part in hx)

    def _check_state(self, hx: Any) -> None:
        check_pair("lstm", hx)

    def _zeros(self, input: Tensor, batch_sizes: Tensor | None) -> Any:
        hidden = super()._zeros(input, batch_sizes)
        if not self.proj_size:
            return hidden, hidden  # nobody writes to it
        return hidden, input.new_zeros(self.get_expected_cell_size(input, batch_sizes))

    def _batched_state(self, hx: Any, is_batched: bool) -> Any:
        h, c = hx
        wanted, kind = (3, "batched 3-D") if is_batched else (2, "unbatched 2-D")
        if h.dim() != wanted or c.dim() != wanted:
            raise RuntimeError(
                f"For {kind} input, hx and cx should also be {wanted}-D but got "
                f"({h.dim()}-D, {c.dim()}-D) tensors"
            )
        return (h, c) if is_batched else (h.unsqueeze(1), c.unsqueeze(1))
