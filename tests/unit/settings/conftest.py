"""Fleet files for the tests of settings."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "data" / "fleet"


@pytest.fixture
def valid_text() -> str:
    """The text of the small valid fleet file that the bad ones differ from in one place each."""
    return (DATA / "valid.yaml").read_text(encoding="utf-8")
