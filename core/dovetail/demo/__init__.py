"""The main job, end to end: a convolutional network trained on handwritten digits.

Read the modules in the order of the data: :mod:`~dovetail.demo.data` (images in),
:mod:`~dovetail.demo.network` (what is trained), :mod:`~dovetail.demo.training` (how),
:mod:`~dovetail.demo.checkpoint` (what survives an interruption) and
:mod:`~dovetail.demo.picture` (results out). ``dovetail demo`` joins them.

The packages of the ``demo`` extra are imported inside functions here, and nowhere else in
:mod:`dovetail`.
"""

from __future__ import annotations

__all__ = ["DemoError"]


class DemoError(Exception):
    """Something the person can mend; the message is one sentence that says what."""
