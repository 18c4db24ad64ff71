"""Counters, gauges and histograms in Prometheus' text format, with a bound on the series of each.

Text format: https://prometheus.io/docs/instrumenting/exposition_formats/. Adding to a series is one dictionary
access; all formatting is left to the scrape.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

OTHER = "other"
"""Label value that stands for all values beyond a bound."""


class LabelCap:
    """Lets the first `limit` distinct values of a label through and calls the rest `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return the value, or `other` when it comes too late."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value


class Counter:
    """A sum per combination of label values; beyond `max_series` combinations, all labels read `other`."""

    def __init__(
        self, name: str, about: str, labels: tuple[str, ...] = (), *, max_series: int = 1000
    ) -> None:
        self.name = name
        self._about = about
        self._labels = labels
        self._overflow = (OTHER,) * len(labels)
        self._max_series = max_series
        # A series without labels is there from the start, so that its rate can be taken from the first event.
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, *labels: str, amount: float = 1) -> None:
        """Add to the series of these label values, given in the order of the constructor's names."""
        key = labels
        if key not in self._values:
            if len(self._values) >= self._max_series:
                key = self._overflow
            self._values.setdefault(key, 0)
        self._values[key] += amount

    def render(self) -> Iterator[str]:
        """Yield the lines of the text format."""
        yield from _header(self.name, "counter", self._about)
        for key, value in self._values.items():
            yield _sample(self.name, self._labels, key, value)


class Histogram:
    """Counts by upper bound per combination of label values; bounded in series like `Counter`."""

    def __init__(
        self,
        name: str,
        about: str,
        bounds: Sequence[float],
        labels: tuple[str, ...] = (),
        *,
        max_series: int = 200,
    ) -> None:
        self.name = name
        self._about = about
        self._labels = labels
        self._bounds = tuple(bounds)
        self._overflow = (OTHER,) * len(labels)
        self._max_series = max_series
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one value; a value on a bound belongs to that bound's bucket."""
        key = labels
        counts = self._counts.get(key)
        if counts is None:
            if len(self._counts) >= self._max_series:
                key = self._overflow
            counts = self._counts.setdefault(key, [0] * (len(self._bounds) + 1))
            self._sums.setdefault(key, 0.0)
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[key] += value

    def render(self) -> Iterator[str]:
        """Yield the lines of the text format."""
        yield from _header(self.name, "histogram", self._about)
        names = (*self._labels, "le")
        for key, counts in self._counts.items():
            running = 0
            for bound, count in zip((*self._bounds, math.inf), counts, strict=True):
                running += count
                yield _sample(f"{self.name}_bucket", names, (*key, _number(bound)), running)
            yield _sample(f"{self.name}_sum", self._labels, key, self._sums[key])
            yield _sample(f"{self.name}_count", self._labels, key, running)


def render_reading(
    name: str, kind: str, about: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> Iterator[str]:
    """Yield the lines of a `gauge` or `counter` that is read at the scrape instead of being kept here."""
    yield from _header(name, kind, about)
    for key, value in values.items():
        yield _sample(name, labels, key, value)


def _header(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP {name} {_escaped(about, quote=False)}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, label_names: Sequence[str], label_values: Sequence[str], value: float) -> str:
    if not label_names:
        return f"{name} {_number(value)}"
    pairs = ",".join(
        f'{label}="{_escaped(text, quote=True)}"'
        for label, text in zip(label_names, label_values, strict=True)
    )
    return f"{name}{{{pairs}}} {_number(value)}"


def _escaped(text: str, *, quote: bool) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quote else escaped


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)
