"""PoCL's threads: each on a core of its own, where it has one for every core there is."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

THREADS = """
import os
from pathlib import Path
{before}
from dovetail_opencl.discovery import discover
old = {{int(task.name) for task in Path("/proc/self/task").iterdir()}}
assert discover().devices
new = {{int(task.name) for task in Path("/proc/self/task").iterdir()}} - old
print([sorted(os.sched_getaffinity(thread)) for thread in sorted(new)])
"""


@pytest.fixture
def cores_of_threads(queue: object, fresh: Callable[..., str]) -> Callable[..., list[list[int]]]:
    """The cores that each thread which PoCL starts in a process of its own may use."""
    name = queue.handle.platform.name  # type: ignore[attr-defined]
    if "Portable" not in name or not hasattr(os, "sched_getaffinity"):
        pytest.skip(f"{name} is not PoCL on Linux")

    def found(before: str = "", **environment: str) -> list[list[int]]:
        made: list[list[int]] = eval(fresh(THREADS.format(before=before), **environment))
        return made

    return found


def test_each_thread_has_a_core(cores_of_threads: Callable[..., list[list[int]]]) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) != os.cpu_count():
        pytest.skip("this process may not use all cores, and PoCL has a thread for each")
    assert cores_of_threads() == [[core] for core in cores]


def test_threads_are_left_where_they_are_not_as_many_as_cores(
    cores_of_threads: Callable[..., list[list[int]]],
) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core")
    assert cores_of_threads(POCL_MAX_PTHREAD_COUNT="1") == [cores]
    one = f"os.sched_setaffinity(0, {{{cores[-1]}}})"
    assert all(found == [cores[-1]] for found in cores_of_threads(one))


def test_the_drivers_own_variable_is_obeyed(
    cores_of_threads: Callable[..., list[list[int]]],
) -> None:
    cores = sorted(os.sched_getaffinity(0))
    assert all(found == cores for found in cores_of_threads(POCL_AFFINITY="0"))
