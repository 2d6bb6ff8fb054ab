"""oneDNN without a compiler: its C interface through ctypes, on plain NumPy arrays.

Optional. ``status()`` says whether it is in use and why not; every kernel of the cpu backend
that uses it also has a NumPy form.
"""

from dovetail_cpu.onednn.library import Status, status

__all__ = ["Status", "status"]
