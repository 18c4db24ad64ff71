from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from extproc.decide.attempts import CarriedAttempt, CarriedPlan
from extproc.decide.plan import Attempt, Plan
from extproc.facts.request import Api
from extproc.protocol import names
from extproc.protocol.tailor import body_for_all, body_for_try, is_tailored, with_output_limit

CHAT = Api.CHAT_COMPLETIONS
BODY = b'{"model":"auto","messages":[]}'


def attempts(*pairs: tuple[str, int | None]) -> tuple[Attempt, ...]:
    """Attempts by model and limit."""
    return tuple(
        Attempt(address=f"a:{n}", cluster="c", model=model, work_seconds=1.0, max_tokens=limit)
        for n, (model, limit) in enumerate(pairs)
    )


def carried(plan: Plan) -> CarriedPlan:
    """The plan as ATTEMPT sees it."""
    return CarriedPlan(
        attempts=tuple(
            CarriedAttempt(address=a.address, model=a.model, max_tokens=a.max_tokens) for a in plan.attempts
        ),
        api=CHAT,
    )


def test_a_plain_plan_changes_nothing(make_plan: Callable[..., Plan]) -> None:
    """The client's own model stays, and no body is sent back."""
    assert None is body_for_all(BODY, make_plan(), CHAT)


def test_a_plain_cluster_gets_its_limit_at_once(make_plan: Callable[..., Plan]) -> None:
    """No filter comes later that could set it."""
    plan = make_plan(attempts=attempts(("a", 5), ("a", 5)), model="a")

    assert {"model": "a", "messages": [], "max_tokens": 5} == json.loads(
        body_for_all(BODY, plan, CHAT) or b""
    )


@pytest.mark.parametrize(
    "models",
    [
        (("a", None), ("much-longer", None), ("b", None)),
        (("much-longer", None), ("a", None)),
        (("a", 5), ("b", 2_147_483_647), ("c", None)),
        (("a", None), ('é"\\', 7)),
    ],
)
@pytest.mark.parametrize("names_model", [True, False])
def test_every_attempt_gets_its_model_and_its_limit(
    make_plan: Callable[..., Plan], models: tuple[tuple[str, int | None], ...], names_model: bool
) -> None:
    """Made from DECIDE's body, which has the first attempt's model and no limit."""
    plan = make_plan(
        attempts=attempts(*models),
        route_cluster=names.UNION_CLUSTER,
        model=models[0][0] if names_model else None,
    )
    client = BODY if names_model else BODY.replace(b'"auto"', json.dumps(models[0][0]).encode())
    decided = body_for_all(client, plan, CHAT) or client
    for attempt in carried(plan).attempts:
        body = body_for_try(decided, carried(plan), attempt)
        expected: dict[str, Any] = {"model": attempt.model, "messages": []}
        if attempt.max_tokens is not None:
            expected["max_tokens"] = attempt.max_tokens
        assert expected == json.loads(body)


def test_a_request_that_passes_through_is_left_alone(make_plan: Callable[..., Plan]) -> None:
    """Its body may be anything."""
    plan = make_plan(
        attempts=attempts(("a", None), ("bb", None)), route_cluster=names.UNION_CLUSTER, budget=None
    )

    assert None is body_for_all(b"\xff", plan, Api.OTHER)


def test_a_body_in_another_encoding_is_tailored_all_the_same(make_plan: Callable[..., Plan]) -> None:
    """Python's `json` reads it, and so do instances."""
    plan = make_plan(
        attempts=attempts(("a", None), ("bb", None)), route_cluster=names.UNION_CLUSTER, model="a"
    )
    decided = body_for_all(BODY.decode().encode("utf-16"), plan, CHAT) or b""

    assert "bb" == json.loads(body_for_try(decided, carried(plan), carried(plan).attempts[1]))["model"]


def test_what_needs_a_body_of_its_own(make_plan: Callable[..., Plan]) -> None:
    """Another model than the first attempt's, or a limit."""
    plan = carried(make_plan(attempts=attempts(("a", None), ("a", 5), ("b", None), ("a", None))))

    assert [False, True, True, False] == [is_tailored(plan, attempt) for attempt in plan.attempts]


@pytest.mark.parametrize(
    ("api", "fields", "limit", "expected"),
    [
        (CHAT, {"max_tokens": 100}, 50, {"max_tokens": 50}),
        (CHAT, {"max_tokens": 50}, 100, {"max_tokens": 50}),
        (CHAT, {"max_completion_tokens": 100}, 50, {"max_completion_tokens": 50}),
        (CHAT, {"max_tokens": 9, "max_completion_tokens": 100}, 50, {"max_tokens": 9, "max_completion_tokens": 50}),
        (CHAT, {}, 50, {"max_tokens": 50}),
        (CHAT, {"max_tokens": None}, 50, {"max_tokens": 50}),
        (CHAT, {"max_tokens": "100"}, 50, {"max_tokens": 50}),
        (CHAT, {"max_tokens": "many"}, 50, {"max_tokens": "many"}),
        (CHAT, {"max_tokens": [1]}, 50, {"max_tokens": [1]}),
        (Api.COMPLETIONS, {}, 50, {}),
        (Api.COMPLETIONS, {}, 10, {"max_tokens": 10}),
        (Api.COMPLETIONS, {"max_tokens": None}, 50, {"max_tokens": 50}),
        (Api.RESPONSES, {}, 50, {"max_output_tokens": 50}),
        (Api.RESPONSES, {"max_output_tokens": 51}, 50, {"max_output_tokens": 50}),
        (Api.MESSAGES, {"max_tokens": 4096}, 50, {"max_tokens": 50}),
        (Api.EMBEDDINGS, {}, 50, {}),
    ],
)  # fmt: skip
def test_an_output_limit_is_the_smaller_one(
    api: Api, fields: dict[str, Any], limit: int, expected: dict[str, Any]
) -> None:
    """Each API has its own field; what is no number is left to the instance."""
    body = json.dumps({"model": "a", **fields}).encode()

    assert {"model": "a", **expected} == json.loads(with_output_limit(body, api, limit))
