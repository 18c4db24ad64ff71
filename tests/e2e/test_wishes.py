from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extproc.protocol import names

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """Model-a is cheap and often wrong, model-b dear and mostly right; clients may wish for cost, and for some weights."""
    document["policy"] = {"name": "route_balance"}
    document["objective"] = {"preset": "quality"}
    document["overrides"] = {"presets": ["cost"], "weights": {"cost": {"max": 0.9}, "quality": {"max": 0.5}}}
    for cluster in document["clusters"]:
        is_small = cluster["model"] == "model-a"
        cluster["quality_prior"] = 0.3 if is_small else 0.95
        price = 0.1 if is_small else 2.0
        cluster["price_usd_per_mtok"] = {"input": price, "output": price}
    return document


@pytest.mark.parametrize(
    ("headers", "model", "told"),
    [
        ({}, "model-b", None),
        ({names.PRESET: "cost"}, "model-a", "preset=cost"),
        (
            {names.PRESET: "latency"},
            "model-b",
            "preset=latency; not allowed: the gateway's operator does not offer it",
        ),
        (
            {names.WEIGHTS: "quality=1,latency=1,cost=8"},
            "model-a",
            "quality=0.1,latency=0.1,cost=0.8",
        ),
        (
            {names.WEIGHTS: "quality=0.05,latency=0.02,cost=0.93"},
            "model-b",
            "quality=0.05,latency=0.02,cost=0.93; not allowed: cost is 0.93, expected 0 to 0.9",
        ),
    ],
)
async def test_a_client_may_weigh_as_far_as_the_operator_allows(
    gateway: Any, chat: Chat, headers: dict[str, str], model: str, told: str | None
) -> None:
    """Within the bounds its weights choose the model; beyond them the operator's do; either way it is told."""
    status, answered, body = await gateway.ask(chat(), headers=headers | {names.WISH: "a trick"})

    assert (200, model, model) == (status, body["model"], answered[names.MODEL_HEADER])
    assert told == answered.get(names.WISH)


async def test_a_stream_is_told_as_well(gateway: Any, chat: Chat) -> None:
    """The route sets the header, so that no answer has to pass by the service for it."""
    async with gateway.post(chat(stream=True), headers={names.PRESET: "cost"}) as response:
        await response.read()

    assert "preset=cost" == response.headers[names.WISH]


@pytest.mark.parametrize("headers", [{names.PRESET: "cheap"}, {names.WEIGHTS: "cost=1"}])
async def test_a_malformed_wish_is_refused(gateway: Any, chat: Chat, headers: dict[str, str]) -> None:
    """400 that names the header, and no instance is asked."""
    status, _, body = await gateway.ask(chat(), headers=headers)

    assert (400, next(iter(headers))) == (status, body["error"]["param"])
    assert [] == await gateway.received()


async def test_policy_weights_and_bounds_are_edited_live(gateway: Any, chat: Chat) -> None:
    """An edit of the fleet file changes what the next requests are weighed by, and what a wish may do."""
    before = gateway.stack.settings.model_dump(mode="json")

    async def is_told(headers: dict[str, str], model: str, told: str | None) -> None:
        async def holds() -> bool:
            _, answered, _ = await gateway.ask(chat(), headers=headers)
            return (model, told) == (answered[names.MODEL_HEADER], answered.get(names.WISH))

        await gateway.settle(holds)

    wish = {names.PRESET: "cost"}
    await is_told(wish, "model-a", "preset=cost")
    gateway.stack.write_fleet(lambda document: document.update(overrides={}))
    await is_told(wish, "model-b", "preset=cost; not allowed: the gateway's operator does not offer it")
    gateway.stack.write_fleet(lambda document: document.update(objective={"preset": "cost"}))
    await is_told({}, "model-a", None)
    gateway.stack.write_fleet(lambda document: document.update(policy={"name": "laar"}))
    await is_told(wish, "model-b", "preset=cost; not applied: the policy laar takes no weights")
    gateway.stack.write_fleet(
        lambda document: document.update({key: before[key] for key in ("policy", "objective", "overrides")})
    )
    await is_told(wish, "model-a", "preset=cost")
