"""NVIDIA's libraries in NumPy, on the host memory of the stand-in for the driver.

They take what the real ones take, and compute it in float64: what is tested is what they are asked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops import REGISTRY
from dovetail_cuda.blas import BIAS, Matrix, Problem

__all__ = ["FrontEnd", "Products"]


def numpy_of(kind: str) -> np.dtype[Any]:
    """The NumPy dtype of a dtype's name."""
    return np.dtype(getattr(d, "bool_" if kind == "bool" else kind).numpy)


def at(address: int, shape: Sequence[int], strides: Sequence[int], kind: np.dtype[Any]) -> Any:
    """An array at an address; strides in elements."""
    span = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    memory = (ctypes.c_char * (span * kind.itemsize)).from_address(address)
    return np.ndarray(tuple(shape), kind, memory, 0, [s * kind.itemsize for s in strides])


class Products:
    """In place of :class:`dovetail_cuda.blas.CublasLt`.

    Attributes:
        queued: what was computed: (problem, alpha, beta, stream).
        has_bias, has_any: there are algorithms that add a bias; there are any.
    """

    def __init__(self, *, has_bias: bool = True, has_any: bool = True) -> None:
        self.has_bias, self.has_any = has_bias, has_any
        self.queued: list[tuple[Problem, Any, Any, int]] = []
        self.workspaces: set[int] = set()

    def handle(self) -> int:
        return 11

    def plan(self, handle: int, problem: Problem, workspace: int) -> Any:
        assert handle == 11
        if not self.has_any or (problem.epilogue == BIAS and not self.has_bias):
            return None
        return _Product(self, problem)


class _Product:
    workspace = 64

    def __init__(self, library: Products, problem: Problem) -> None:
        self.library, self.problem = library, problem
        self.alpha, self.beta = 1, 0

    def scaled(self, alpha: Any, beta: Any) -> _Product:
        self.alpha, self.beta = alpha, beta
        return self

    def __call__(
        self, a: int, b: int, c: int, d: int, bias: int, workspace: int, stream: int
    ) -> None:
        problem = self.problem
        kind, made = numpy_of(problem.kind), numpy_of(problem.made)
        for address in (a, b, c, d, bias):
            assert address % problem.aligned == 0
        assert workspace
        self.library.workspaces.add(workspace)

        def matrix(address: int, of: Matrix, number: int, dtype: np.dtype[Any]) -> Any:
            assert of.lead >= of.rows
            begin = address + number * of.step * dtype.itemsize
            return at(begin, (of.rows, of.columns), (1, of.lead), dtype)

        wide = np.complex128 if kind.kind == "c" else np.float64
        for i in range(problem.batch):
            x, y = matrix(a, problem.a, i, kind), matrix(b, problem.b, i, kind)
            x, y = (x.T if problem.turned_a else x), (y.T if problem.turned_b else y)
            result = self.alpha * (x.astype(wide) @ y.astype(wide))
            if self.beta:
                result = result + self.beta * matrix(c, problem.c, i, made).astype(wide)
            if problem.epilogue == BIAS:
                result = result + at(bias, (problem.d.rows, 1), (1, 1), made).astype(wide)
            matrix(d, problem.d, i, made)[...] = result.astype(made)
        self.library.queued.append((problem, self.alpha, self.beta, stream))


class _Words:
    """An enumeration of the front end's: any name is a member."""

    def __getattr__(self, name: str) -> str:
        return name


KINDS = {"HALF": "float16", "BFLOAT16": "bfloat16", "FLOAT": "float32", "DOUBLE": "float64"}


class _Tensor:
    def __init__(self, dim: Any = None, stride: Any = None, data_type: str = "") -> None:
        self.dim, self.stride, self.kind = dim, stride, data_type
        self.uid = self.aligned = 0

    def set_uid(self, uid: int) -> _Tensor:
        self.uid = uid
        return self

    def set_alignment(self, aligned: int) -> _Tensor:
        self.aligned = aligned
        return self

    def set_output(self, is_output: bool) -> _Tensor:
        assert is_output
        return self

    def set_dim(self, dim: Any) -> _Tensor:
        self.dim = dim
        return self

    def set_stride(self, stride: Any) -> _Tensor:
        self.stride = stride
        return self

    def set_data_type(self, kind: str) -> _Tensor:
        self.kind = kind
        return self

    def of(self, pointers: Mapping[int, int]) -> Any:
        address = pointers[self.uid]
        assert address % self.aligned == 0
        return at(address, self.dim, self.stride, numpy_of(KINDS[self.kind]))


class FrontEnd:
    """In place of the module ``cudnn``.

    Attributes:
        queued: (name of the operation, index of the plan or -1), in order.
        refuses: names of operations that there are no plans for.
        graphs: (name, notes that are not wanted) of each graph that was planned.
        streams: what the handle was set to.
        workspace: bytes that a plan needs.
    """

    data_type = heur_mode = numerical_note = build_plan_policy = diagonal_alignment = _Words()

    class cudnnGraphNotSupportedError(Exception):
        pass

    def __init__(self, refuses: frozenset[str] = frozenset()) -> None:
        self.refuses = refuses
        self.queued: list[tuple[str, int]] = []
        self.graphs: list[tuple[str, tuple[str, ...]]] = []
        self.streams: list[int] = []
        self.workspace = 256

    def create_handle(self) -> int:
        return 12

    def set_stream(self, handle: int, stream: int) -> None:
        assert handle == 12
        self.streams.append(stream)

    def pygraph(self, **kinds: Any) -> _Graph:
        assert kinds["handle"] == 12
        return _Graph(self)


class _Graph:
    def __init__(self, library: FrontEnd) -> None:
        self.library = library
        self.notes: tuple[str, ...] = ()
        self.name = ""

    def tensor(self, dim: Any, stride: Any, data_type: str, name: str) -> _Tensor:
        return _Tensor(dim, stride, data_type)

    def _convolution(self, name: str, record: str, inputs: list[_Tensor], options: Any) -> Any:
        made = _Tensor()
        assert options["pre_padding"] == options["post_padding"]

        def run(pointers: Mapping[int, int]) -> None:
            given = [t.of(pointers).astype(np.float64) for t in inputs]
            out = made.of(pointers)
            shapes = {"grad_input": {"input_shape": out.shape},
                      "grad_weight": {"weight_shape": out.shape}}  # fmt: skip
            more = shapes.get(record.removeprefix("conv_"), {})
            across = {"conv": (0, 1), "conv_grad_input": (None, 1), "conv_grad_weight": (1, None)}
            image, weight = across[record]
            channels = out.shape[1] if image is None else given[image].shape[1]
            of_weight = out.shape[1] if weight is None else given[weight].shape[1]
            result = REGISTRY[record].reference(
                *given, stride=options["stride"], padding=options["pre_padding"],
                dilation=options["dilation"], groups=channels // of_weight, **more,
            )  # fmt: skip
            out[...] = result.astype(out.dtype)

        self.name, self.run = name, run
        return made

    def conv_fprop(self, image: Any, weight: Any, **options: Any) -> Any:
        return self._convolution("conv_fprop", "conv", [image, weight], options)

    def bias(self, input: _Tensor, bias: _Tensor) -> Any:
        made, before = _Tensor(), self.run
        self.name = f"{self.name} with bias"

        def run(pointers: Mapping[int, int]) -> None:
            out = made.of(pointers)
            input.dim, input.stride, input.kind = made.dim, made.stride, made.kind
            input.aligned = made.aligned
            before({**pointers, input.uid: pointers[made.uid]})
            out[...] = (out.astype(np.float64) + bias.of(pointers)).astype(out.dtype)

        self.run = run
        return made

    def conv_dgrad(self, loss: Any, filter: Any, **options: Any) -> Any:
        return self._convolution("conv_dgrad", "conv_grad_input", [loss, filter], options)

    def conv_wgrad(self, image: Any, loss: Any, **options: Any) -> Any:
        return self._convolution("conv_wgrad", "conv_grad_weight", [loss, image], options)

    @staticmethod
    def _scores(q: Any, k: Any, attn_scale: float, bound: int | None) -> Any:
        scores = q @ k.swapaxes(-1, -2) * attn_scale
        if bound == 0:
            scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
        return scores

    def sdpa(
        self, q: Any, k: Any, v: Any, *, generate_stats: bool, attn_scale: float,
        diagonal_alignment: str = "TOP_LEFT", diagonal_band_right_bound: int | None = None,
    ) -> Any:  # fmt: skip
        assert generate_stats
        assert diagonal_alignment == "TOP_LEFT"
        out, stats = _Tensor(), _Tensor()

        def run(pointers: Mapping[int, int]) -> None:
            x, y, z = (t.of(pointers).astype(np.float64) for t in (q, k, v))
            scores = self._scores(x, y, attn_scale, diagonal_band_right_bound)
            sums = np.log(np.exp(scores).sum(-1, keepdims=True))
            target = out.of(pointers)
            target[...] = (np.exp(scores - sums) @ z).astype(target.dtype)
            stats.of(pointers)[...] = sums

        self.name, self.run = "sdpa", run
        return out, stats

    def sdpa_backward(
        self, q: Any, k: Any, v: Any, o: Any, dO: Any, stats: Any, *,
        attn_scale: float, use_deterministic_algorithm: bool,
        diagonal_alignment: str = "TOP_LEFT", diagonal_band_right_bound: int | None = None,
    ) -> Any:  # fmt: skip
        outs = [_Tensor() for _ in range(3)]

        def run(pointers: Mapping[int, int]) -> None:
            x, y, z, made, grad, sums = (
                t.of(pointers).astype(np.float64) for t in (q, k, v, o, dO, stats)
            )
            p = np.exp(self._scores(x, y, attn_scale, diagonal_band_right_bound) - sums)
            delta = (grad * made).sum(-1, keepdims=True)
            slope = p * (grad @ z.swapaxes(-1, -2) - delta) * attn_scale
            results = (slope @ y, slope.swapaxes(-1, -2) @ x, p.swapaxes(-1, -2) @ grad)
            for tensor, result in zip(outs, results, strict=True):
                target = tensor.of(pointers)
                target[...] = result.astype(target.dtype)

        self.name, self.run = "sdpa_backward", run
        return outs

    def validate(self) -> None:
        if self.name in self.library.refuses:
            raise self.library.cudnnGraphNotSupportedError(f"no plan for {self.name}")

    def build_operation_graph(self) -> None:
        """Nothing to do, as in all of these."""

    def create_execution_plans(self, modes: list[str]) -> None:
        assert modes == ["A", "FALLBACK"]

    def deselect_numeric_notes(self, notes: list[str]) -> None:
        self.notes = tuple(notes)

    def deselect_workspace_greater_than(self, nbytes: int) -> None:
        pass

    def check_support(self) -> None:
        pass

    def build_plans(self, policy: str) -> None:
        self.library.graphs.append((self.name, self.notes))

    def get_workspace_size(self) -> int:
        return self.library.workspace

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        return 128

    def get_execution_plan_count(self) -> int:
        return 3

    def build_plan_at_index(self, index: int) -> None:
        if index == 1:
            raise RuntimeError("this plan cannot be built")

    def _execute(self, pointers: Mapping[int, int], workspace: int, handle: int) -> None:
        self._execute_plan_at_index(pointers, workspace, -1, handle)

    def _execute_plan_at_index(
        self, pointers: Mapping[int, int], workspace: int, index: int, handle: int
    ) -> None:
        assert workspace
        assert handle == 12
        self.run(pointers)
        self.library.queued.append((self.name, index))
