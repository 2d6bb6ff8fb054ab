"""Recurrent layers with integer weights, of floats that are quantized as they come.

Each product of inputs or states with a weight quantizes its left side on its own range; gates and
states are floats. Layers, directions and packed sequences run as in the float layers.
"""

from __future__ import annotations

from typing import Any

import dovetail.dtypes as d
from dovetail import ops
from dovetail.ao.nn.quantized.dynamic.linear import dynamic_weight, weight_observer
from dovetail.nn import functional as F
from dovetail.nn import recurrent, recurrent_cells
from dovetail.nn.containers import ModuleList
from dovetail.nn.functional.recurrent import Cell
from dovetail.nn.module import Module
from dovetail.quantized.integer import linear
from dovetail.quantized.make import quantize_per_tensor_dynamic
from dovetail.tensor import Tensor

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "PackedParameter",
    "RNNBase",
    "RNNCell",
    "RNNCellBase",
]

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class PackedParameter(Module):
    """The weights and biases of one layer and direction; in a state dict a tuple.

    Args:
        tensors: ``weight_ih``, ``weight_hh`` (qint8 or float16) and biases by name.
    """

    def __init__(self, tensors: dict[str, Any] | None = None) -> None:
        super().__init__()
        for name in _NAMES:
            self.register_buffer(name, None, persistent=False)
        for name, tensor in (tensors or {}).items():
            setattr(self, name, tensor)

    def tensors(self) -> dict[str, Any]:
        """Those that there are, by name."""
        found = {name: getattr(self, name) for name in _NAMES}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "param"] = tuple(getattr(self, name) for name in _NAMES)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: list[str],
        unexpected: list[str], errors: list[str],
    ) -> None:  # fmt: skip
        found = state_dict.pop(prefix + "param", None)
        if found is None:
            missing.append(prefix + "param")
        else:
            for name, tensor in zip(_NAMES, found, strict=True):
                have = getattr(self, name)
                if have is not None and tensor is not None and have.shape != tensor.shape:
                    errors.append(
                        f"size mismatch for {prefix}param ({name}): copying a param with shape "
                        f"{tensor.shape} from checkpoint, the shape in current model is "
                        f"{have.shape}."
                    )
                    continue
                place = None if have is None else have.device
                setattr(self, name, tensor if tensor is None or place is None else tensor.to(place))
        super()._load_from_state_dict(
            state_dict, prefix, metadata, False, missing, unexpected, errors
        )


def _product(x: Tensor, weight: Any, bias: Any, reduce_range: bool) -> Tensor:
    """x Wᵀ + bias with a weight of ``qint8`` or float16."""
    if weight.dtype is d.float16:
        return F.linear(x, weight.to(d.float32), bias)
    return linear(quantize_per_tensor_dynamic(x, d.quint8, reduce_range), weight, bias)


class _Cell(Cell):
    """One direction of one layer, with integer weights."""

    reduce_range = True

    def __init__(self, weights: dict[str, Any]) -> None:
        self.weights = weights

    def _part(self, x: Tensor, part: str) -> Tensor:
        weight, bias = self.weights[f"weight_{part}"], self.weights.get(f"bias_{part}")
        return _product(x, weight, bias, self.reduce_range)

    def gates(self, input: Tensor) -> Tensor:
        """What the inputs of all steps add to the gates."""
        return self._part(input, "ih")


class _LSTM(_Cell):
    def step(self, gates: Tensor, state: Any) -> Any:
        """The next (h, c)."""
        return ops.fused_lstm_cell(gates + self._part(state[0], "hh"), state[1])


class _GRU(_Cell):
    def step(self, gates: Tensor, state: Any) -> Any:
        """The next h."""
        return (ops.fused_gru_cell(gates, self._part(state[0], "hh"), state[0]),)


class _Tanh(_Cell):
    def step(self, gates: Tensor, state: Any) -> Any:
        """The next h."""
        return ((gates + self._part(state[0], "hh")).tanh(),)


class _ReLU(_Cell):
    def step(self, gates: Tensor, state: Any) -> Any:
        """The next h."""
        return ((gates + self._part(state[0], "hh")).relu(),)


CELLS = {"LSTM": _LSTM, "GRU": _GRU, "RNN_TANH": _Tanh, "RNN_RELU": _ReLU}


def _qconfig_of(mod: Any, dtype: Any) -> Any:
    """The module's qconfig; PyTorch's default for the dtype where it has none."""
    from dovetail.ao.quantization import qconfig as configs

    half = dtype is d.float16
    default = configs.float16_dynamic_qconfig if half else configs.default_dynamic_qconfig
    return getattr(mod, "qconfig", default)


def _quantized_weights(mod: Any, names: dict[str, str], qconfig: Any) -> dict[str, Any]:
    """Weights by the short name, quantized by observers of the qconfig, and the biases."""
    made = {}
    for name, full in names.items():
        tensor = getattr(mod, full).detach()
        if name.startswith("weight"):
            observer = weight_observer(qconfig)
            if observer.dtype is d.float16:
                tensor = tensor.to(d.float16)
            else:
                tensor = dynamic_weight(tensor, observer)
        made[name] = tensor
    return made


class RNNBase(recurrent.RNNBase):
    """What dynamic recurrent layers share.

    Args:
        mode: ``"LSTM"``, ``"GRU"``, ``"RNN_TANH"`` or ``"RNN_RELU"``.
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: the float
            layer's.
        dtype: of the weights, ``qint8`` or float16.
    """

    _version = 2
    _FLOAT_MODULE: Any = (recurrent.LSTM, recurrent.GRU, recurrent.RNN)
    _cells = CELLS

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
        dtype: Any = d.qint8,
    ) -> None:
        Module.__init__(self)
        like = recurrent.RNNBase(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )
        self._take(like, dtype)

    def _take(self, mod: Any, dtype: Any) -> None:
        """Take over a float layer's options, and its weights quantized."""
        for name in _OPTIONS:
            setattr(self, name, getattr(mod, name))
        self.dtype = dtype
        self.training = False
        observe = _qconfig_of(mod, dtype)
        self._all_weights = []
        self._all_weight_values = ModuleList(
            [
                PackedParameter(_quantized_weights(mod, _short_names(names), observe))
                for names in mod._all_weights
            ]
        )

    def _get_name(self) -> str:
        return "DynamicQuantizedRNN"

    def __repr__(self) -> str:
        return f"{self._get_name()}({self.extra_repr()})"

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Refuse an input of another shape."""
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.size(-1)}"
            )

    def _layers(self) -> list[list[dict[str, Any]]]:
        made = [parameter.tensors() for parameter in self._all_weight_values]
        step = self._directions
        return [made[i : i + step] for i in range(0, len(made), step)]

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of a float layer with a qconfig.

        Raises:
            AssertionError: another module, or one without a qconfig.
            NotImplementedError: a layer with projections.
        """
        if type(mod) not in cls._FLOAT_MODULE:
            raise AssertionError(
                "nn.quantized.dynamic.RNNBase.from_float only works for nn.LSTM, nn.GRU and "
                f"nn.RNN, got {type(mod)}"
            )
        if not hasattr(mod, "qconfig"):
            raise AssertionError("Input float module must have qconfig defined")
        if mod.proj_size:
            raise NotImplementedError("projections (proj_size) are not quantized")
        made = cls.__new__(cls)
        Module.__init__(made)
        made._take(mod, weight_observer(mod.qconfig).dtype)
        return made


_OPTIONS = (
    "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout",
    "bidirectional", "proj_size",
)  # fmt: skip


def _short_names(names: list[str]) -> dict[str, str]:
    """``weight_ih`` -> ``weight_ih_l0_reverse``."""
    return {name.rpartition("_l")[0]: name for name in names}


class LSTM(RNNBase, recurrent.LSTM):
    """Long short-term memory with integer weights.

    Args:
        args, kwargs: those of :class:`RNNBase` but ``mode``.
    """

    _FLOAT_MODULE = (recurrent.LSTM,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        RNNBase.__init__(self, "LSTM", *args, **kwargs)

    def _get_name(self) -> str:
        return "DynamicQuantizedLSTM"


class GRU(RNNBase, recurrent.GRU):
    """Gated recurrent units with integer weights.

    Args:
        args, kwargs: those of :class:`RNNBase` but ``mode``.
    """

    _FLOAT_MODULE = (recurrent.GRU,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        RNNBase.__init__(self, "GRU", *args, **kwargs)

    def _get_name(self) -> str:
        return "DynamicQuantizedGRU"


class RNN(RNNBase, recurrent.RNN):
    """Plain recurrent layers with integer weights, which PyTorch leaves as they are.

    Args:
        args, kwargs: those of :class:`RNNBase` but ``mode``.
        nonlinearity: ``"tanh"`` or ``"relu"``.
    """

    _FLOAT_MODULE = (recurrent.RNN,)

    def __init__(self, *args: Any, nonlinearity: str = "tanh", **kwargs: Any) -> None:
        RNNBase.__init__(self, f"RNN_{nonlinearity.upper()}", *args, **kwargs)


class RNNCellBase(recurrent_cells.RNNCellBase):
    """What dynamic cells share.

    Args:
        input_size, hidden_size, bias: the float cell's.
        num_chunks: gates.
        dtype: of the weights, ``qint8`` or float16.
    """

    _FLOAT_MODULE: Any = None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, num_chunks: int = 4,
        dtype: Any = d.qint8,
    ) -> None:  # fmt: skip
        Module.__init__(self)
        like = recurrent_cells.RNNCellBase(input_size, hidden_size, bias, num_chunks)
        self._take(like, dtype)

    def _take(self, mod: Any, dtype: Any) -> None:
        """Take over a float cell's options, and its weights quantized."""
        self.input_size, self.hidden_size, self.bias = mod.input_size, mod.hidden_size, mod.bias
        self.weight_dtype = dtype
        names = {name: name for name in _NAMES if getattr(mod, name, None) is not None}
        made = _quantized_weights(mod, names, _qconfig_of(mod, dtype))
        for name in _NAMES:
            self.register_buffer(name, made.get(name), persistent=False)

    def _get_name(self) -> str:
        return f"DynamicQuantized{type(self).__name__}"

    def _step(self, mode: str, input: Tensor, state: Any) -> Any:
        self._check_shapes(input, state)
        found = {name: getattr(self, name) for name in _NAMES}
        cell = CELLS[mode]({k: v for k, v in found.items() if v is not None})
        return cell.step(cell.gates(input), state)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for part in ("ih", "hh"):
            destination[f"{prefix}_packed_weight_{part}"] = (
                getattr(self, f"weight_{part}"), getattr(self, f"bias_{part}"),
            )  # fmt: skip

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: list[str],
        unexpected: list[str], errors: list[str],
    ) -> None:  # fmt: skip
        for part in ("ih", "hh"):
            key = f"{prefix}_packed_weight_{part}"
            if key not in state_dict:
                missing.append(key)
                continue
            for kind, tensor in zip(("weight", "bias"), state_dict.pop(key), strict=True):
                name = f"{kind}_{part}"
                have = getattr(self, name)
                if have is not None and tensor is not None:
                    tensor = tensor.to(have.device)
                setattr(self, name, tensor)
        super()._load_from_state_dict(
            state_dict, prefix, metadata, False, missing, unexpected, errors
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of a float cell with a qconfig.

        Raises:
            AssertionError: another module, or one without a qconfig.
        """
        if type(mod) is not cls._FLOAT_MODULE:
            raise AssertionError(
                f"nn.quantized.dynamic.{cls.__name__}.from_float only works for "
                f"{cls._FLOAT_MODULE.__name__}, got {type(mod)}"
            )
        if not hasattr(mod, "qconfig"):
            raise AssertionError("Input float module must have qconfig defined")
        made = cls.__new__(cls)
        Module.__init__(made)
        if hasattr(mod, "nonlinearity"):
            made.nonlinearity = mod.nonlinearity
        made._take(mod, weight_observer(mod.qconfig).dtype)
        return made


class RNNCell(RNNCellBase, recurrent_cells.RNNCell):
    """A step of a plain cell with integer weights.

    Args:
        input_size, hidden_size, bias, nonlinearity: the float cell's.
        dtype: of the weights.
    """

    _FLOAT_MODULE = recurrent_cells.RNNCell

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        dtype: Any = d.qint8,
    ) -> None:  # fmt: skip
        RNNCellBase.__init__(self, input_size, hidden_size, bias, 1, dtype)
        self.nonlinearity = nonlinearity


class LSTMCell(RNNCellBase, recurrent_cells.LSTMCell):
    """A step of long short-term memory with integer weights.

    Args:
        input_size, hidden_size, bias: the float cell's.
        dtype: of the weights.
    """

    _FLOAT_MODULE = recurrent_cells.LSTMCell

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = d.qint8
    ) -> None:
        RNNCellBase.__init__(self, input_size, hidden_size, bias, 4, dtype)


class GRUCell(RNNCellBase, recurrent_cells.GRUCell):
    """A step of a gated recurrent unit with integer weights.

    Args:
        input_size, hidden_size, bias: the float cell's.
        dtype: of the weights.
    """

    _FLOAT_MODULE = recurrent_cells.GRUCell

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = d.qint8
    ) -> None:
        RNNCellBase.__init__(self, input_size, hidden_size, bias, 3, dtype)
