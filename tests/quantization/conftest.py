"""The same random numbers for every test, and helpers whose assertions print what they compared."""

import pytest

import dovetail as dt

pytest.register_assert_rewrite("quantized_pairs")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Layers start with the same weights at each run."""
    dt.manual_seed(0)
