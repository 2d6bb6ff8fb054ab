"""dovetail on the CPU: NumPy arrays in host memory, NumPy's and oneDNN's kernels."""

from __future__ import annotations

from dovetail.backend import Backend, hookimpl

__all__ = ["Plugin", "plugin"]


class Plugin:
    """The plugin that the entry point names."""

    @hookimpl
    def dovetail_backend(self) -> Backend:
        """The cpu backend."""
        import numpy

        from dovetail_cpu.runtime import CpuRuntime

        return Backend(CpuRuntime(), version=f"NumPy {numpy.__version__}")


plugin = Plugin()
