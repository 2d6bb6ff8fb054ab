"""What holds for all parity tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dovetail.fallback import permitted
from dovetail.ops.schema import REGISTRY


@pytest.fixture(autouse=True)
def optional_kernels() -> Iterator[None]:
    """A device need not have them; the host's serve without a warning."""
    with permitted(op.name for op in REGISTRY.values() if op.is_optional):
        yield
