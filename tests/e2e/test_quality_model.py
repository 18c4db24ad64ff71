from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from extproc.estimate.quality.model import QualityModel
from extproc.facts.grams import hash_grams
from extproc.fit.read import read_table
from extproc.model_directory import MANIFEST, load_model, save_model

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]
MakeModel = Callable[..., QualityModel]

RIVERS, PROOFS = "river delta current bank flood", "lemma prime theorem integer axiom"


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quality") / "model"


@pytest.fixture(scope="module")
def document(
    document: dict[str, Any], model_directory: Path, make_quality_model: MakeModel
) -> dict[str, Any]:
    """The usual fleet, its models alike but for what was fitted: model-a knows rivers and fails at proofs."""
    save_model(
        make_quality_model(log_odds=(0.0, 0.0), good_words=RIVERS, bad_words=PROOFS), model_directory, {}
    )
    document["policy"] = {"name": "first_correct"}
    document["quality"] = {
        "model_directory": str(model_directory),
        "outcome_log": str(model_directory.with_name("outcomes.jsonl")),
    }
    return document


def cut_arrays(directory: Path) -> None:
    """Leave the beginning of the arrays' file."""
    arrays = next(directory.glob("*.npz"))
    arrays.write_bytes(arrays.read_bytes()[:300])


async def chosen(gateway: Any, chat: Chat, words: str) -> str:
    """The model that the router chooses for a prompt."""
    await gateway.reset()
    status, _, _ = await gateway.ask(chat(words))
    (received,) = await gateway.received()
    assert 200 == status
    return str(received["model"])


async def wait_for(gateway: Any, *samples: str) -> None:
    """Wait until these stand on the service's metrics page."""

    async def is_there() -> bool:
        page = await gateway.metrics()
        return all(sample in page for sample in samples)

    await gateway.settle(is_there)


async def test_the_words_of_a_prompt_choose_the_model(
    gateway: Any, chat: Chat, model_directory: Path
) -> None:
    """What was fitted offline decides online, and the metrics say which fit it is."""
    fit = load_model(model_directory).fit_id

    assert "model-a" == await chosen(gateway, chat, RIVERS)
    assert "model-b" == await chosen(gateway, chat, PROOFS)
    assert f'ttca_quality_model_info{{fit="{fit}",words="true"}} 2' in await gateway.metrics()


async def test_models_are_swapped_and_corrupt_ones_refused_while_serving(
    gateway: Any, chat: Chat, model_directory: Path, make_quality_model: MakeModel, tmp_path: Path
) -> None:
    """A new model counts for the next request, half a one for none, another path for the next again; none fails."""
    failures: list[int] = []
    is_over = asyncio.Event()

    async def keep_asking() -> None:
        while not is_over.is_set():
            status, _, _ = await gateway.ask(chat(RIVERS))
            if status != 200:
                failures.append(status)

    tasks = [asyncio.create_task(keep_asking()) for _ in range(4)]
    try:
        save_model(make_quality_model(good_words=PROOFS, bad_words=RIVERS), model_directory, {})
        await wait_for(
            gateway,
            f'fit="{load_model(model_directory).fit_id}"',
            'ttca_quality_model_changes_total{result="ok"} 2',
        )

        fit = load_model(model_directory).fit_id
        cut_arrays(model_directory)
        await wait_for(gateway, f'fit="{fit}"', 'ttca_quality_model_changes_total{result="refused"} 1')
        (model_directory / MANIFEST).write_bytes(b"{")
        await wait_for(gateway, f'fit="{fit}"', 'ttca_quality_model_changes_total{result="refused"} 2')
    finally:
        is_over.set()
        await asyncio.gather(*tasks)
    assert [] == failures
    assert "model-b" == await chosen(gateway, chat, RIVERS)
    assert "model-a" == await chosen(gateway, chat, PROOFS)

    elsewhere = tmp_path / "elsewhere"
    save_model(make_quality_model(log_odds=(-3.0, 3.0)), elsewhere, {})

    def point_elsewhere(document: dict[str, Any]) -> None:
        document["quality"]["model_directory"] = str(elsewhere)

    gateway.stack.write_fleet(point_elsewhere)
    await wait_for(gateway, f'fit="{load_model(elsewhere).fit_id}",words="false"')
    assert "model-b" == await chosen(gateway, chat, PROOFS)


async def test_judged_answers_are_logged_for_the_next_fit(
    gateway: Any, chat: Chat, model_directory: Path
) -> None:
    """Verdicts of verification and of clients come to the file, with what was asked and without a word of it."""
    log = model_directory.with_name("outcomes.jsonl")
    sim = {"output_tokens": 5, "answers": {"model-a": "41", "model-b": "42"}}
    await gateway.ask(chat(RIVERS, ttca_sim=sim), headers={"x-ttca-expect": "exact:42"})
    await gateway.ask(chat(PROOFS, ttca_sim=sim), headers={"x-ttca-session": "mine"})
    await gateway.ask({"session": "mine", "correct": False}, path="/v1/feedback")

    async def is_written() -> bool:
        return log.exists() and len(log.read_bytes().splitlines()) >= 2

    await gateway.settle(is_written)
    table = read_table(log)
    assert not any(word in log.read_text() for word in (*RIVERS.split(), *PROOFS.split(), "mine"))
    assert {"model-a", "model-b"} >= set(table.models)
    assert 2 == len(table.prompts)
    assert hash_grams([PROOFS]) in {prompt.grams for prompt in table.prompts}


async def test_asking_again_at_once_tells_of_answers_alone(
    gateway: Any, chat: Chat, model_directory: Path
) -> None:
    """A client that is faster than Envoy's log says of an answer that it was wrong, and nothing of a refusal."""
    log = model_directory.with_name("outcomes.jsonl")
    before = len(log.read_bytes().splitlines()) if log.exists() else 0
    body, headers = chat(RIVERS, temperature=0), {"x-ttca-session": "hasty"}
    for address in gateway.stack.addresses:
        await gateway.faults(address, error_rate=1.0, error_status=422)
    refused, _, _ = await gateway.ask(body, headers=headers)
    await gateway.reset()
    models = [(await gateway.ask(body, headers=headers))[2]["model"] for _ in range(2)]
    await gateway.settle_empty()
    await gateway.ask({"session": "hasty", "correct": True}, path="/v1/feedback")

    def lines() -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in log.read_bytes().splitlines()[before:]] if log.exists() else []

    async def is_praise_written() -> bool:
        return any(line["correct"] for line in lines())

    await gateway.settle(is_praise_written)
    assert 422 == refused
    assert [(models[0], 0, []), (models[1], 1, [models[0]])] == [
        (line["model"], line["correct"], line["after"]) for line in lines()
    ]
