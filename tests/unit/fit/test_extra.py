from __future__ import annotations

import sys

import pytest

from extproc.fit.extra import MissingExtraError, load_command


@pytest.mark.parametrize("library", ["sklearn", "scipy", "threadpoolctl"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Without one of its libraries the program says what to install."""
    for name in list(sys.modules):
        if name.startswith("extproc.fit.") and name != "extproc.fit.extra":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"ttca-router\[fit\]"):
        load_command()


def test_another_missing_module_is_a_mistake_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not blamed on the extra."""
    monkeypatch.delitem(sys.modules, "extproc.fit.command", raising=False)
    monkeypatch.setitem(sys.modules, "extproc.fit.engine", None)
    with pytest.raises(ModuleNotFoundError):
        load_command()


def test_with_the_extra_the_commands_are_there() -> None:
    """What the command line calls exists."""
    command = load_command()
    assert callable(command.fit)
    assert callable(command.evaluate)
