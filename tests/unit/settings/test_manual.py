from __future__ import annotations

from pathlib import Path

from extproc.settings.expectation import settings_schema
from extproc.settings.manual import manual

ROOT = Path(__file__).parents[3]


def test_the_committed_manual_is_the_one_that_the_models_make() -> None:
    """`python -m extproc.settings.manual > docs/fleet-file.md` writes it again."""
    assert manual() == (ROOT / "docs" / "fleet-file.md").read_text(encoding="utf-8")


def test_the_manual_names_every_field() -> None:
    """Nothing that the file may hold is left out."""
    text = manual()
    fields = [name for schema in settings_schema()["$defs"].values() for name in schema.get("properties", ())]

    assert [] == [name for name in fields if f"| `{name}` |" not in text]
