"""``python -m dovetail.torch SCRIPT [ARGUMENT…]`` runs a program that says ``import torch``.

Dovetail takes torch's place in that process; ``dovetail run`` is the same with a device to choose.
``-m MODULE`` runs a module.
"""

from __future__ import annotations

import sys

__all__: list[str] = []

if __name__ == "__main__":
    from dovetail.cli import main

    sys.exit(main(["run", *sys.argv[1:]]))
