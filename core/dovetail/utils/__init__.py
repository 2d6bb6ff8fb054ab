"""Tools around training: ``data`` loads it, ``checkpoint`` saves memory, ``hooks`` has handles."""

from dovetail.utils import checkpoint, data, hooks

__all__ = ["checkpoint", "data", "hooks"]
