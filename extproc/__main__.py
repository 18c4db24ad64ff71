"""`python -m extproc` is the command `ttca`."""

from __future__ import annotations

from extproc.cli import main

if __name__ == "__main__":
    main()
