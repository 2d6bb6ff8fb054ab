"""What must come is the same for every device: one run may keep it on disk for the next.

``DOVETAIL_CONFORMANCE_KEPT`` names the folder; without it nothing is kept. An entry is named by
what it answers and by the code of the core and of this suite. Operators of plugins are not in that
name, so a folder is for plugins that stay as they are: CI begins with an empty one.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import dovetail

__all__ = ["VARIABLE", "kept"]

VARIABLE = "DOVETAIL_CONFORMANCE_KEPT"


def kept(make: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its results on disk: they can be pickled, its arguments have a ``repr``."""

    @functools.wraps(make)
    def found(*arguments: Any) -> Any:
        folder = os.environ.get(VARIABLE)
        if not folder:
            return make(*arguments)
        asked = "\0".join((_code(), make.__module__, make.__qualname__, repr(arguments)))
        path = Path(folder) / hashlib.sha256(asked.encode()).hexdigest()
        try:
            return pickle.loads(path.read_bytes())
        except FileNotFoundError:
            made = make(*arguments)
        # Another process may be at the same: an entry has its name when it is whole.
        partial = path.with_suffix(f".{os.getpid()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(pickle.dumps(made, protocol=5))
        partial.replace(path)
        return made

    return found


@functools.cache
def _code() -> str:
    """A hash of the core, of this suite and of NumPy's version."""
    digest = hashlib.sha256(np.__version__.encode())
    for file in (dovetail.__file__, __file__):
        for path in sorted(Path(str(file)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
