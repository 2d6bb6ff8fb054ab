"""``python -m dovetail_conformance``."""

import sys

from dovetail_conformance.command import main

if __name__ == "__main__":
    sys.exit(main())
