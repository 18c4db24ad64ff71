from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.questions import question, weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EXPECTING = {"x-ttca-expect": "exact:42"}


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet, but the large model is slow and hardly ever right: there is a bigger one, and it does not help."""
    weighing_quality(document, large=0.2)
    for cluster in document["clusters"]:
        if cluster["model"] == "model-b":
            cluster["quality_prior"] = 0.02
    return document


async def test_an_almost_hopeless_question_is_not_sent_on(gateway: Any) -> None:
    """The rejected answer is delivered although the plan holds another model; once answers are worth more, it is asked."""
    status, headers, answer = await gateway.ask(question(right="model-b"), headers=EXPECTING)
    [request] = await gateway.received()

    assert (200, "41") == (status, answer["choices"][0]["message"]["content"])
    assert ("rejected", "1") == (headers["x-ttca-verdict"], headers["x-ttca-attempts"])
    assert "model-b" in dict(request["headers"])["x-ttca-attempt"]
    assert 'ttca_budget_stops_total{reason="not_worth_it"} 1' in (await gateway.metrics()).splitlines()

    def raise_worth(document: dict[str, Any]) -> None:
        document["objective"] = {"correct_answer_worth_seconds": 100_000}

    gateway.stack.write_fleet(raise_worth)

    async def is_sent_on() -> bool:
        _, headers, answer = await gateway.ask(question(right="model-b"), headers=EXPECTING)
        return (headers["x-ttca-verdict"], answer["model"]) == ("accepted", "model-b")

    await gateway.settle(is_sent_on, within_seconds=15)
