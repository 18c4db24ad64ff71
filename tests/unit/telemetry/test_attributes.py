from __future__ import annotations

import importlib
import pkgutil

import opentelemetry.semconv._incubating.attributes
import opentelemetry.semconv.attributes

from extproc.telemetry import attributes


def _conventional_names() -> set[str]:
    names: set[str] = set()
    for package in (opentelemetry.semconv.attributes, opentelemetry.semconv._incubating.attributes):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            names.update(
                value
                for value in vars(importlib.import_module(module.name)).values()
                if isinstance(value, str)
            )
    return names


def test_foreign_names_are_semantic_conventions() -> None:
    """Every attribute that is not ours has a name of the installed semantic conventions."""
    ours_aside = {
        value
        for name, value in vars(attributes).items()
        if name.isupper() and isinstance(value, str) and not value.startswith("ttca.")
    }

    assert set() == ours_aside - _conventional_names()


def test_names_are_distinct() -> None:
    """No two attributes share a name."""
    values = [value for name, value in vars(attributes).items() if name.isupper()]

    assert len(values) == len(set(values))
