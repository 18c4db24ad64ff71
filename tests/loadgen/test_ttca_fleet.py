from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import yaml

from extproc.settings import load_settings
from loadgen.questions.generated import generate_questions
from loadgen.stack.ports import with_free_ports
from loadgen.ttca.arms import ARMS
from loadgen.ttca.bodies import request_body, right_answer, wrong_answer
from loadgen.ttca.fleet import fleet_document
from loadgen.vllm.asked import Api, parse

QUESTIONS = generate_questions("zeroeval", seed=1, count=200)


@pytest.mark.parametrize("arm", ARMS)
def test_the_document_is_a_valid_fleet_file_under_every_policy(arm: str, tmp_path: Path) -> None:
    """The service takes over each edit of a study."""
    document = with_free_ports(fleet_document(QUESTIONS, time_scale=4.0))
    document["policy"] = {"name": ARMS[arm].policy}
    file = tmp_path / "fleet.yaml"
    file.write_text(yaml.safe_dump(document))
    settings = load_settings(file)
    assert ARMS[arm].policy == settings.policy.name.value
    assert 10 == sum(len(cluster.instances) for cluster in settings.clusters)


def test_speeds_are_written_in_real_seconds() -> None:
    """Twice the time scale: iterations take half the time, prefill is twice as fast."""
    slow, fast = (fleet_document(QUESTIONS, time_scale=scale)["clusters"][0]["speed"] for scale in (1.0, 2.0))
    assert pytest.approx(slow["iteration_base_seconds"] / 2) == fast["iteration_base_seconds"]
    assert pytest.approx(slow["prefill_tokens_per_second"] * 2) == fast["prefill_tokens_per_second"]


def test_priors_are_accuracies_on_training_questions() -> None:
    """What is judged on is not looked at."""
    document = fleet_document(QUESTIONS, time_scale=1.0)
    for cluster in document["clusters"]:
        right = [question.correct[cluster["model"]] for question in QUESTIONS.training]
        assert pytest.approx(sum(right) / len(right), abs=1e-3) == cluster["quality_prior"]


def test_simulated_servers_answer_as_recorded() -> None:
    """Length and correctness of each model's answer travel in the body."""
    question = QUESTIONS.held_out[0]
    asked = parse(Api.CHAT, request_body(question, model="auto", repeats_itself=True))
    assert dict(question.output_tokens) == dict(asked.wanted_tokens)
    for model, is_correct in question.correct.items():
        expected = right_answer(question) if is_correct else wrong_answer(question)
        assert expected == asked.answers[model]


def test_temperature_is_sent_only_where_answers_repeat() -> None:
    """Without it the service cannot know that a model would fail again."""
    question = QUESTIONS.held_out[0]
    assert 0 == orjson.loads(request_body(question, model="auto", repeats_itself=True))["temperature"]
    assert "temperature" not in orjson.loads(request_body(question, model="auto", repeats_itself=False))
