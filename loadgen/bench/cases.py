"""What is measured: the kinds of requests, how they come, and how many of them."""

from __future__ import annotations

from dataclasses import dataclass

ALIAS = "auto"
CONCRETE_MODEL = "llama-3.1-8b"
SMALL_BYTES = 2048
LARGE_BYTES = 512 * 1024
AIM_CPU_RATIO = 1.5
"""Most CPU of a decision over the no-op service's, of small bodies without traces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of load.

    Attributes:
        body_bytes: Size of a request's body.
        model: Model asked for; an alias makes the service rewrite the body.
        sample_ratio: Share of requests whose trace is recorded: 0 or 1.
        requests_per_round: Of each arm.
        per_second: Arrival rate of an open loop; None for a closed loop.
        has_aim: True for the case that the aim is stated for.
    """

    body_bytes: int
    model: str
    sample_ratio: float
    requests_per_round: int
    per_second: float | None = None
    has_aim: bool = False

    @property
    def label(self) -> str:
        """The case in a few words."""
        size = f"{self.body_bytes // 1024} KB"
        model = "model rewritten" if self.model == ALIAS else "body untouched"
        traced = ", traced" if self.sample_ratio else ""
        paced = f", {self.per_second:g}/s" if self.per_second else ""
        return f"{size}, {model}{traced}{paced}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: Times that every arm is measured in every case.
        cases: The cases of one round.
        warm_up_rounds: Rounds before the first one that counts.
        background_seconds: How long the arms are watched without requests.
    """

    rounds: int
    cases: tuple[Case, ...]
    warm_up_rounds: int = 1
    background_seconds: float = 3.0


def extent(*, quick: bool) -> Extent:
    """Choose the extent: some two minutes on two cores, or less than one."""
    small, large, paced = (120, 12, 40) if quick else (300, 30, 60)
    return Extent(
        rounds=4 if quick else 10,
        cases=(
            Case(
                body_bytes=SMALL_BYTES,
                model=ALIAS,
                sample_ratio=0.0,
                requests_per_round=small,
                has_aim=True,
            ),
            Case(body_bytes=SMALL_BYTES, model=CONCRETE_MODEL, sample_ratio=0.0, requests_per_round=small),
            Case(body_bytes=SMALL_BYTES, model=ALIAS, sample_ratio=1.0, requests_per_round=small),
            Case(
                body_bytes=SMALL_BYTES,
                model=ALIAS,
                sample_ratio=0.0,
                requests_per_round=paced,
                per_second=100.0,
            ),
            Case(body_bytes=LARGE_BYTES, model=ALIAS, sample_ratio=0.0, requests_per_round=large),
            Case(body_bytes=LARGE_BYTES, model=CONCRETE_MODEL, sample_ratio=0.0, requests_per_round=large),
            Case(body_bytes=LARGE_BYTES, model=ALIAS, sample_ratio=1.0, requests_per_round=large),
        ),
    )
