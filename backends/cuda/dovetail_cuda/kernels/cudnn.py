"""Convolutions by cuDNN: forward, both gradients, and the transposed one.

Tensors are taken as they lie where they are dense, row-major or with the channels last; others are
packed. One without a second spatial dim gets one of size 1. A bias is a part of the graph where
there is a plan for it, and added by a launch of its own where there is none. What cuDNN has no plan
for goes to the kernels of ``dovetail_kernels``, and so does float64: the front end (1.18) gives a
convolution's factors as float32, where plans of float64 read float64.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from dovetail.backend import EXPRESSIONS, Kernel, KernelTable, StridedView
from dovetail.dtypes import bfloat16, float16, float32
from dovetail_cuda import dnn
from dovetail_cuda.dnn import Choice, Graph, Tensor
from dovetail_kernels.arrays import Array, dense_strides
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import device_of, known
from dovetail_kernels.elementwise import Elementwise, ghost

__all__ = ["enter"]

KINDS = (float16, bfloat16, float32)

X, W, Y, B = 1, 2, 3, 4
"""The uids of image, weight and result, whichever of them is asked for, and of the bias."""


class Way(NamedTuple):
    """One of the operations.

    Attributes:
        draws: the method of the front end's graph.
        takes: its arguments, by uid.
        inputs: which tensor each input of the record is.
        output: which one is asked for.
        has_bias: the third input is added to every channel.
        fuses: in the graph itself, where there is a plan.
    """

    draws: str
    takes: dict[str, int]
    inputs: tuple[int, int]
    output: int
    has_bias: bool
    fuses: bool = False


WAYS = {
    "conv": Way("conv_fprop", {"image": X, "weight": W}, (X, W), Y, True, True),
    "conv_grad_input": Way("conv_dgrad", {"loss": Y, "filter": W}, (Y, W), X, False),
    "conv_transpose": Way("conv_dgrad", {"loss": Y, "filter": W}, (Y, W), X, True),
    "conv_grad_weight": Way("conv_wgrad", {"image": X, "loss": Y}, (Y, X), W, False),
}


def _last(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides with the channels (dim 1) last."""
    order = (0, *range(2, len(shape)), 1)
    steps = dense_strides([shape[i] for i in order], itemsize)
    return tuple(steps[order.index(i)] for i in range(len(shape)))


def _lies(array: StridedView, strides: tuple[int, ...]) -> bool:
    return all(
        n == 1 or a == b for n, a, b in zip(array.shape, array.strides, strides, strict=True)
    )


class _Operand:
    """One of the three tensors: as it comes, or packed.

    Attributes:
        view: how it lies where the library takes it.
    """

    def __init__(self, device: Any, source: Array, *, is_last: bool, is_output: bool) -> None:
        size = source.dtype.itemsize
        make = _last if is_last else dense_strides
        strides = make(source.shape, size)
        self.view = Array(None, 0, source.shape, strides, source.dtype)
        self.copy: Copy | None = None
        if not _lies(source, strides):
            pair = (self.view, source) if is_output else (source, self.view)
            self.copy = Copy(device, *pair)


def _wide(values: tuple[int, ...], of_one: int) -> list[int]:
    """Options for two spatial dims at least."""
    return [of_one, *values] if len(values) == 1 else list(values)


class Convolution:
    """One call resolved: ``run(*inputs, out)``."""

    def __init__(self, facts: Any, way: Way, spare: Callable[[], Any]) -> None:
        self.label = facts.op.name
        self.way, self._spare = way, spare
        self.device: Any = device_of(facts.outputs[0].device)
        options = facts.attributes
        self.options = {
            "pre_padding": _wide(options["padding"], 0),
            "post_padding": _wide(options["padding"], 0),
            "stride": _wide(options["stride"], 1),
            "dilation": _wide(options["dilation"], 1),
        }
        arrays = {uid: ghost(spec) for uid, spec in zip(way.inputs, facts.inputs, strict=False)}
        arrays[way.output] = ghost(facts.outputs[0])
        self.kind = arrays[way.output].dtype.name
        is_last = all(
            not a.is_contiguous and _lies(a, _last(a.shape, a.itemsize))
            for uid, a in arrays.items()
            if uid != W
        )
        self.operands = {
            uid: _Operand(self.device, a, is_last=is_last, is_output=uid == way.output)
            for uid, a in arrays.items()
        }
        self.packs = [uid for uid, operand in self.operands.items() if operand.copy is not None]
        self.added = self.bias = None
        if way.has_bias and facts.inputs[2] is not None:
            self.bias = ghost(facts.inputs[2])
            self.added = self._bias(arrays[way.output], self.bias)
        self._graphs: dict[tuple[Choice, int], tuple[Graph | None, bool]] = {}
        self._shared: Any = None

    def _bias(self, out: Array, bias: Array) -> Elementwise:
        """What adds a number to every channel of the output."""
        strides = (0, bias.strides[0], *[0] * (out.ndim - 2))
        channels = Array(None, 0, out.shape, strides, out.dtype)
        kind = out.dtype
        add = EXPRESSIONS["add"]
        return Elementwise(self.device, "add", add, [out, out, channels], (), kind, 0)

    def planned(self, wanted: Choice, aligned: int = 16) -> tuple[Graph | None, bool]:
        """The graph for these switches and addresses, None where there is no plan; and whether it
        adds the bias."""
        key = (wanted, aligned)
        if key not in self._graphs:
            found = None
            fuses = wanted.enabled and self.bias is not None and self.way.fuses
            if fuses:
                found = self._built(wanted, aligned, fuses=True)
            is_fused = found is not None
            if wanted.enabled and not is_fused:
                found = self._built(wanted, aligned, fuses=False)
            self._graphs[key] = (found, is_fused)
        return self._graphs[key]

    def _built(self, wanted: Choice, aligned: int, *, fuses: bool) -> Graph | None:
        way, bias = self.way, self.bias

        def tensor(uid: int) -> Tensor:
            view = self.operands[uid].view
            shape, strides = view.shape, view.element_strides
            if len(shape) == 3:
                strides = (*strides[:2], strides[2] * shape[2], strides[2])
                shape = (*shape[:2], 1, shape[2])
            return Tensor(uid, shape, strides, self.kind, aligned)

        def draw(graph: Any, inputs: list[Any]) -> list[Any]:
            given = {name: inputs[way.inputs.index(uid)] for name, uid in way.takes.items()}
            made = getattr(graph, way.draws)(**given, **self.options)
            return [graph.bias(input=made, bias=inputs[-1]) if fuses else made]

        result = tensor(way.output)
        inputs = [tensor(uid) for uid in way.inputs]
        if fuses and bias is not None:
            shape = (1, bias.numel, *[1] * (len(result.shape) - 2))
            step = bias.element_strides[0]
            strides = (step * bias.numel, step, *[step] * (len(shape) - 2))
            inputs.append(Tensor(B, shape, strides, self.kind, aligned))
        label = f"{self.label} with its bias" if fuses else self.label
        return dnn.build(self.device, self.kind, inputs, draw, [result], wanted, label)

    def __call__(self, *arrays: Any) -> None:
        """Queue it."""
        way, device = self.way, self.device
        given = {way.inputs[0]: arrays[0], way.inputs[1]: arrays[1], way.output: arrays[-1]}
        if self.bias is not None and way.fuses:
            given[B] = arrays[2]
        with device.lock:
            device.use()
            if not self.packs:
                is_added = self._run(arrays, given)[1]
            else:
                with ExitStack() as stack:
                    back = self._packed(given, stack)
                    is_done, is_added = self._run(arrays, given)
                    if is_done and back is not None:
                        back(given[way.output], arrays[-1])
            if not is_added and self.added is not None:
                self.added(arrays[-1], arrays[2], arrays[-1])

    def _packed(self, given: dict[int, Any], stack: ExitStack) -> Copy | None:
        """Pack what has to be; returns what copies the output to where it is wanted."""
        back = None
        for uid in self.packs:
            view, copy = self.operands[uid].view, self.operands[uid].copy
            assert copy is not None
            (block,) = stack.enter_context(self.device.scratch(view.numel * view.itemsize))
            held = Array(block, 0, view.shape, view.strides, view.dtype)
            if uid == self.way.output:
                back = copy
            else:
                copy(given[uid], held)
            given[uid] = held
        return back

    def _run(self, arrays: tuple[Any, ...], given: dict[int, Any]) -> tuple[bool, bool]:
        """Queue the library's kernel for what is packed, or else our own, which needs no more;
        whether it was the library's, and whether the bias is added."""
        pointers, bits = {}, 16
        for uid, array in given.items():
            pointers[uid] = pointer = array.buffer.ptr + array.offset
            bits |= pointer
        key = (wanted := dnn.choice(), bits & -bits)
        found = self._graphs.get(key)
        is_new = found is None
        graph, is_added = found or self.planned(*key)
        if graph is None:
            if self._shared is None:
                self._shared = self._spare()
            self._shared(*arrays)
            return False, True
        if is_new and wanted.benchmark:
            graph.time(pointers, wanted.benchmark)
        graph(pointers)
        return True, is_added


def _fits(way: Way, call: Any) -> bool:
    """Not empty, of one dtype, without negative padding, and the library has a plan."""
    tensors = [x for x in (*call.inputs, *call.outputs) if x is not None]
    if not all(x.numel for x in tensors) or len({x.dtype for x in tensors}) > 1:
        return False
    if tensors[0].ndim not in (3, 4, 5) or min(call.attributes["padding"]) < 0:
        return False
    if known(call.outputs[0].device) is None or dnn.front_end() is None:
        return False
    # Switches may be turned on later: a call that has a plan stays here.
    wanted = dnn.choice(is_timed=False, is_enabled=True)
    return _resolved(way, call).planned(wanted)[0] is not None


def _resolved(way: Way, call: Any, spare: Callable[[], Any] = lambda: None) -> Convolution:
    """The call, resolved once for the question and the answer."""
    device = device_of(call.outputs[0].device)
    specs = (*call.inputs, *call.outputs)
    key = ("cudnn", call.op.name, specs, tuple(call.attributes.items()))
    made: Convolution = device.keep(key, lambda: Convolution(call, way, spare))
    return made


def _specialised(way: Way, others: tuple[Kernel, ...], call: Any) -> Any:
    made = _resolved(way, call)

    def spare() -> Any:
        """The kernel of our own, for switches that cuDNN has no plan for."""
        for entry in others:
            if entry.when is None or entry.when(call):
                return entry.function(call)
        raise RuntimeError(
            f"{call.op.name}: cuDNN has no plan for the switches of backends.cudnn, and the "
            "windows are too many for the other kernels"
        )

    made._spare = spare
    return made


def enter(table: KernelTable) -> None:
    """Enter the convolutions, before those that are there."""
    for name, way in WAYS.items():
        others = table.entries(name)
        table.add(
            name,
            partial(_specialised, way, others),
            dtypes=KINDS,
            when=partial(_fits, way),
            specialize=True,
        )
