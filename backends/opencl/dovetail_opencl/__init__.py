"""dovetail on OpenCL: any GPU, accelerator or CPU with a driver of OpenCL 1.2 or later."""

from __future__ import annotations

from dovetail.backend import Backend, hookimpl

__all__ = ["Plugin", "plugin"]


class Plugin:
    """The plugin that the entry point names."""

    @hookimpl
    def dovetail_backend(self) -> Backend:
        """The opencl backend."""
        from dovetail_opencl.doctor import doctor
        from dovetail_opencl.runtime import OpenCLRuntime

        return Backend(OpenCLRuntime(), version=_version(), contract=(1, 6), doctor=doctor)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"PyOpenCL {version('pyopencl')}"
    except PackageNotFoundError:
        return ""


plugin = Plugin()
