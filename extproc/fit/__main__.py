"""`python -m extproc.fit fit|eval`: fits a quality model, or holds estimators against published outcomes."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit status 1 when it cannot be done, for want of the extra `fit` too."""
    try:
        from extproc.fit.command import run
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error.name} is not installed; fitting needs it: pip install 'ttca-router[fit]'\n")
        return 1
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
