"""Figures as text."""

from __future__ import annotations

from loadgen.virtual.summary import Figure

NONE = "-"


def shown(figure: Figure | None, digits: int = 1, unit: str = "") -> str:
    """A figure with its interval, where it has one."""
    if figure is None:
        return NONE
    if figure.low == figure.high:
        return f"{figure.value:.{digits}f}{unit}"
    return f"{figure.value:.{digits}f}{unit} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"
