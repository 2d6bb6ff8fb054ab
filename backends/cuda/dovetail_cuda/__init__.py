"""dovetail on CUDA: NVIDIA GPUs, through CuPy."""

from __future__ import annotations

from dovetail.backend import Backend, hookimpl

__all__ = ["Plugin", "plugin"]


class Plugin:
    """The plugin that the entry point names."""

    @hookimpl
    def dovetail_backend(self) -> Backend:
        """The cuda backend."""
        from dovetail_cuda.doctor import doctor
        from dovetail_cuda.runtime import CUDARuntime

        return Backend(CUDARuntime(), version=_version(), contract=(1, 6), doctor=doctor)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    for name in ("cupy-cuda13x", "cupy-cuda12x", "cupy"):
        try:
            return f"CuPy {version(name)}"
        except PackageNotFoundError:
            continue
    return "CuPy is not installed"


plugin = Plugin()
