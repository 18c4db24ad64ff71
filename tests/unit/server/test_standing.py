from __future__ import annotations

import logging
from typing import Any

import pytest

from extproc.calibrate.outcome import TryRecord
from extproc.server.standing import CALM_SECONDS, StandingLog

A, B = "10.0.0.1:8000", "10.0.0.2:8000"
FLEET = (A, B)


@pytest.fixture(autouse=True)
def _hear_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="extproc.server.standing")


def a_try(address: str = A, *, status: int = 503, is_failure: bool = True, **changes: Any) -> TryRecord:
    """A failed try."""
    values: dict[str, Any] = {"decision_id": "d", "flags": (), **changes}
    return TryRecord(address=address, status=status, is_failure=is_failure, **values)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged: level, and the message up to its first colon."""
    return [
        f"{record.levelname} {record.getMessage().partition(': ')[0]}"
        for record in caplog.records
        if record.name == "extproc.server.standing"
    ]


def test_a_failing_instance_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many tries fail, and however often it serves in between."""
    log = StandingLog()
    for second in range(20):
        log.tried(a_try(), float(second))
        log.look((), FLEET, second + 0.5)

    assert [f"WARNING instance {A} is suspect"] == lines(caplog)
    assert "it answered 503" in caplog.text


def test_an_instance_that_is_back_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """As soon as it was calm for long enough; a later failure is news again."""
    log = StandingLog()
    log.tried(a_try(), 0.0)
    log.tried(a_try(), 3.0)
    log.look((), FLEET, 2.9 + CALM_SECONDS)
    assert [f"WARNING instance {A} is suspect"] == lines(caplog)

    log.look((), FLEET, 3.0 + CALM_SECONDS)
    log.look((), FLEET, 4.0 + CALM_SECONDS)
    log.tried(a_try(), 20.0)
    assert [
        f"WARNING instance {A} is suspect",
        f"INFO instance {A} is trusted again",
        f"WARNING instance {A} is suspect",
    ] == lines(caplog)
    assert "after 3 s of it" in caplog.text


def test_an_instance_that_is_down_is_told_of_without_a_request(caplog: pytest.LogCaptureFixture) -> None:
    """Refused scrapes make it suspect; it stays so until they are answered."""
    log = StandingLog()
    for second in range(30):
        log.look((B,), FLEET, float(second))
    assert [f"WARNING instance {B} is suspect"] == lines(caplog)
    assert "connections to its /metrics are refused" in caplog.text

    log.look((), FLEET, 29.0 + CALM_SECONDS)
    assert f"INFO instance {B} is trusted again" == lines(caplog)[-1]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (a_try(status=500), "it answered 500"),
        (a_try(status=0, flags=("UF", "URX")), "no connection to it could be made"),
        (a_try(status=200, flags=("UC",)), "it closed the connection"),
        (a_try(status=0, flags=("UT",)), "it did not answer in time"),
        (a_try(status=0), "it gave no answer"),
    ],
)
def test_the_reason_is_in_words(caplog: pytest.LogCaptureFixture, record: TryRecord, expected: str) -> None:
    """Whoever reads it need not know Envoy's flags."""
    StandingLog().tried(record, 0.0)

    assert f"is suspect: {expected};" in caplog.text


def test_what_does_not_speak_against_an_instance_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """Answers, a client's mistakes, and tries without a host."""
    log = StandingLog()
    log.tried(a_try(status=200, is_failure=False), 0.0)
    log.tried(a_try(address=""), 0.0)
    log.look((), FLEET, 1.0)

    assert [] == lines(caplog)


def test_an_instance_that_left_the_fleet_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for its return."""
    log = StandingLog()
    log.tried(a_try(), 0.0)
    log.look((), (B,), 1.0)
    log.look((), FLEET, 100.0)

    assert [f"WARNING instance {A} is suspect"] == lines(caplog)
