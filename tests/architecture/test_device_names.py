"""The core names no device but its own ``cpu`` and ``meta``."""

from __future__ import annotations

import re

from house import CORE, code_words, files, tree_of

DEVICE = re.compile(r"(?<![a-z])(cuda|opencl|dlp)(?![a-z])", re.IGNORECASE)

# PyTorch's own names, which only ask the registry: (file under core/dovetail, word).
CONVENIENCES = {
    ("backend/discovery.py", "cuda"),
    ("backends/__init__.py", "cuda"),
    ("cli/doctor.py", "CUDA_VISIBLE_DEVICES"),
    ("device.py", "cuda"),
    ("device_graphs.py", "cuda_graph"),
    ("facts.py", "cuda"),
    ("interop.py", "_cuda"),
    ("interop.py", "_is_cuda"),
    ("interop.py", "cuda"),
    ("interop.py", "is_cuda"),
    ("nn/conversion.py", "cuda"),
    ("nn/module.py", "cuda"),
    ("nn/utils/rnn.py", "cuda"),
    ("nn/utils/rnn.py", "is_cuda"),
    ("version.py", "cuda"),
}


def test_core_code_names_no_device() -> None:
    found = {
        (path.relative_to(CORE).as_posix(), word)
        for path in files("core")
        for word in code_words(tree_of(path))
        if DEVICE.search(word)
    }
    assert sorted(found - CONVENIENCES) == []
    assert sorted(CONVENIENCES - found) == [], "the list of conveniences is stale"
