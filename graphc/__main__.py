"""``python -m graphc``: the command line, where the script ``graphc`` is not on PATH."""

from __future__ import annotations

import sys

from graphc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
