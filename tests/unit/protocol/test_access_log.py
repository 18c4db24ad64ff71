from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extproc.calibrate.outcome import Outcome, TryRecord, Usage
from extproc.decide.plan import Plan
from extproc.facts.request import RequestFacts
from extproc.protocol import names
from extproc.protocol.access_log import LOGGED_REQUEST_HEADERS, decode_outcome, decode_try, is_finished
from extproc.protocol.decision_metadata import read_decision, write_decision
from extproc.protocol.wire import access_log_pb2 as wire

BUFFER_BYTES = 2000


@pytest.fixture
def entry(make_plan: Callable[..., Plan], make_facts: Callable[..., RequestFacts]) -> wire.HTTPAccessLogEntry:
    """A finished request: sent on after 0.125 s, served by the second instance from 0.25 s to 2.25 s, done after 2.5 s."""
    result = wire.HTTPAccessLogEntry()
    common = result.common_properties
    common.access_log_type = wire.AccessLogType.DownstreamEnd
    common.start_time.seconds, common.start_time.nanos = 1000, 500_000_000
    common.time_to_first_upstream_tx_byte.nanos = 125_000_000
    common.time_to_first_upstream_rx_byte.nanos = 250_000_000
    common.time_to_last_upstream_rx_byte.seconds = 2
    common.time_to_last_upstream_rx_byte.nanos = 250_000_000
    common.duration.seconds, common.duration.nanos = 2, 500_000_000
    common.upstream_remote_address.socket_address.address = "10.0.0.2"
    common.upstream_remote_address.socket_address.port_value = 8000
    common.upstream_request_attempt_count = 2
    metadata = common.metadata.filter_metadata
    write_decision(metadata[names.DECISION_NAMESPACE].fields, make_plan(), make_facts())
    metadata[names.USAGE_NAMESPACE].update({"prompt_tokens": 111, "completion_tokens": 222})
    result.request.request_id = "request-1"
    result.request.request_headers[names.TRACEPARENT] = "00-trace"
    result.request.request_headers[names.DECISION_ID] = "decision-1"
    result.response.response_code.value = 200
    result.response.response_body_bytes = BUFFER_BYTES // 2
    return result


def test_a_finished_request_is_an_outcome(entry: wire.HTTPAccessLogEntry) -> None:
    """Every field comes from the entry alone."""
    decision = read_decision(
        entry.common_properties.metadata.filter_metadata[names.DECISION_NAMESPACE].fields
    )
    assert decision is not None

    assert Outcome(
        request_id="request-1",
        traceparent="00-trace",
        started_unix_seconds=1000.5,
        decision=decision,
        served_address="10.0.0.2:8000",
        attempts=2,
        status=200,
        flags=(),
        usage=Usage(prompt_tokens=111, completion_tokens=222),
        ttft_seconds=0.25,
        e2e_seconds=2.5,
        instance_seconds=2.125,
    ) == decode_outcome(entry, buffer_bytes=BUFFER_BYTES)


def test_an_empty_entry_is_an_outcome_without_knowledge() -> None:
    """Nothing that is missing becomes a zero that could be learned from."""
    outcome = decode_outcome(wire.HTTPAccessLogEntry(), buffer_bytes=BUFFER_BYTES)

    assert (None, None, None, None, None) == (
        outcome.decision,
        outcome.served_address,
        outcome.usage,
        outcome.ttft_seconds,
        outcome.instance_seconds,
    )
    assert ("", 0, 0, ()) == (outcome.request_id, outcome.attempts, outcome.status, outcome.flags)


def test_an_instance_that_gave_no_byte_did_not_serve(entry: wire.HTTPAccessLogEntry) -> None:
    """Envoy names the last host it tried also when that host never answered."""
    entry.common_properties.ClearField("time_to_first_upstream_rx_byte")
    entry.common_properties.response_flags.downstream_connection_termination = True
    entry.response.ClearField("response_code")

    outcome = decode_outcome(entry, buffer_bytes=BUFFER_BYTES)

    assert (None, None, 0, ("DC",)) == (
        outcome.served_address,
        outcome.ttft_seconds,
        outcome.status,
        outcome.flags,
    )


def test_an_answer_larger_than_the_buffer_may_have_waited_for_its_reader(
    entry: wire.HTTPAccessLogEntry,
) -> None:
    """Its time is the request's alone; an answer counts twice, since frames may need as much room as what is in them."""
    entry.response.response_body_bytes += 1

    outcome = decode_outcome(entry, buffer_bytes=BUFFER_BYTES)

    assert (2.5, None) == (outcome.e2e_seconds, outcome.instance_seconds)


@pytest.mark.parametrize("field", ["time_to_first_upstream_tx_byte", "time_to_last_upstream_rx_byte"])
def test_without_both_ends_the_instances_time_is_unknown(entry: wire.HTTPAccessLogEntry, field: Any) -> None:
    """Such as that of an answer that broke off."""
    entry.common_properties.ClearField(field)

    assert decode_outcome(entry, buffer_bytes=BUFFER_BYTES).instance_seconds is None


def test_a_time_that_ends_before_it_begins_is_unknown(entry: wire.HTTPAccessLogEntry) -> None:
    """Nothing negative is learned from."""
    entry.common_properties.time_to_first_upstream_tx_byte.seconds = 3

    assert decode_outcome(entry, buffer_bytes=BUFFER_BYTES).instance_seconds is None


def test_foreign_metadata_is_no_decision(entry: wire.HTTPAccessLogEntry) -> None:
    """A namespace that somebody else wrote costs the decision, and the outcome stays."""
    fields = entry.common_properties.metadata.filter_metadata[names.DECISION_NAMESPACE]
    fields.Clear()
    fields.update({"decision_id": ["what"], "api": 3})

    outcome = decode_outcome(entry, buffer_bytes=BUFFER_BYTES)

    assert outcome.decision is None
    assert "10.0.0.2:8000" == outcome.served_address


def test_every_flag_of_envoy_has_its_short_name() -> None:
    """Each flag that the messages know is told by a name of its own, in Envoy's order."""
    entry = wire.HTTPAccessLogEntry()
    flags = entry.common_properties.response_flags
    for field in flags.DESCRIPTOR.fields:
        if field.name == "unauthorized_details":
            flags.unauthorized_details.SetInParent()
        else:
            setattr(flags, field.name, True)

    names_of_flags = decode_outcome(entry, buffer_bytes=BUFFER_BYTES).flags

    assert 28 == len(names_of_flags) == len(set(names_of_flags))
    assert ("LH", "UH", "UT", "LR", "UR", "UF", "UC") == names_of_flags[:7]


def test_an_ipv6_address_is_bracketed(entry: wire.HTTPAccessLogEntry) -> None:
    """As in Envoy's own notation."""
    entry.common_properties.upstream_remote_address.socket_address.address = "::1"

    assert "[::1]:8000" == decode_outcome(entry, buffer_bytes=BUFFER_BYTES).served_address


@pytest.mark.parametrize(
    ("status", "flag", "is_failure"),
    [
        (200, None, False),
        (400, None, False),
        (429, None, False),
        (500, None, True),
        (503, None, True),
        (0, "upstream_request_timeout", True),
        (0, "upstream_connection_failure", True),
        (0, "upstream_connection_termination", True),
        (0, "upstream_remote_reset", True),
        (200, "upstream_connection_termination", True),
        # It was raced for being late, and its answer came.
        (200, "upstream_request_timeout", False),
        # Envoy gave the try up itself: the client left, or another try won.
        (0, None, False),
        (0, "downstream_connection_termination", False),
    ],
)
def test_a_try_fails_by_its_instances_fault(
    entry: wire.HTTPAccessLogEntry, status: int, flag: str | None, is_failure: bool
) -> None:
    """A 5xx, a timeout and a broken connection count against the instance; a client that leaves does not."""
    entry.response.ClearField("response_code")
    if status:
        entry.response.response_code.value = status
    if flag:
        setattr(entry.common_properties.response_flags, flag, True)

    record = decode_try(entry)

    assert is_failure == record.is_failure
    assert ("decision-1", "10.0.0.2:8000", status) == (record.decision_id, record.address, record.status)


def test_an_empty_try_names_nobody() -> None:
    """Where no host was chosen there is no address, and no instance to blame."""
    assert TryRecord(decision_id="", address="", status=0, flags=(), is_failure=False) == decode_try(
        wire.HTTPAccessLogEntry()
    )


def test_only_the_last_entry_of_a_request_counts(entry: wire.HTTPAccessLogEntry) -> None:
    """Entries that Envoy writes at the start or along the way are told apart by their type."""
    kinds = wire.AccessLogType
    finished = []
    for kind in kinds.values():
        entry.common_properties.access_log_type = kind
        if is_finished(entry):
            finished.append(kinds.Name(kind))

    assert ["NotSet", "DownstreamEnd", "UpstreamEnd"] == finished


def test_envoy_must_log_the_headers_that_are_read() -> None:
    """The configuration takes the list from here."""
    assert (names.DECISION_ID, names.TRACEPARENT) == LOGGED_REQUEST_HEADERS
