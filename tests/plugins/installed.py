"""Throw-away plugins: real installed distributions, as importlib.metadata sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOOPBACK = ROOT / "plugins" / "loopback"

GOOD = """
from dovetail.backend import Backend, DeviceInfo, KernelTable, Runtime, hookimpl

class Host(Runtime):
    def count(self): return 1
    def info(self, index): return DeviceInfo("a test device")
    def alloc(self, nbytes, index): return bytearray(nbytes)
    def free(self, buffer): pass
    def h2d(self, buffer, offset, source): pass
    def d2h(self, target, buffer, offset): pass
    def view(self, buffer, offset, shape, strides, dtype): pass
    def synchronize(self, index): pass
    def kernels(self): return KernelTable(contract=(1, 0))

@hookimpl
def dovetail_backend():
    return Backend(Host(), "1.2", contract=(1, 0))
"""
"""The source of a plugin that works, for cases that spoil one thing in it."""


class Site:
    """A folder of installed distributions, and processes that see them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = [folder]

    def install(
        self,
        device: str,
        source: str = GOOD,
        *,
        module: str | None = None,
        distribution: str | None = None,
        version: str = "1.0",
        extras: tuple[str, ...] = (),
        group: str = "dovetail.backends",
        entry_points: str | None = None,
    ) -> None:
        """Write a module and the metadata that an installer would write."""
        module = module or f"dovetail_{device}"
        distribution = distribution or module.replace("_", "-")
        (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        points = entry_points or f"[{group}]\n{device} = {module}\n"
        (info / "entry_points.txt").write_text(points)

    def install_loopback(self) -> None:
        """The loopback plugin from this repository."""
        self.paths.append(LOOPBACK)
        info = self.folder / "dovetail_loopback-0.1.0.dist-info"
        info.mkdir()
        about = "Metadata-Version: 2.1\nName: dovetail-loopback\nVersion: 0.1.0\n"
        (info / "METADATA").write_text(about)
        points = "[dovetail.backends]\nloop = dovetail_loopback\n"
        (info / "entry_points.txt").write_text(points)

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these distributions installed; DOVETAIL_* only as given."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("DOVETAIL_")}
        given = env.get("PYTHONPATH", "")
        env["PYTHONPATH"] = os.pathsep.join([*map(str, self.paths), *filter(None, [given])])
        env.update(environ)
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env=env,
            cwd=self.folder,
            timeout=100,
        )

    def json(self, code: str, **environ: str) -> Any:
        """Run ``code``, which prints one JSON value; a warning or traceback fails the test."""
        done = self.run("-W", "error", "-c", code, **environ)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)

    def command(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``dovetail``."""
        return self.run("-m", "dovetail", *words, **environ)
