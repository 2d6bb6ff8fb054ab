"""What a test may do without: packages that ``pip install -e ".[test]"`` does not bring."""

from __future__ import annotations

import importlib.util
import re

__all__ = ["COMMANDS", "imported", "without"]

COMMANDS = {
    "torch": 'pip install -e ".[parity]"',
    "pyopencl": 'pip install -e ".[opencl]"',
    "mypy": 'pip install -e ".[dev]"',
    "dovetail_loopback": "pip install --no-deps -e plugins/loopback",
    "dovetail_dlp": "pip install --no-deps -e plugins/dlp",
}
"""Package -> the command that brings it, in a clone of the repository."""


def without(name: str) -> str:
    """Why a test is skipped that needs this package; empty where it is installed."""
    if importlib.util.find_spec(name):
        return ""
    return f"{name} is not installed: {COMMANDS[name]}"


def imported(program: str) -> list[str]:
    """Which of the packages the text of a program imports."""
    found = re.findall(r"^\s*(?:import|from) (\w+)", program, re.MULTILINE)
    return [name for name in COMMANDS if name in found]
