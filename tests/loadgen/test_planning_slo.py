from __future__ import annotations

import pytest

from loadgen.planning.slo import Slo, parse_slo


def test_objective_is_read_with_its_units() -> None:
    """Seconds and milliseconds are understood, in any order."""
    assert Slo(ttft_seconds=1.5, tpot_seconds=0.05) == parse_slo("tpot_p99=50ms, ttft_p99=1.5s")


def test_what_is_not_named_keeps_its_default() -> None:
    """An objective may name one limit."""
    assert Slo(ttft_seconds=0.5, tpot_seconds=0.08) == parse_slo("ttft_p99=500ms")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ttft_p95=2s", "'ttft_p95' is not a limit, expected ttft_p99 or tpot_p99"),
        ("ttft_p99=2", "'2' is not a time"),
        ("ttft_p99=fasts", "'fasts' is not a time"),
        ("ttft_p99=-1s", "'-1s' is not a time"),
        ("ttft_p99=1s,ttft_p99=2s", "ttft_p99 is given twice"),
        ("", "'' is not a limit"),
    ],
)
def test_mistakes_are_named(text: str, told: str) -> None:
    """The message says which part is wrong and what was expected."""
    with pytest.raises(ValueError, match="SLO") as caught:
        parse_slo(text)
    assert told in str(caught.value)
