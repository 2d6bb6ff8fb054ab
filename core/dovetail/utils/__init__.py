"""Tools around training: ``utils.data`` loads data, ``utils.hooks`` holds hook handles."""

from dovetail.utils import data, hooks

__all__ = ["data", "hooks"]
