"""What every section of the fleet file is: frozen, without unknown keys, each value of its own type."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A mapping of the fleet file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
