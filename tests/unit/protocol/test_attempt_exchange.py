from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from extproc.decide.attempts import CarriedAttempt, Following
from extproc.errors import ProtocolError
from extproc.protocol import attempt_answers as answers
from extproc.protocol import names
from extproc.protocol.attempt_exchange import AttemptExchange
from extproc.protocol.events import AnswerReady, Conclusion
from extproc.protocol.naming import (
    GROUPS,
    NAMED,
    PLANNED_GROUPS,
    Naming,
    read_naming,
    read_rejected,
    write_naming,
    write_rejected,
)
from extproc.protocol.wire import ext_proc_pb2 as wire
from extproc.verify.transport import CONTEXT_OVERFLOW
from extproc.verify.verdict import Verdict, VerdictKind

Make = Callable[..., wire.ProcessingRequest]


NOW_UNIX_MS = 5_000


PLAN = (
    "2;api=chat_completions;retries=2;verify=1;spec=1;start=3500;ability=0.5,1"
    ";try=10.0.0.1:8000|a|0.6||o;try=10.0.0.2:8000|a|0.5||;try=10.0.0.3:8000|b|0.3|50|"
)


REJECTED = Verdict(VerdictKind.REJECTED, "expectation.not-met", "secret detail")


ACCEPTED = Verdict(VerdictKind.ACCEPTED)


CHAT = b'{"model":"a","messages":[]}' + b" " * 40


OVERFLOW = b'{"error": {"message": "This model\'s maximum context length is 8 tokens.", "code": 400}}'


WHOLE_BODY = wire.ProcessingRequest(request_body=wire.HttpBody(body=CHAT, end_of_stream=True))


OTHER_ERROR = b'{"error": {"message": "top_p must be in (0, 1], got 2.", "code": 400}}'


def answer(exchange: AttemptExchange, message: wire.ProcessingRequest) -> wire.ProcessingResponse:
    """Feed one message and return the one answer to it."""
    exchange.receive(message, NOW_UNIX_MS)
    (response,) = exchange.responses_to_send()
    return response


@pytest.fixture
def exchange() -> AttemptExchange:
    """A fresh exchange that holds back answers of up to 1000 bytes."""
    return AttemptExchange(max_answer_bytes=1000)


@pytest.fixture
def watching(exchange: AttemptExchange, attempt_headers: Make) -> AttemptExchange:
    """An exchange of a try whose context-length rejection is to be retried."""
    answer(exchange, attempt_headers())
    return exchange


def test_an_overflow_asks_for_the_next_instance(
    watching: AttemptExchange,
    response_headers: Make,
    response_body: Make,
    set_headers: Callable[..., dict[str, str]],
) -> None:
    """The 400 is held back, its body judged, and the retry header added."""
    held = answer(watching, response_headers(400))
    assert wire.ProcessingMode.BUFFERED == held.mode_override.response_body_mode
    assert wire.ProcessingMode.SEND == held.mode_override.response_header_mode
    assert not watching.is_done

    judged = answer(watching, response_body(OVERFLOW))

    assert {names.RETRY: "1"} == set_headers(judged.response_body.response.header_mutation)
    assert watching.is_done
    assert watching.conclusion is not None
    assert (CONTEXT_OVERFLOW, True) == (
        watching.conclusion.verdict.reason,
        watching.conclusion.goes_on,
    )


def test_another_rejection_goes_to_the_client(
    watching: AttemptExchange, response_headers: Make, response_body: Make
) -> None:
    """A 400 for another reason passes untouched."""
    answer(watching, response_headers(400))

    judged = answer(watching, response_body(OTHER_ERROR))

    assert wire.ProcessingResponse(response_body=wire.BodyResponse()) == judged
    assert watching.is_done
    assert watching.conclusion is None


@pytest.mark.parametrize("status", [200, 404, 413, 500, 503])
def test_any_other_status_is_not_held_back(
    watching: AttemptExchange, response_headers: Make, status: int
) -> None:
    """Its headers go on at once and no body is asked for."""
    response = answer(watching, response_headers(status))

    assert wire.ProcessingResponse(response_headers=wire.HeadersResponse()) == response
    assert watching.is_done


def test_a_rejection_without_a_body_is_passed_on(watching: AttemptExchange, response_headers: Make) -> None:
    """There is nothing to judge, and a body that never comes is not waited for."""
    response = answer(watching, response_headers(400, end_of_stream=True))

    assert not response.HasField("mode_override")
    assert watching.is_done


def test_a_rejection_of_unknown_size_is_not_held_back(
    watching: AttemptExchange, response_headers: Make
) -> None:
    """It could outgrow Envoy's buffer."""
    assert not answer(watching, response_headers(400, content_length=None)).HasField("mode_override")


@pytest.mark.parametrize(
    ("address", "limits"),
    [
        ("10.0.0.1:8000", None),
        ("10.0.0.1:8000", ""),
        ("10.0.0.1:8000", "1;overflow=10.0.0.2:8000"),
        ("10.0.0.1:8000", "9;overflow=10.0.0.1:8000"),
        ("10.0.0.9:8000", PLAN),
        ("", "1;overflow=10.0.0.1:8000"),
        ("", "1;overflow="),
    ],
)
def test_a_try_without_a_plan_is_done_at_once(
    exchange: AttemptExchange, attempt_headers: Make, address: str, limits: str | None
) -> None:
    """Its headers go on untouched, nothing of the answer is asked for, and nothing is on record."""
    response = answer(exchange, attempt_headers(address, limits))

    assert wire.ProcessingResponse(request_headers=wire.HeadersResponse()) == response
    assert exchange.is_done
    assert None is exchange.conclusion


@pytest.fixture
def verified(exchange: AttemptExchange, attempt_headers: Make) -> AttemptExchange:
    """An exchange of the second try of a verified plan, which needs no other body."""
    response = answer(
        exchange,
        attempt_headers(
            "10.0.0.2:8000", PLAN, x_envoy_attempt_count="2", x_ttca_decision_id="d", x_ttca_expect="exact:x"
        ),
    )
    assert wire.ProcessingResponse(request_headers=wire.HeadersResponse()) == response
    return exchange


def hold(exchange: AttemptExchange, headers: wire.ProcessingRequest, body: bytes = b"{}") -> AnswerReady:
    """Feed an answer that is held back; return what waits for its verdict."""
    held = answer(exchange, headers)
    assert wire.ProcessingMode.BUFFERED == held.mode_override.response_body_mode
    message = wire.ProcessingRequest(response_body=wire.HttpBody(body=body, end_of_stream=True))
    ready = exchange.receive(message, NOW_UNIX_MS)
    assert ready is not None
    assert [] == exchange.responses_to_send()
    return ready


def test_an_accepted_answer_is_let_go_with_its_verdict(
    verified: AttemptExchange, response_headers: Make, set_headers: Callable[..., dict[str, str]]
) -> None:
    """The client learns who answered, in how many tries and in what time."""
    ready = hold(verified, response_headers(200), b'{"a": 1}')
    verified.conclude(ACCEPTED, None, now_unix_ms=NOW_UNIX_MS)
    (response,) = verified.responses_to_send()

    assert (
        AnswerReady(
            request_body=None,
            expectation="exact:x",
            status=200,
            content_type="application/json",
            body=b'{"a": 1}',
        )
        == ready
    )
    assert {
        names.VERDICT: "accepted",
        names.MODEL_HEADER: "a",
        names.INSTANCE: "10.0.0.2:8000",
        names.ATTEMPTS: "2",
        names.ELAPSED: "1500",
    } == set_headers(response.response_body.response.header_mutation)
    assert not response.response_body.response.HasField("body_mutation")
    assert verified.is_done
    assert Conclusion(verdict=ACCEPTED, goes_on=False, is_held=True) == verified.conclusion


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_rejected_answer_is_marked_and_maybe_retried(
    verified: AttemptExchange,
    response_headers: Make,
    set_headers: Callable[..., dict[str, str]],
    goes_on: bool,
) -> None:
    """It is marked in both cases, since Envoy may refuse the retry; no detail of it leaves the service."""
    hold(verified, response_headers(200))
    verified.conclude(
        REJECTED,
        Following(attempt=verified.plan.attempts[2], position=2) if goes_on else None,
        now_unix_ms=NOW_UNIX_MS,
    )
    (response,) = verified.responses_to_send()

    headers = set_headers(response.response_body.response.header_mutation)
    assert ("rejected", "expectation.not-met") == (headers[names.VERDICT], headers[names.VERDICT_REASON])
    assert goes_on is (names.RETRY in headers)
    assert b"secret" not in response.SerializeToString()


@pytest.mark.parametrize(
    ("status", "changes", "reason"),
    [
        (200, {"content_type": "text/event-stream; charset=utf-8"}, "skipped.stream"),
        (200, {"content_type": "TEXT/Event-Stream"}, "skipped.stream"),
        (200, {"content_type": "text/plain"}, "skipped.not_json"),
        (200, {"content_type": None}, "skipped.not_json"),
        (200, {"content_encoding": "gzip"}, "skipped.not_json"),
        (200, {"content_length": None}, "skipped.unknown_size"),
        (200, {"content_length": "1001"}, "skipped.too_large"),
        (200, {"end_of_stream": True}, "skipped.no_body"),
        (503, {}, "skipped.status_503"),
        (400, {}, "skipped.status_400"),
    ],
)
def test_what_cannot_be_judged_goes_on_at_its_headers(
    verified: AttemptExchange,
    response_headers: Make,
    set_headers: Callable[..., dict[str, str]],
    status: int,
    changes: dict[str, Any],
    reason: str,
) -> None:
    """Nothing of it is held back, and the client learns why there is no verdict."""
    response = answer(verified, response_headers(status, **changes))

    headers = set_headers(response.response_headers.response.header_mutation)
    assert ("unverified", reason) == (headers[names.VERDICT], headers[names.VERDICT_REASON])
    assert not response.HasField("mode_override")
    assert verified.is_done
    assert verified.conclusion is not None
    assert not verified.conclusion.is_held


def test_an_answer_of_the_largest_size_is_judged(verified: AttemptExchange, response_headers: Make) -> None:
    """The limit itself is allowed, and so is any JSON type."""
    hold(verified, response_headers(201, content_length="1000", content_type="application/x+json; a=b"))


def test_a_body_is_made_for_the_instance(
    exchange: AttemptExchange, attempt_headers: Make, set_headers: Callable[..., dict[str, str]]
) -> None:
    """Another model and a limit, and no word of a length that later tries would inherit; the verdict sees none of it."""
    wanted = answer(exchange, attempt_headers("10.0.0.3:8000", PLAN))
    assert wire.ProcessingMode.BUFFERED == wanted.mode_override.request_body_mode
    assert wire.ProcessingMode.SEND == wanted.mode_override.response_header_mode
    tailored = answer(exchange, wire.ProcessingRequest(request_body=wire.HttpBody(body=CHAT)))

    common = tailored.request_body.response
    assert {"model": "b", "messages": [], "max_tokens": 50} == orjson.loads(common.body_mutation.body)
    assert [names.CONTENT_LENGTH] == list(common.header_mutation.remove_headers)
    assert {} == set_headers(common.header_mutation)
    assert exchange.is_last


def test_a_request_is_read_for_the_verdict_alone(
    exchange: AttemptExchange, attempt_headers: Make, response_headers: Make
) -> None:
    """Then it goes on untouched, and the verifier gets it as it came."""
    plan = PLAN.replace("spec=1", "body=1")
    answer(exchange, attempt_headers("10.0.0.1:8000", plan))
    untouched = answer(exchange, wire.ProcessingRequest(request_body=wire.HttpBody(body=CHAT)))
    ready = hold(exchange, response_headers(200))

    assert wire.ProcessingResponse(request_body=wire.BodyResponse()) == untouched
    assert CHAT == ready.request_body


def test_a_request_without_a_body_is_not_waited_for(
    exchange: AttemptExchange, attempt_headers: Make, response_headers: Make
) -> None:
    """Nothing would come."""
    response = answer(exchange, attempt_headers("10.0.0.3:8000", PLAN, end_of_stream=True))

    assert not response.HasField("mode_override")
    assert hold(exchange, response_headers(200)).request_body is None


def test_a_body_without_a_model_fails_the_stream(exchange: AttemptExchange, attempt_headers: Make) -> None:
    """Envoy's `failure_mode_allow` then sends what it has."""
    answer(exchange, attempt_headers("10.0.0.3:8000", PLAN))

    with pytest.raises(ValueError, match="no top-level key"):
        exchange.receive(wire.ProcessingRequest(request_body=wire.HttpBody(body=b"{}")), NOW_UNIX_MS)


def test_an_overflow_of_a_whole_plan_is_on_record(
    exchange: AttemptExchange,
    attempt_headers: Make,
    response_headers: Make,
    response_body: Make,
    set_headers: Callable[..., dict[str, str]],
) -> None:
    """It is retried without a verifier, and marked in case Envoy refuses."""
    answer(exchange, attempt_headers("10.0.0.1:8000", PLAN))
    answer(exchange, response_headers(400))
    headers = set_headers(answer(exchange, response_body(OVERFLOW)).response_body.response.header_mutation)

    assert ("rejected", "1") == (headers[names.VERDICT], headers[names.RETRY])
    assert exchange.conclusion is not None
    assert "transport.context_overflow" == exchange.conclusion.verdict.reason


@pytest.mark.parametrize(
    ("address", "count", "expected"),
    [
        ("10.0.0.1:8000", "1", False),
        ("10.0.0.2:8000", "2", False),
        ("10.0.0.3:8000", "3", True),
        ("10.0.0.1:8000", "3", True),
        ("10.0.0.2:8000", None, False),
        ("10.0.0.2:8000", "many", False),
    ],
)
def test_the_last_try_is_known(
    exchange: AttemptExchange, attempt_headers: Make, address: str, count: str | None, expected: bool
) -> None:
    """By its place in the plan, and by the retries that Envoy may make."""
    answer(exchange, attempt_headers(address, PLAN, x_envoy_attempt_count=count))

    assert expected is exchange.is_last


def test_the_budget_hears_where_the_plan_stands(verified: AttemptExchange, response_headers: Make) -> None:
    """What failed, what would follow, and how much time has passed; the first attempt gave no answer."""
    hold(verified, response_headers(200))
    context = verified.context("why", NOW_UNIX_MS)

    assert ("d", 2, "why", 1.5) == (
        context.decision_id, context.number, context.reason, context.elapsed_seconds,
    )  # fmt: skip
    assert ["10.0.0.2:8000"] == [attempt.address for attempt in context.failed]
    assert ((0, 1), (1,)) == (context.made, context.rejected)
    assert "10.0.0.3:8000" == context.next_attempt.address
    assert (0.5, 1.0) == context.plan.ability


def test_clocks_may_disagree(
    verified: AttemptExchange, response_headers: Make, set_headers: Callable[..., dict[str, str]]
) -> None:
    """The replica that decided may be ahead; no time is negative."""
    hold(verified, response_headers(200))
    verified.conclude(ACCEPTED, None, now_unix_ms=3000)
    (response,) = verified.responses_to_send()

    assert "0" == set_headers(response.response_body.response.header_mutation)[names.ELAPSED]


def test_time_is_asked_for(verified: AttemptExchange, response_headers: Make) -> None:
    """Envoy takes it as a message of its own, before the answer proper."""
    hold(verified, response_headers(200))
    verified.ask_for_time(2.5)
    (response,) = verified.responses_to_send()

    assert None is response.WhichOneof("response")
    assert 2_500 == response.override_message_timeout.ToMilliseconds()
    assert not verified.is_done


def test_a_verdict_is_given_once(verified: AttemptExchange, response_headers: Make) -> None:
    """A second one has no answer to go with."""
    hold(verified, response_headers(200))
    verified.conclude(ACCEPTED, None, now_unix_ms=NOW_UNIX_MS)

    with pytest.raises(ProtocolError):
        verified.conclude(ACCEPTED, None, now_unix_ms=NOW_UNIX_MS)


def test_answers_are_handed_out_once(exchange: AttemptExchange, attempt_headers: Make) -> None:
    """A second call returns nothing."""
    exchange.receive(attempt_headers(), NOW_UNIX_MS)
    exchange.responses_to_send()

    assert [] == exchange.responses_to_send()


def test_a_body_before_its_headers_is_an_error(exchange: AttemptExchange, response_body: Make) -> None:
    """The stream is to be failed, not guessed about."""
    with pytest.raises(ProtocolError):
        exchange.receive(response_body(OVERFLOW), NOW_UNIX_MS)


def as_metadata(response: wire.ProcessingResponse) -> wire.ProcessingRequest:
    """The next try's message, with what an answer left for it."""
    message = wire.ProcessingRequest()
    for namespace, value in response.dynamic_metadata.fields.items():
        message.metadata_context.filter_metadata[namespace].CopyFrom(value.struct_value)
    return message


def named(response: wire.ProcessingResponse) -> Naming:
    """What an answer names for the next try."""
    return read_naming(as_metadata(response))


def groups(response: wire.ProcessingResponse) -> list[str]:
    """The group of each try of the request."""
    fields = response.dynamic_metadata.fields[names.NEXT_NAMESPACE].struct_value.fields
    return [value.struct_value.fields["name"].string_value for value in fields[GROUPS].list_value.values]


ELSEWHERE = Following(
    attempt=CarriedAttempt(address="10.0.0.9:8000", model="b", chance=0.25, max_tokens=70), position=2
)


def test_the_next_try_is_named_when_the_list_of_hosts_does_not_lead_there(
    verified: AttemptExchange, response_headers: Make
) -> None:
    """For the next try alone, with all that whoever serves it has to know."""
    hold(verified, response_headers(200))
    verified.conclude(REJECTED, ELSEWHERE, now_unix_ms=NOW_UNIX_MS)
    (response,) = verified.responses_to_send()

    assert Naming(
        address="10.0.0.9:8000",
        position=2,
        number=3,
        hosts_used=2,
        made=(0, 1),
        chance=0.25,
        max_tokens=70,
    ) == named(response)
    assert ["planned_1", "planned_2", NAMED, "planned_4"] == groups(response)[:4]
    assert [NAMED] == [group for group in groups(response) if group not in PLANNED_GROUPS]


@pytest.mark.parametrize(
    ("following", "is_named"),
    [(None, False), (ELSEWHERE, True), ("planned", False), ("cut", True)],
)
def test_the_plans_own_next_host_needs_no_name(
    verified: AttemptExchange, response_headers: Make, following: Any, is_named: bool
) -> None:
    """Unless the answer is to be cut elsewhere than planned."""
    planned = Following(attempt=verified.plan.attempts[2], position=2)
    cut = replace(planned, attempt=replace(planned.attempt, max_tokens=7))
    hold(verified, response_headers(200))
    verified.conclude(
        REJECTED, {"planned": planned, "cut": cut}.get(following, following), now_unix_ms=NOW_UNIX_MS
    )
    (response,) = verified.responses_to_send()

    assert is_named is bool(named(response).address)
    assert (following is not None) is (names.NEXT_NAMESPACE in response.dynamic_metadata.fields)


@pytest.fixture
def named_try(exchange: AttemptExchange, attempt_headers: Make) -> AttemptExchange:
    """An exchange of the second try, which was named: the plan's third attempt on another instance."""
    message = attempt_headers("10.0.0.9:8000", PLAN, x_envoy_attempt_count="2", x_ttca_decision_id="d")
    naming = Naming(
        address="10.0.0.9:8000", position=2, number=2, hosts_used=1, made=(0,), chance=0.25, max_tokens=70
    )
    write_naming(message.metadata_context.filter_metadata[names.NEXT_NAMESPACE].fields, naming)
    exchange.receive(message, NOW_UNIX_MS)
    exchange.responses_to_send()
    return exchange


def test_a_named_try_is_the_attempt_that_was_named(named_try: AttemptExchange) -> None:
    """With its chance and its limit; the attempt that it overtook is still to come."""
    assert CarriedAttempt(address="10.0.0.9:8000", model="b", chance=0.25, max_tokens=70) == named_try.attempt
    assert not named_try.is_last
    context = named_try.context("r", NOW_UNIX_MS)
    assert ((0, 2), (1,)) == (context.made, context.remaining)


def test_a_name_for_another_try_is_none(exchange: AttemptExchange, attempt_headers: Make) -> None:
    """The named instance could not be reached: this try is the plan's, and what was over then still is."""
    message = attempt_headers("10.0.0.2:8000", PLAN, x_envoy_attempt_count="3")
    naming = Naming(address="10.0.0.9:8000", position=2, number=2, hosts_used=1, made=(0,))
    write_naming(message.metadata_context.filter_metadata[names.NEXT_NAMESPACE].fields, naming)
    exchange.receive(message, NOW_UNIX_MS)

    assert replace(exchange.plan.attempts[1], chance=None) == exchange.attempt
    context = exchange.context("r", NOW_UNIX_MS)
    assert ((0, 1), (2,)) == (context.made, context.remaining)


def test_a_try_that_fails_is_followed_by_no_attempt_that_is_over(
    exchange: AttemptExchange, attempt_headers: Make
) -> None:
    """Envoy's list leads to the second attempt's host: where that failed itself, another one is named beforehand."""
    message = attempt_headers("10.0.0.8:8000", PLAN, x_envoy_attempt_count="2")
    fields = message.metadata_context.filter_metadata[names.NEXT_NAMESPACE].fields
    write_naming(fields, Naming(address="10.0.0.8:8000", position=1, number=2, hosts_used=1, made=(0,)))
    assert "" == named(answer(exchange, message)).address

    message = attempt_headers("10.0.0.2:8000", PLAN, x_envoy_attempt_count="2")
    fields = message.metadata_context.filter_metadata[names.NEXT_NAMESPACE].fields
    write_naming(fields, Naming(address="10.0.0.2:8000", position=1, number=2, hosts_used=1, made=(0,)))
    other = named(answer(AttemptExchange(max_answer_bytes=1000), message))

    assert ("10.0.0.3:8000", 2, 3, (0, 1)) == (other.address, other.position, other.number, other.made)
    assert not answers.CONTINUE_REQUEST_HEADERS.HasField("dynamic_metadata")


def test_once_named_always_named(
    named_try: AttemptExchange, response_headers: Make, response_body: Make
) -> None:
    """The host alone no longer tells which attempts are over, even where Envoy's list leads to the right one."""
    named_try.receive(WHOLE_BODY, NOW_UNIX_MS)
    named_try.responses_to_send()
    hold(named_try, response_headers(200))
    planned = Following(attempt=named_try.plan.attempts[1], position=1)
    named_try.conclude(REJECTED, planned, now_unix_ms=NOW_UNIX_MS)
    (response,) = named_try.responses_to_send()

    assert ("10.0.0.2:8000", 1, 3, (0, 2)) == (
        named(response).address, named(response).position, named(response).number, named(response).made,
    )  # fmt: skip


ABLE = (
    "2;api=chat_completions;retries=3;verify=1;spec=1;ability=0,1;try=10.0.0.1:8000|a|0.6|||0.4|1.5"
    ";try=10.0.0.2:8000|b|0.3|||0.8|1.5;try=10.0.0.3:8000|c|0.2|||0.9|1.5"
)


def try_of(
    attempt_headers: Make, address: str, number: int, rejected: tuple[int, ...]
) -> wire.ProcessingRequest:
    """The headers of a try of `ABLE`, after these attempts' answers were rejected."""
    message = attempt_headers(address, ABLE, x_envoy_attempt_count=str(number), x_ttca_decision_id="d")
    write_rejected(message.metadata_context.filter_metadata[names.NEXT_NAMESPACE].fields, rejected)
    return message


def test_a_try_that_failed_says_nothing_of_its_model(
    exchange: AttemptExchange, attempt_headers: Make
) -> None:
    """The chance planned for the second attempt takes the first one's answer for wrong: there was none."""
    exchange.receive(try_of(attempt_headers, "10.0.0.2:8000", 2, ()), NOW_UNIX_MS)
    after_wrong = AttemptExchange(max_answer_bytes=1000)
    after_wrong.receive(try_of(attempt_headers, "10.0.0.2:8000", 2, (0,)), NOW_UNIX_MS)

    assert after_wrong.plan.attempts[1] == after_wrong.attempt
    assert exchange.attempt.chance is not None
    assert 0.5 < exchange.attempt.chance < 0.75
    assert ((0, 1), (1,)) == (exchange.context("r", 0).made, exchange.context("r", 0).rejected)
    assert (0, 1) == after_wrong.context("r", 0).rejected


@pytest.mark.parametrize(
    ("reason", "rejected"), [("contract.json", (0, 1)), ("transport.abort", (0,)), ("transport.error", (0,))]
)
def test_an_instance_that_failed_found_no_model_wrong(
    exchange: AttemptExchange,
    attempt_headers: Make,
    response_headers: Make,
    reason: str,
    rejected: tuple[int, ...],
) -> None:
    """Its answer is rejected like any other, but the model may be asked again elsewhere."""
    exchange.receive(try_of(attempt_headers, "10.0.0.2:8000", 2, (0,)), NOW_UNIX_MS)
    exchange.receive(WHOLE_BODY, NOW_UNIX_MS)
    exchange.responses_to_send()
    hold(exchange, response_headers(200))

    assert rejected == exchange.context(reason, NOW_UNIX_MS).rejected
    following = Following(attempt=exchange.plan.attempts[2], position=2)
    exchange.conclude(Verdict(VerdictKind.REJECTED, reason), following, now_unix_ms=NOW_UNIX_MS)
    (response,) = exchange.responses_to_send()
    assert rejected == read_rejected(as_metadata(response))


def test_what_was_rejected_travels_to_the_next_try(
    exchange: AttemptExchange, attempt_headers: Make, response_headers: Make
) -> None:
    """With a name or without, and each attempt once."""
    exchange.receive(try_of(attempt_headers, "10.0.0.2:8000", 3, (1,)), NOW_UNIX_MS)
    exchange.receive(WHOLE_BODY, NOW_UNIX_MS)
    exchange.responses_to_send()
    hold(exchange, response_headers(200))
    planned = Following(attempt=exchange.plan.attempts[2], position=2)
    exchange.conclude(REJECTED, planned, now_unix_ms=NOW_UNIX_MS)
    (response,) = exchange.responses_to_send()

    assert (1,) == read_rejected(as_metadata(response))
    assert () == read_rejected(attempt_headers("10.0.0.2:8000", ABLE))


def test_an_attempt_that_is_made_again_and_fails_is_over(
    exchange: AttemptExchange, attempt_headers: Make
) -> None:
    """The first attempt failed where it was planned and then elsewhere: what follows is the one that is left."""
    message = try_of(attempt_headers, "10.0.0.9:8000", 3, (1,))
    fields = message.metadata_context.filter_metadata[names.NEXT_NAMESPACE].fields
    write_naming(fields, Naming(address="10.0.0.9:8000", position=0, number=3, hosts_used=1, made=(0, 1)))
    own = named(answer(exchange, message))

    assert ("10.0.0.3:8000", 2, (1, 0)) == (own.address, own.position, own.made)


@pytest.mark.parametrize("missing", ["position", "number", "hosts_used", "made", "address"])
def test_a_name_by_another_version_is_none(
    exchange: AttemptExchange, attempt_headers: Make, missing: str
) -> None:
    """The try goes on as one of the plan's, or as nobody's."""
    message = attempt_headers("10.0.0.9:8000", PLAN, x_envoy_attempt_count="2")
    fields = message.metadata_context.filter_metadata[names.NEXT_NAMESPACE].fields
    write_naming(fields, Naming(address="10.0.0.9:8000", position=2, number=2, hosts_used=1, made=(0,)))
    del fields[missing]
    exchange.receive(message, NOW_UNIX_MS)

    assert exchange.is_done
