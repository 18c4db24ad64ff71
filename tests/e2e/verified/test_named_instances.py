from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from extproc.decide.attempts import AttemptContext, Continuation, Following
from extproc.protocol import names
from loadgen.stack.ports import free_ports
from tests.e2e.verified.scripted import MODELS, Answer, System, completion, says

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


def elsewhere(*addresses: str) -> Callable[[AttemptContext], Continuation]:
    """Make the attempts that follow rejections at these instances, one after the other, and then where they are planned."""
    to_come = list(addresses)

    def go_on(context: AttemptContext) -> Continuation:
        planned = Continuation.as_planned(context, "worth_it")
        if not to_come or planned.following is None:
            return planned
        attempt = replace(context.next_attempt, address=to_come.pop(0))
        return replace(planned, following=replace(planned.following, attempt=attempt))

    return go_on


def failing(status: int) -> Answer:
    """Answer with an error."""

    async def answer(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "busy"}}, status=status)

    return answer


async def test_a_rejected_answer_is_followed_at_the_named_instance(system: System) -> None:
    """It gets the model of the plan's next attempt, its answer is judged too, and the client is told who answered."""
    system.order = ("u1", "t1", "u2")
    system.answers["u1"] = says("wrong")
    system.go_on = elsewhere(system.address["t3"])
    status, headers, text = await system.ask()

    assert (200, "right") == (status, text)
    assert [("u1", "a"), ("t3", "t")] == [
        (request.instance, request.document["model"]) for request in system.received
    ]
    assert ("accepted", "t", system.address["t3"], "2") == tuple(
        headers[name] for name in (names.VERDICT, names.MODEL_HEADER, names.INSTANCE, names.ATTEMPTS)
    )
    await system.settle(lambda: len(system.records) == 2)
    assert [system.address["t3"], ""] == [record.next_address for record in system.records]
    assert [("a", 1), ("t", 2)] == [(record.model, record.number) for record in system.records]


@pytest.mark.parametrize("second", ["t1", "t2"])
async def test_a_plan_goes_on_after_a_named_instance(system: System, second: str) -> None:
    """With the model after that one, whichever instance of it was named, and to the plan's end."""
    system.order = ("u1", "t1", "u2")
    system.answers = dict.fromkeys(system.answers, says("wrong"))
    system.go_on = elsewhere(system.address[second])
    status, headers, text = await system.ask()

    assert (200, "wrong") == (status, text)
    assert ["u1", second, "u2"] == [request.instance for request in system.received]
    assert ("rejected", "3") == (headers[names.VERDICT], headers[names.ATTEMPTS])
    await system.settle(lambda: len(system.records) == 3)
    assert [False, False, True] == [record.is_last for record in system.records]


async def test_every_attempt_can_be_named(system: System) -> None:
    """Instance after instance, none of them on the plan's list."""
    system.order = ("u1", "t1", "t2", "u2")
    system.answers |= {name: says("wrong") for name in ("u1", "u3")}
    system.go_on = elsewhere(system.address["u3"], system.address["t3"])
    status, headers, text = await system.ask()

    assert (200, "right", "3") == (status, text, headers[names.ATTEMPTS])
    assert ["u1", "u3", "t3"] == [request.instance for request in system.received]


async def test_a_named_instance_that_is_gone_is_followed_by_the_plans_next_host(system: System) -> None:
    """Nobody listens there: the request goes on as it was planned."""
    (port,) = free_ports(1)
    system.order = ("u1", "t1", "u2")
    system.answers["u1"] = says("wrong")
    system.go_on = elsewhere(f"127.0.0.1:{port}")
    status, headers, text = await system.ask()

    assert (200, "right", "3") == (status, text, headers[names.ATTEMPTS])
    assert ["u1", "t1"] == [request.instance for request in system.received]
    assert "accepted" == headers[names.VERDICT]


async def test_a_named_instance_that_is_gone_is_not_followed_by_a_model_that_was_rejected(
    system: System,
) -> None:
    """Nobody listens there, and Envoy's list still leads to the second model, whose answer was wrong."""
    (port,) = free_ports(1)
    system.order = ("u1", "t1", "u2", "u3")
    system.answers |= {"u1": says("wrong"), "t3": says("wrong")}
    system.go_on = elsewhere(system.address["t3"], f"127.0.0.1:{port}")
    status, headers, text = await system.ask()

    assert (200, "right", "4") == (status, text, headers[names.ATTEMPTS])
    assert ["u1", "t3", "u2"] == [request.instance for request in system.received]
    assert ("accepted", MODELS["u2"]) == (headers[names.VERDICT], headers[names.MODEL_HEADER])


async def test_a_planned_instance_that_is_gone_is_followed_by_the_attempt_that_is_left(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was named because the list still leads to the second model; the stand-in's answer is rejected and followed, too."""
    (port,) = free_ports(1)
    monkeypatch.setitem(system.address, "u2", f"127.0.0.1:{port}")
    system.order = ("u1", "t1", "u2", "u3", "t2")
    system.answers |= {name: says("wrong") for name in ("u1", "t3", "u3")}
    system.go_on = elsewhere(system.address["t3"])
    status, headers, text = await system.ask()

    assert (200, "right", "5") == (status, text, headers[names.ATTEMPTS])
    assert ["u1", "t3", "u3", "t2"] == [request.instance for request in system.received]


async def test_a_named_instance_that_fails_is_not_followed_by_a_model_that_was_rejected(
    system: System,
) -> None:
    """Envoy's list still leads to the second model, whose answer was wrong; the third is what is left to try."""
    system.order = ("u1", "t1", "u2", "u3")
    system.answers |= {"u1": says("wrong"), "t3": says("wrong"), "u2": failing(503)}
    system.go_on = elsewhere(system.address["t3"])
    status, headers, text = await system.ask()

    assert (200, "right", "4") == (status, text, headers[names.ATTEMPTS])
    assert ["u1", "t3", "u2", "u3"] == [request.instance for request in system.received]


async def test_a_model_whose_instance_failed_is_asked_elsewhere(system: System) -> None:
    """Two replicas agree that only the second answer was wrong; the first attempt's model has not answered yet."""
    contexts: list[AttemptContext] = []

    def again(context: AttemptContext) -> Continuation:
        contexts.append(context)
        (position,) = context.unanswered
        attempt = replace(context.plan.attempts[position], address=system.address["t3"])
        return Continuation(following=Following(attempt=attempt, position=position), reason="worth_it")

    system.order = ("t1", "u1", "u2")
    system.answers |= {"t1": failing(503), "u1": says("wrong")}
    system.go_on = again
    status, headers, text = await system.ask()

    assert (200, "right", "3") == (status, text, headers[names.ATTEMPTS])
    assert ["t1", "u1", "t3"] == [request.instance for request in system.received]
    assert [((0, 1), (1,))] == [(context.made, context.rejected) for context in contexts]


async def test_wrong_answers_are_counted_on_the_way(system: System) -> None:
    """Without a named try and after one, whoever serves the try."""
    contexts: list[AttemptContext] = []
    named = elsewhere(system.address["t3"])

    def go_on(context: AttemptContext) -> Continuation:
        contexts.append(context)
        return named(context) if context.number > 1 else Continuation.as_planned(context, "worth_it")

    system.order = ("u1", "u2", "t1", "u3")
    system.answers |= dict.fromkeys(("u1", "u2", "t3"), says("wrong"))
    system.go_on = go_on
    status, headers, text = await system.ask()

    assert (200, "right", "4") == (status, text, headers[names.ATTEMPTS])
    assert ["u1", "u2", "t3", "u3"] == [request.instance for request in system.received]
    assert [(0,), (0, 1), (0, 1, 2)] == [context.rejected for context in contexts]


async def test_a_plans_own_instance_stands_in_for_a_named_one_that_fails(system: System) -> None:
    """Its model has not answered yet."""
    system.order = ("u1", "t1", "u2")
    system.answers |= {"u1": says("wrong"), "t3": failing(503)}
    system.go_on = elsewhere(system.address["t3"])
    status, _, text = await system.ask()

    assert (200, "right") == (status, text)
    assert ["u1", "t3", "t1"] == [request.instance for request in system.received]


async def test_a_named_try_that_is_given_up_is_not_followed_by_a_model_that_was_rejected(
    system: System,
) -> None:
    """Its time is over, and Envoy's list still leads to the second model."""

    async def hang(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.json_response({})

    system.order = ("u1", "t1", "u2", "u3")
    system.answers |= {"u1": says("wrong"), "t3": says("wrong"), "u2": hang}
    system.changes = {"per_try_timeout_seconds": 0.5}
    system.go_on = elsewhere(system.address["t3"])
    status, headers, text = await system.ask()

    assert (200, "right", "4") == (status, text, headers[names.ATTEMPTS])
    assert ["u1", "t3", "u2", "u3"] == [request.instance for request in system.received]


async def test_either_replica_serves_a_named_try(system: System) -> None:
    """What the next try is travels with the request, so that nobody need have decided it."""

    async def by_model(_request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion("right" if document["model"] == "c" else "wrong"))

    system.order = ("u1", "t1", "u3")
    system.answers = dict.fromkeys(system.answers, by_model)
    system.go_on = elsewhere(*[system.address["t2"]] * 1000)
    # The second rejection names an instance of the cluster `twins` for the third model: it gets that model's body.
    answers = await asyncio.gather(*(system.ask() for _ in range(24)))

    assert {(200, "right", "3")} == {
        (status, text, headers[names.ATTEMPTS]) for status, headers, text in answers
    }
    await system.settle(lambda: len(system.records) == 72)
    first, second = system.replicas
    strangers = {r.decision_id for r in first.records} & set(second.plans)
    assert strangers | ({r.decision_id for r in second.records} & set(first.plans))


async def test_a_client_names_nothing(system: System) -> None:
    """What it sends about the next try reaches neither the service nor the route."""
    system.answers["u1"] = says("wrong")
    headers = {
        names.EXPECT: "exact:right",
        "content-type": "application/json",
        names.NEXT_NAMESPACE: system.address["t3"],
        names.CLUSTER: names.NAMED_CLUSTER,
        names.DESTINATION: system.address["t3"],
    }
    body = b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}'
    async with system.client.post(
        f"{system.url}/v1/chat/completions", data=body, headers=headers
    ) as response:
        assert 200 == response.status
    assert ["u1", "u2"] == [request.instance for request in system.received]
