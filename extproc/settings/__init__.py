"""The fleet file: one frozen tree, parsed whole, validated whole, swapped whole."""

from __future__ import annotations

from extproc.settings.load import load_settings
from extproc.settings.problems import Problem, SettingsError
from extproc.settings.schema import Settings

__all__ = ["Problem", "Settings", "SettingsError", "load_settings"]
