from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]

EXPECT = {"x-ttca-expect": "exact:42"}
SHORT, LONG = 20, 400
"""Tokens of right answers, and of those that run on."""


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet, weighing quality: model-a is fast and often right, model-b slow and mostly right."""
    document["policy"] = {"name": "first_correct"}
    for cluster in document["clusters"]:
        is_small = cluster["model"] == "model-a"
        cluster["quality_prior"] = 0.7 if is_small else 0.9
        base = 0.005 if is_small else 0.03
        cluster["speed"] = {"iteration_base_seconds": base, "iteration_per_sequence_seconds": base / 20}
    return document


def asked(chat: Chat, *, model: str = "auto", tokens: int, right: str) -> dict[str, Any]:
    """A question that `right` answers with 42 in 20 tokens; model-a takes so many for whatever it says."""
    answers = {name: "42" if name == right else "41" for name in ("model-a", "model-b")}
    lengths = {"model-a": tokens, "model-b": SHORT}
    return chat(model=model, temperature=0, ttca_sim={"output_tokens": lengths, "answers": answers})


async def generated(gateway: Any, address: str) -> float:
    """Tokens that an instance has made since it started."""
    async with gateway.session.get(f"http://{address}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:generation_tokens_total"))


async def test_an_answer_that_runs_on_is_cut_and_the_next_model_asked(gateway: Any, chat: Chat) -> None:
    """Once verdicts have shown that long answers are wrong, an attempt is limited and its plan goes on; the client's
    own request is as it was, and the answer that it gets is whole.
    """
    lessons = [asked(chat, model="model-a", tokens=SHORT, right="model-a") for _ in range(110)]
    lessons += [asked(chat, model="model-a", tokens=LONG, right="") for _ in range(40)]
    answers = await asyncio.gather(*(gateway.ask(body, headers=EXPECT) for body in lessons))
    assert {200} == {status for status, _, _ in answers}
    await gateway.settle_empty()
    await gateway.reset()
    before = {address: await generated(gateway, address) for address in gateway.stack.addresses}

    status, headers, answer = await gateway.ask(asked(chat, tokens=LONG, right="model-b"), headers=EXPECT)
    first, second = await gateway.received()

    assert (200, "42", "accepted", "2") == (
        status,
        answer["choices"][0]["message"]["content"],
        headers["x-ttca-verdict"],
        headers["x-ttca-attempts"],
    )
    assert ["model-a", "model-b"] == [first["model"], second["model"]]
    made = [await generated(gateway, one["address"]) - before[one["address"]] for one in (first, second)]
    assert SHORT <= made[0] < LONG
    assert SHORT == made[1]
    await gateway.settle_empty()
