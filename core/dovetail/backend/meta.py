"""The device without data: shapes and dtypes only, for shape inference."""

from __future__ import annotations

from typing import Any

from dovetail.backend.api import Backend, DeviceInfo, Kernel, KernelTable, Runtime, Shape
from dovetail.dtypes import dtype
from dovetail.ops.schema import REGISTRY

__all__ = ["MetaRuntime", "backend"]


def _nothing(*arrays: Any, **attributes: Any) -> None:
    """Every kernel of this device."""


def _needs_data(*arrays: Any, **attributes: Any) -> None:
    raise NotImplementedError(
        "the shape of this result depends on data, and a meta tensor has none; move it to a device"
    )


class _Table(KernelTable):
    """A kernel that does nothing, for every operator that has a shape rule of its own."""

    def entries(self, name: str) -> tuple[Kernel, ...]:
        op = REGISTRY.get(name)
        if op is None or (op.infer is None and op.kind != "storage"):
            return ()
        return (Kernel(_needs_data if op.needs_data else _nothing, broadcasts=True, scalars=True),)


class MetaRuntime(Runtime):
    """Memory that is none, with a kernel that does nothing for what has a rule of its own."""

    caching = False

    def count(self) -> int:
        return 1

    def info(self, index: int) -> DeviceInfo:
        return DeviceInfo("shapes and dtypes, no data", memory_total=0)

    def alloc(self, nbytes: int, index: int) -> Any:
        return None

    def free(self, buffer: Any) -> None:
        pass

    def h2d(self, buffer: Any, offset: int, source: memoryview) -> None:
        pass

    def d2h(self, target: memoryview, buffer: Any, offset: int) -> None:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    def view(self, buffer: Any, offset: int, shape: Shape, strides: Shape, dtype: dtype) -> Any:
        return None

    def synchronize(self, index: int) -> None:
        pass

    def kernels(self) -> KernelTable:
        return _Table()


backend = Backend(MetaRuntime())
