"""Neural style transfer: one picture's content in another's style (the course's driving example).

Read the modules in the order of the data: :mod:`~dovetail.style.pictures` (pictures in and out),
:mod:`~dovetail.style.network` (VGG19, its weights, and a small one that trains itself),
:mod:`~dovetail.style.losses` (content, style, and the network with both inserted) and
:mod:`~dovetail.style.transfer` (LBFGS on the picture). ``dovetail style`` joins them.

Source: L. Gatys, A. Ecker and M. Bethge, "Image style transfer using convolutional neural
networks", CVPR 2016.
"""

from __future__ import annotations

__all__ = ["StyleError"]


class StyleError(Exception):
    """Something the person can mend; the message is one sentence that says what."""
