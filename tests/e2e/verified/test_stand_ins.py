"""A second instance of the first model stands second on the list: for a try that fails, and for nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from extproc.decide.attempts import AttemptContext, Continuation
from extproc.protocol import names
from extproc.server.attempts import go_on_while_planned
from loadgen.stack.ports import free_ports
from tests.e2e.verified.scripted import Answer, System, says

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OVERFLOW = "This model's maximum context length is 8 tokens. However, you requested 9 tokens."


def refusing(status: int, message: str = "busy") -> Answer:
    """Answer with an error."""

    async def answer(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": message, "code": status}}, status=status)

    return answer


async def reset(request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
    """Close the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
    """Answer when nobody waits any longer."""
    await asyncio.sleep(5)
    return web.json_response({})


@pytest_asyncio.fixture(loop_scope="module", name="twins")
async def twins_fixture(system: System) -> System:
    """The system with a plan whose first model has a second instance."""
    system.order = ("t1", "t2", "u1", "u2")
    system.stand_ins = ("t2",)
    return system


async def asked(system: System) -> list[tuple[str, str]]:
    """Ask; the instances that were reached, and the model that each was asked for. The client must be well served."""
    status, headers, text = await system.ask()
    assert (200, "right", "accepted") == (status, text, headers[names.VERDICT])
    assert str(len(system.received)) == headers[names.ATTEMPTS]
    return [(request.instance, request.document["model"]) for request in system.received]


@pytest.mark.parametrize("failure", [refusing(503), reset, hang])
async def test_a_failure_is_followed_by_the_same_models_second_instance(
    twins: System, failure: Answer
) -> None:
    """Its answer is the first attempt's, with the first attempt's chance."""
    twins.answers["t1"] = failure
    twins.changes = {"per_try_timeout_seconds": 0.5}

    assert [("t1", "t"), ("t2", "t")] == await asked(twins)
    await twins.settle(lambda: len(twins.records) == 2)
    last = twins.records[-1]
    assert (twins.address["t2"], "t", 0.5, 2) == (last.address, last.model, last.chance, last.number)


async def test_a_wrong_answer_is_followed_by_the_next_model(twins: System) -> None:
    """The second instance would say the same."""
    twins.answers["t1"] = says("wrong")

    assert [("t1", "t"), ("u1", "a")] == await asked(twins)


async def test_a_wrong_answer_of_the_second_instance_is_the_models(twins: System) -> None:
    """The model is over after it, whatever became of the first try."""
    contexts: list[AttemptContext] = []

    def go_on(context: AttemptContext) -> Continuation:
        contexts.append(context)
        return go_on_while_planned(context)

    twins.answers |= {"t1": refusing(503), "t2": says("wrong")}
    twins.go_on = go_on

    assert ["t1", "t2", "u1"] == [instance for instance, _ in await asked(twins)]
    [context] = contexts
    assert ((0,), (0,), (2, 3)) == (context.made, context.rejected, context.remaining)


@pytest.mark.parametrize("failure", [refusing(503), reset, hang])
async def test_after_a_wrong_answer_a_failure_leads_past_the_second_instance(
    twins: System, failure: Answer
) -> None:
    """Envoy's list still leads there, but its model has answered."""
    twins.answers |= {"t1": says("wrong"), "u1": failure}
    twins.changes = {"per_try_timeout_seconds": 0.5}

    assert ["t1", "u1", "u2"] == [instance for instance, _ in await asked(twins)]


async def test_after_a_wrong_answer_nobody_listening_leads_past_the_second_instance(twins: System) -> None:
    """The named instance is gone: the one that was planned for its model stands in."""
    (port,) = free_ports(1)

    def go_on(context: AttemptContext) -> Continuation:
        planned = Continuation.as_planned(context, "worth_it")
        assert planned.following is not None
        gone = replace(planned.following.attempt, address=f"127.0.0.1:{port}")
        return replace(planned, following=replace(planned.following, attempt=gone))

    twins.answers["t1"] = says("wrong")
    twins.go_on = go_on
    status, headers, text = await twins.ask()

    assert (200, "right", "3") == (status, text, headers[names.ATTEMPTS])
    assert ["t1", "u1"] == [request.instance for request in twins.received]


async def test_a_roomier_second_instance_takes_what_was_too_long(twins: System) -> None:
    """Its wrong answer is the model's, too, and its own rejection of the length is the client's."""
    twins.answers |= {"t1": refusing(400, OVERFLOW), "t2": says("wrong")}
    twins.changes = {"overflow_addresses": (twins.address["t1"],)}

    assert ["t1", "t2", "u1"] == [instance for instance, _ in await asked(twins)]
    twins.received.clear()
    twins.answers["t2"] = refusing(400, OVERFLOW)
    status, _, _ = await twins.ask()

    assert (400, ["t1", "t2"]) == (status, [request.instance for request in twins.received])


async def test_the_service_may_die_before_a_second_instance_is_needed(twins: System) -> None:
    """It needs no other body than the first one's: the answer is delivered unverified."""

    async def die(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        for replica in twins.replicas:
            await replica.stop()
        return web.json_response({}, status=503)

    twins.answers["t1"] = die
    try:
        status, headers, text = await twins.ask()
        received = [(request.instance, request.document["model"]) for request in twins.received]
    finally:
        await twins.restart()

    assert (200, "right", "unverified") == (status, text, headers[names.VERDICT])
    assert [("t1", "t"), ("t2", "t")] == received
