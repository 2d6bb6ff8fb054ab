"""Lets assertions in the helper module print what they compared."""

import pytest

pytest.register_assert_rewrite("fixed_point_reference")
