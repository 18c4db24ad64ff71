from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.questions import weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", params=["first_correct", "least_work"])
def document(request: pytest.FixtureRequest, document: dict[str, Any]) -> dict[str, Any]:
    """One instance of each model; model-a is preferred."""
    clusters = [cluster for cluster in document["clusters"] if cluster["pool"] == "short"]
    for cluster in clusters:
        cluster["instances"] = cluster["instances"][:1]
    document = weighing_quality(document | {"clusters": clusters, "pools": [{"name": "short"}]})
    clusters[1]["quality_prior"] = 0.3
    return document | {"policy": {"name": request.param}}


@pytest_asyncio.fixture(loop_scope="module")
async def trusted(gateway: Any, chat: Chat) -> Any:
    """The gateway once nobody is suspect for what an earlier test did."""

    async def nobody_suspect() -> bool:
        return not any(instance["suspect"] for instance in (await gateway.book())["instances"])

    await gateway.settle(nobody_suspect, within_seconds=30)
    await gateway.ask(chat(model="model-a"))
    await gateway.settle_empty()
    await gateway.reset()
    return gateway


@pytest.mark.parametrize("fault", [{"error_rate": 1.0, "error_status": 503}, {"disconnect_rate": 1.0}])
@pytest.mark.parametrize("stream", [False, True])
async def test_another_model_stands_in_for_one_without_a_second_instance(
    trusted: Any, chat: Chat, fault: dict[str, Any], stream: bool
) -> None:
    """The client let the gateway choose: the next instance gets its own model's body, and the answer says whose it is."""
    (failing,), (well,) = trusted.instances("a-short"), trusted.instances("b-short")
    await trusted.faults(failing, **fault)
    async with trusted.post(chat(model="auto", stream=stream)) as response:
        await response.read()

    assert (200, "model-b", well) == (
        response.status, response.headers["x-ttca-model"], response.headers["x-ttca-instance"],
    )  # fmt: skip
    first, second = await trusted.received()
    assert (failing, well, "model-b") == (first["address"], second["address"], second["model"])
    assert "2" == response.headers["x-ttca-attempts"]
    await trusted.settle_empty()


async def test_a_model_that_was_asked_for_by_its_name_has_no_other(trusted: Any, chat: Chat) -> None:
    """Whoever names a model gets that one, or an error."""
    (failing,) = trusted.instances("a-short")
    await trusted.faults(failing, error_rate=1.0, error_status=503)
    status, _, _ = await trusted.ask(chat(model="model-a"))

    assert 503 == status
    assert {failing} == {one["address"] for one in await trusted.received()}
    await trusted.settle_empty()
