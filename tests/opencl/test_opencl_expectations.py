"""What the suite expects to fail on OpenCL devices."""

from __future__ import annotations

from pathlib import Path

import dovetail_opencl
from dovetail_conformance.expectations import Expectations, find_file


def test_the_file_is_found_and_nothing_is_expected_to_fail() -> None:
    path = find_file("opencl:0")
    assert path is not None
    assert path.parent.parent == Path(dovetail_opencl.__file__).parent
    assert Expectations.read(path).entries == ()
