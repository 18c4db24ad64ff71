from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from extproc.explain.asked import Asked
from extproc.explain.examples import FLEET
from extproc.explain.world import World
from extproc.settings import Settings
from extproc.settings.load import parse_settings


@pytest.fixture
def settings() -> Settings:
    """Models of 3B, 8B and 32B under `first_correct`; 8B and 32B in a long pool besides; one instance drains."""
    return parse_settings(FLEET, Path("fleet.yaml"))


@pytest.fixture
def make_world(settings: Settings) -> Callable[..., World]:
    """A chat request; what is no circumstance of it goes into its body."""

    def make(policy: str = "first_correct", **changes: Any) -> World:
        edited = parse_settings(FLEET.replace("{name: first_correct}", f"{{name: {policy}}}"), Path("f"))
        known = {key: changes.pop(key) for key in ("headers", "failed", "load", "suspects") if key in changes}
        body = {"model": "auto", "messages": [{"role": "user", "content": "Which is the largest moon?"}]}
        return World(settings=edited, asked=Asked(body=orjson.dumps({**body, **changes}), **known))

    return make
