"""What each thread has switched on: recording, inference mode, autocast, transforms of functions.

The switches themselves are elsewhere (``grad_mode``, ``amp``, ``func``); this is what calls read.
"""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["mode"]


class _Mode(threading.local):
    grad = True
    asked = True  # as the user's contexts have it; the engine and decompositions change only grad
    inference = False
    autocast: Any = None  # dtype by kind of device where autocast is on; see autocast_rules.py
    autocast_casts: Any = None  # parameters cast in the running block
    unseen = False  # calls that are nobody's: see composed.py
    maps: tuple[Any, ...] = ()  # the running vmaps, the outermost first; see func/levels.py


mode = _Mode()
