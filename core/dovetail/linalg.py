"""Linear algebra with PyTorch's names: ``torch.linalg``.

Factorizations are kernels that a device may have; where it has none, they run on the host as the
policy ``DOVETAIL_FALLBACK`` says. Everything else is made of them.

Example:
    >>> import dovetail as dt
    >>> dt.linalg.det(dt.tensor([[2.0, 0.0], [1.0, 3.0]]))
    tensor(6.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail import ops as _ops  # noqa: F401 (makes the functions)
from dovetail.autocast_rules import cover
from dovetail.errors import LinAlgError
from dovetail.ops.linear_algebra.matrices import LINALG

__all__ = ["LinAlgError", *LINALG]

globals().update(LINALG)
cover(globals(), "linalg.")

if not TYPE_CHECKING:  # a checker knows the names that there are

    def __getattr__(name: str) -> Any:
        from dovetail.near_names import AbsentName

        raise AbsentName(__name__, name)
