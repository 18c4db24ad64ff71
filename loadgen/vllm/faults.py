"""Faults that can be switched on while an instance runs."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong, on purpose.

    Attributes:
        error_rate: Share of generation requests that get `error_status`, 0 to 1.
        error_status: HTTP status of those, 400 to 599.
        extra_latency_seconds: Real seconds added before a request reaches the engine.
        hang_rate: Share of generation requests that are never answered, 0 to 1.
        disconnect_rate: Share of generation requests whose connection is reset without an answer, 0 to 1.
        break_rate: Share of generation requests whose connection is reset in the middle of a streamed answer, 0 to 1.
        engine_dead: True answers 500 to generation requests and 503 to `/health`, as vLLM with a dead engine.
    """

    error_rate: float = 0.0
    error_status: int = 500
    extra_latency_seconds: float = 0.0
    hang_rate: float = 0.0
    disconnect_rate: float = 0.0
    break_rate: float = 0.0
    engine_dead: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: With the field at fault.
        """
        for name in ("error_rate", "hang_rate", "disconnect_rate", "break_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if not 400 <= self.error_status <= 599:
            raise ValueError(f"error_status must be between 400 and 599, got {self.error_status}")
        if not 0.0 <= self.extra_latency_seconds <= 3600.0:
            raise ValueError(f"extra_latency_seconds must be 0 to 3600, got {self.extra_latency_seconds}")

    def changed(self, changes: dict[str, Any]) -> Self:
        """A copy with some fields replaced.

        Raises:
            ValueError: When a field is unknown, or has the wrong type or range.
        """
        kinds = {field.name: (bool if field.type == "bool" else (int, float)) for field in fields(self)}
        for name, value in changes.items():
            if name not in kinds:
                raise ValueError(f"unknown field {name!r}; known: {', '.join(kinds)}")
            if not isinstance(value, kinds[name]) or (isinstance(value, bool) and kinds[name] is not bool):
                raise ValueError(f"{name} has the wrong type: {value!r}")
        return replace(self, **changes)


class FaultDice:
    """Decides request by request, in order of arrival, from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def strikes(self, rate: float) -> bool:
        """True for a share `rate` of the calls; draws nothing at 0, so that unused faults shift no other."""
        return rate > 0.0 and self._random.random() < rate
