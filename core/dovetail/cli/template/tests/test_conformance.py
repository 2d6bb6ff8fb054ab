"""The device reaches level 4: memory, primitives, composites, gradients and training are right."""

import dovetail_conformance


def test_level_4() -> None:
    report = dovetail_conformance.grade("template:0", level=4)
    assert report.level >= 4, report.text()
