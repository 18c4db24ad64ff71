"""Loads what needs the extra `fit`, or says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

_LIBRARIES: Final = ("sklearn", "scipy", "threadpoolctl")


class MissingExtraError(Exception):
    """A library of the extra is not installed; the text says how to install it."""


def load_command() -> ModuleType:
    """Import `extproc.fit.command`.

    Raises:
        MissingExtraError: scikit-learn, scipy or threadpoolctl is not installed.
    """
    try:
        return importlib.import_module("extproc.fit.command")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _LIBRARIES:
            raise
        raise MissingExtraError(
            f"{error.name} is not installed; fitting needs it: pip install 'ttca-router[fit]'"
        ) from error
