"""The service-level objective that a fleet is sized for."""

from __future__ import annotations

from dataclasses import dataclass

FORM = "ttft_p99=2s,tpot_p99=80ms"

_UNITS = {"ms": 1e-3, "s": 1.0}
_NAMES = {"ttft_p99": "ttft_seconds", "tpot_p99": "tpot_seconds"}


@dataclass(frozen=True, slots=True)
class Slo:
    """Limits that 99 of 100 requests must keep.

    Attributes:
        ttft_seconds: Time from the arrival to the first token, above 0.
        tpot_seconds: Mean time per output token after the first, above 0.
    """

    ttft_seconds: float = 2.0
    tpot_seconds: float = 0.08

    def __post_init__(self) -> None:
        for name in ("ttft_seconds", "tpot_seconds"):
            value: float = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be above 0, got {value}")


MISS_SHARE = 0.01
"""Share of the requests that may miss a limit: what P99 means."""


def parse_slo(text: str) -> Slo:
    """Read an objective such as `ttft_p99=2s,tpot_p99=80ms`; what is not named keeps its default.

    Raises:
        ValueError: With the part at fault and what was expected.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in _NAMES:
            raise ValueError(
                f"SLO {text!r}: {name!r} is not a limit, expected {' or '.join(_NAMES)}, as in {FORM}"
            )
        if _NAMES[name] in found:
            raise ValueError(f"SLO {text!r}: {name} is given twice")
        found[_NAMES[name]] = _seconds(value, text)
    return Slo(**found)


def _seconds(value: str, text: str) -> float:
    for unit, factor in _UNITS.items():
        number = value.removesuffix(unit)
        if number != value:
            try:
                seconds = float(number) * factor
            except ValueError:
                continue
            if 0 < seconds < float("inf"):
                return seconds
    raise ValueError(
        f"SLO {text!r}: {value!r} is not a time, expected a number above 0 with s or ms, as in {FORM}"
    )
