from __future__ import annotations

import pytest

from extproc.telemetry.prometheus import Counter, Histogram, LabelCap, render_reading


def test_a_counter_is_written_in_text_format() -> None:
    """A counter has a help line, a type line, and a line per series."""
    counter = Counter("requests_total", "Requests.", ("model", "status"))
    counter.add("a", "200")
    counter.add("a", "200", amount=1.5)
    counter.add("b", "500")

    assert [
        "# HELP requests_total Requests.",
        "# TYPE requests_total counter",
        'requests_total{model="a",status="200"} 2.5',
        'requests_total{model="b",status="500"} 1',
    ] == list(counter.render())


def test_a_counter_without_labels_starts_at_zero() -> None:
    """A counter without labels is there before its first event."""
    assert "bad_total 0" == list(Counter("bad_total", "Bad.").render())[-1]


def test_a_histogram_counts_cumulatively() -> None:
    """Buckets are cumulative, a value on a bound belongs to it, and sum and count close the series."""
    histogram = Histogram("seconds", "Time.", (0.1, 1.0), ("result",))
    for value in (0.1, 0.5, 7.0):
        histogram.observe(value, "ok")

    assert [
        'seconds_bucket{result="ok",le="0.1"} 1',
        'seconds_bucket{result="ok",le="1"} 2',
        'seconds_bucket{result="ok",le="+Inf"} 3',
        'seconds_sum{result="ok"} 7.6',
        'seconds_count{result="ok"} 3',
    ] == list(histogram.render())[2:]


def test_series_are_bounded() -> None:
    """Combinations of labels beyond the bound are counted together, and none is lost."""
    counter = Counter("c", "C.", ("x",), max_series=2)
    histogram = Histogram("h", "H.", (1.0,), ("x",), max_series=2)
    for number in range(10):
        counter.add(str(number))
        histogram.observe(0.5, str(number))
    counter.add("0")

    assert ['c{x="0"} 2', 'c{x="1"} 1', 'c{x="other"} 8'] == list(counter.render())[2:]
    assert 'h_count{x="other"} 8' == list(histogram.render())[-1]


def test_labels_are_escaped() -> None:
    """Quotes, backslashes and line breaks of a label value cannot break out of it."""
    counter = Counter("c", "Two\nlines.", ("x",))
    counter.add('a"b\\c\nd')

    assert [r"# HELP c Two\nlines.", "# TYPE c counter", r'c{x="a\"b\\c\nd"} 1'] == list(counter.render())


def test_a_reading_is_written_like_a_metric() -> None:
    """Values that are read at the scrape look like all others."""
    lines = list(render_reading("age_seconds", "gauge", "Age.", ("instance",), {("a:1",): 0.25}))

    assert [
        "# HELP age_seconds Age.",
        "# TYPE age_seconds gauge",
        'age_seconds{instance="a:1"} 0.25',
    ] == lines


def test_a_label_cap_lets_the_first_values_through() -> None:
    """The first values keep their names for good, all later ones share one."""
    cap = LabelCap(2)

    assert ["a", "b", "other", "a"] == [cap(value) for value in ("a", "b", "c", "a")]


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinities_have_prometheus_names(value: float) -> None:
    """Infinite readings are written as Prometheus writes them."""
    (line,) = list(render_reading("g", "gauge", "G.", (), {(): value}))[2:]

    assert line in {"g +Inf", "g -Inf"}
