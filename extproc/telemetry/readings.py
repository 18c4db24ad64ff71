"""Metrics that are read when the page is made instead of being counted as things happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from extproc.telemetry.prometheus import render_reading


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReading:
    """What the load book knows of one instance at the moment of a scrape.

    Attributes:
        address: `ip:port`.
        cluster: Cluster that it belongs to.
        sequences_in_flight: Sequences charged to it.
        scrape_age_seconds: Since its own metrics were last read; None when they never were.
        is_usable: False while it is draining.
        is_suspect: True while it is the last resort, for it failed lately or refuses connections.
    """

    address: str
    cluster: str
    sequences_in_flight: float
    scrape_age_seconds: float | None
    is_usable: bool
    is_suspect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityModelReading:
    """Which quality model is in use.

    Attributes:
        fit_id: Tells one fit from another; empty while none is used.
        models: Models that it knows.
        lessons_lost: Judged answers that could not be kept for the next fit.
        reads_words: Whether words bear on its chances.
    """

    fit_id: str = ""
    models: int = 0
    reads_words: bool = False
    lessons_lost: int = 0


_GAUGES: tuple[tuple[str, str, Callable[[InstanceReading], float | None]], ...] = (
    ("ttca_in_flight_sequences", "Sequences charged to an instance.", lambda r: r.sequences_in_flight),
    (
        "ttca_scrape_age_seconds",
        "Since an instance's own metrics were last read; absent when they never were.",
        lambda r: r.scrape_age_seconds,
    ),
    (
        "ttca_instance_usable",
        "1 while an instance gets new requests, 0 while it is draining.",
        lambda r: float(r.is_usable),
    ),
    (
        "ttca_instance_suspect",
        "1 while an instance is asked last, for it failed lately or refuses connections.",
        lambda r: float(r.is_suspect),
    ),
)


def render_instances(readings: Sequence[InstanceReading]) -> Iterator[str]:
    """Yield the lines of every gauge with one series per instance; an unknown figure has no series."""
    for name, about, read in _GAUGES:
        known: dict[tuple[str, ...], float] = {
            (reading.address, reading.cluster): value
            for reading in readings
            if (value := read(reading)) is not None
        }
        yield from render_reading(name, "gauge", about, ("address", "cluster"), known)


def render_quality_model(reading: QualityModelReading) -> Iterator[str]:
    """Yield the lines that name the quality model in use."""
    yield from render_reading(
        "ttca_quality_model_info",
        "gauge",
        "The quality model in use, and how many models it knows; fit none: chances start from priors.",
        ("fit", "words"),
        {(reading.fit_id or "none", str(reading.reads_words).lower()): reading.models},
    )
    yield from render_reading(
        "ttca_outcome_log_lost_total",
        "counter",
        "Judged answers that could not be written to quality.outcome_log.",
        (),
        {(): reading.lessons_lost},
    )
