from __future__ import annotations

import logging
from typing import Any

import pytest

from extproc.protocol import names
from extproc.protocol.wire import access_log_pb2 as wire


def message(*entries: wire.HTTPAccessLogEntry, log_name: str | None = None) -> wire.StreamAccessLogsMessage:
    """Build one message; only the first of a stream names the log."""
    result = wire.StreamAccessLogsMessage()
    if log_name is not None:
        result.identifier.log_name = log_name
    result.http_logs.log_entry.extend(entries)
    return result


def entry(request_id: str = "request-1", status: int = 200) -> wire.HTTPAccessLogEntry:
    """Build an entry of a finished request or try."""
    result = wire.HTTPAccessLogEntry()
    result.request.request_id = request_id
    result.request.request_headers[names.DECISION_ID] = f"decision-of-{request_id}"
    result.response.response_code.value = status
    return result


async def test_the_first_message_names_the_log_of_all(service: Any) -> None:
    """Later messages of the stream carry no name and belong to it all the same."""
    await service.send_logs(
        [message(entry("a"), log_name=names.REQUEST_LOG), message(entry("b"), entry("c")), message()]
    )

    assert ["a", "b", "c"] == [outcome.request_id for outcome in service.listener.outcomes]
    assert [] == service.listener.tries
    assert 0 == service.listener.bad_entries


async def test_tries_have_a_log_of_their_own(service: Any) -> None:
    """Entries of the log of tries become try records."""
    await service.send_logs([message(entry("a", 503), log_name=names.ATTEMPT_LOG)])

    (record,) = service.listener.tries
    assert ("decision-of-a", 503, True) == (record.decision_id, record.status, record.is_failure)
    assert [] == service.listener.outcomes


async def test_entries_along_the_way_are_not_outcomes(service: Any) -> None:
    """A long request may be logged more than once; only its end counts."""
    periodic = entry("a")
    periodic.common_properties.access_log_type = wire.AccessLogType.DownstreamPeriodic
    ended = entry("a")
    ended.common_properties.access_log_type = wire.AccessLogType.DownstreamEnd

    await service.send_logs([message(periodic, ended, log_name=names.REQUEST_LOG)])

    assert 1 == len(service.listener.outcomes)
    assert 0 == service.listener.bad_entries


async def test_a_bad_entry_is_counted_and_skipped(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An entry from which nothing can be learned costs itself alone."""
    service.listener.error = ValueError("no")

    with caplog.at_level(logging.ERROR):
        await service.send_logs(
            [message(entry("a"), entry("b"), log_name=names.REQUEST_LOG), message(entry("c"))]
        )

    assert ["b", "c"] == [outcome.request_id for outcome in service.listener.outcomes]
    assert 1 == service.listener.bad_entries
    assert "skipped an entry" in caplog.text


@pytest.mark.parametrize("log_name", [None, "somebody-elses"])
async def test_entries_of_an_unknown_log_are_counted(service: Any, log_name: str | None) -> None:
    """They teach nothing, and the count says that the configuration is wrong."""
    await service.send_logs([message(entry(), log_name=log_name)])

    assert [] == service.listener.outcomes
    assert 1 == service.listener.bad_entries


async def test_streams_keep_their_names_apart(service: Any) -> None:
    """Two streams at once, each with its own log."""
    await service.send_logs([message(log_name=names.REQUEST_LOG), message(entry("a"))])
    await service.send_logs([message(log_name=names.ATTEMPT_LOG), message(entry("b"))])

    assert ["a"] == [outcome.request_id for outcome in service.listener.outcomes]
    assert ["decision-of-b"] == [record.decision_id for record in service.listener.tries]
