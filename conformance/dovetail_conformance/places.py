"""Where an exception came from, with the suite's own frames cut from the top."""

from __future__ import annotations

import os
from types import TracebackType

__all__ = ["where_in_suite"]

_HOME = os.path.dirname(os.path.abspath(__file__)) + os.sep


def where_in_suite(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the suite's innermost frame on: what an author needs to see of it."""
    innermost = step = trace
    while step is not None:
        if step.tb_frame.f_code.co_filename.startswith(_HOME):
            innermost = step
        step = step.tb_next
    return innermost
