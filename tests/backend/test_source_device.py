"""A device whose elementwise kernels all come from the table, through the public contract."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import COMPILER, Launch, compiled_source, view_of

import dovetail as dt
from dovetail.backend import (
    C99,
    EXPRESSIONS,
    Backend,
    DeviceInfo,
    Expression,
    KernelTable,
    Runtime,
    StridedView,
    broadcast,
    composable,
    composed,
    elementwise_source,
    registry,
)

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler here")


class SourceRuntime(Runtime):
    """Raw buffers, arrays that are StridedViews, kernels compiled when they are first called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.libraries: dict[str, ctypes.CDLL] = {}

    def count(self) -> int:
        return 1

    def info(self, index: int) -> DeviceInfo:
        return DeviceInfo("C compiled on demand")

    def alloc(self, nbytes: int, index: int) -> Any:
        return np.full(nbytes, 0xA5, np.uint8)

    def free(self, buffer: Any) -> None:
        pass

    def h2d(self, buffer: Any, offset: int, source: memoryview) -> None:
        buffer[offset : offset + len(source)] = source

    def d2h(self, target: memoryview, buffer: Any, offset: int) -> None:
        target[:] = buffer[offset : offset + len(target)].data

    def view(self, buffer: Any, offset: int, shape: Any, strides: Any, dtype: Any) -> Any:
        return StridedView(buffer, offset, shape, strides, dtype)

    def synchronize(self, index: int) -> None:
        pass

    def kernels(self) -> KernelTable:
        table = KernelTable()
        for name, expression in EXPRESSIONS.items():
            if not name.startswith("gelu"):  # whose attribute is a word
                table.add(name, self.kernel(name, expression), dtypes=expression.dtypes)
        for name in composable():
            table.add(name, self.composed, when=lambda f: bool(composed(f)), specialize=True)
        return table

    def composed(self, facts: Any) -> Any:
        expression = composed(facts)
        assert expression is not None
        (name,) = expression.helpers
        return self.kernel(name, expression)

    def kernel(self, name: str, expression: Any) -> Any:
        def launch(*views: StridedView, **attributes: Any) -> None:
            *inputs, out = views
            if out.numel:
                numbers = [attributes[p] for p in expression.parameters]
                call = _Call(name, broadcast(out, *inputs), numbers)
                call.run(self.library_of(call, expression))

        return launch

    def library_of(self, call: Launch, expression: Expression) -> ctypes.CDLL:
        name, kinds, out, form, _ = call.request
        source = elementwise_source(name, kinds, out, form, C99, expression)
        if source not in self.libraries:
            folder = self.folder / str(len(self.libraries))
            folder.mkdir()
            self.libraries[source] = compiled_source(source, folder)
        return self.libraries[source]


class _Call(Launch):
    def __init__(self, name: str, views: Any, parameters: Any) -> None:
        from dovetail.backend import form_of

        self.name, self.views, self.parameters = name, list(views), parameters
        self.form, self.integers = form_of(*self.views)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SourceRuntime]:
    runtime = SourceRuntime(tmp_path)
    registry.register("source", Backend(runtime))
    yield runtime
    registry.unregister("source")


def test_elementwise_programs(source: SourceRuntime) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4)), rng.normal(size=(4, 6))

    def program(device: str) -> list[Any]:
        a = dt.tensor(x, device=device)
        b = dt.tensor(y, dtype=dt.float32, device=device)
        c = (a + b.t()[:, ::1]).exp() * a[1:2] - 2.5
        c[::2, 1:] += 1
        d = dt.where(c > 0, c, a.bfloat16().double())
        e = (d.int() // 3) ** 2 % 5
        f = dt.nn.functional.leaky_relu(d, 0.25).sigmoid() / (e + 1)
        return [t.cpu().numpy() for t in (c, d, e, f, f.to(dt.float16), a.t() + b, c.isnan())]

    made, expected = program("source:0"), program("cpu")
    for one, other in zip(made, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert source.libraries, "no kernel was compiled"


def test_one_kernel_serves_every_shape_of_a_form(source: SourceRuntime) -> None:
    for shape in ((3,), (4, 5), (2, 3, 4)):
        dt.ones(shape, device="source") + dt.ones(shape, device="source")
    adds = [text for text in source.libraries if "void add_" in text]
    assert len(adds) == 1


def test_gradients(source: SourceRuntime) -> None:
    x = dt.tensor([0.5, -1.0, 2.0], device="source", requires_grad=True)
    (x.tanh() * x.sigmoid()).backward(dt.ones(3, device="source"))
    z = np.array([0.5, -1.0, 2.0])
    gate = 1 / (1 + np.exp(-z))
    slope = (1 - np.tanh(z) ** 2) * gate + np.tanh(z) * gate * (1 - gate)
    np.testing.assert_allclose(x.grad.cpu().numpy(), slope, rtol=1e-6)


def test_view_of_finds_the_whole_buffer() -> None:
    assert view_of(np.zeros((4, 4))[1:, ::2]).element_offset == 4
