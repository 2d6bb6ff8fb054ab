"""Tools around training: ``data`` loads it, ``checkpoint`` saves memory, ``hooks`` has handles.

``dlpack`` exchanges tensors with other libraries.
"""

from dovetail.utils import checkpoint, data, dlpack, hooks

__all__ = ["checkpoint", "data", "dlpack", "hooks"]
