"""What the published routers see of a question."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from extproc.fit.table import OutcomeTable, describe_prompt
from loadgen.questions.question import Question
from loadgen.reproduce.route_balance.rivals import avengers, best_route, best_route_match
from loadgen.reproduce.route_balance.sight import Sight, look, nearest, smallest_sufficient
from loadgen.reproduce.route_balance.unseen import judge, resampled_mean
from loadgen.virtual.routers import fit_quality

MODELS = ("small", "large")


def question(number: int, topic: str, *, small: bool, tokens: int) -> Question:
    return Question(
        key=f"{topic}-{number}",
        kind=topic,
        text=f"{topic} {topic} question {number}",
        prompt_tokens=20,
        correct={"small": small, "large": True},
        output_tokens={"small": tokens, "large": 2 * tokens},
    )


@pytest.fixture(scope="module")
def sight() -> Sight:
    """A small model that is right about birds alone, whose answers on stones are ten times as long."""
    training = [question(n, "birds", small=True, tokens=10) for n in range(40)]
    training += [question(n, "stones", small=False, tokens=100) for n in range(40)]
    asked = [
        question(100, "birds", small=True, tokens=10),
        question(101, "stones", small=False, tokens=100),
    ]
    usd = np.array([[q.output_tokens["small"] * 1.0, q.output_tokens["large"] * 3.0] for q in training])
    quality = fit_quality(training, MODELS, use_words=True)
    return look(training, asked, models=MODELS, usd=usd, quality=quality, seed=1)


def ask(sight: Sight, topic: str) -> Question:
    return question(100 if topic == "birds" else 101, topic, small=True, tokens=1)


def test_neighbours_share_a_topic(sight: Sight) -> None:
    """Quality and length come from the ten nearest questions, which are of the same topic."""
    assert [1.0, 1.0] == pytest.approx(sight.near_quality[0].tolist())
    assert [0.0, 1.0] == pytest.approx(sight.near_quality[1].tolist())
    assert [100.0, 200.0] == pytest.approx(sight.near_tokens[1].tolist())


def test_a_neighbour_at_no_distance_outweighs_the_others() -> None:
    """Weights are the inverse of the distance plus a millionth, and sum to one."""
    rows = sparse.csr_matrix(np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]))
    near, weights = nearest(rows, sparse.csr_matrix(np.array([[1.0, 0.0]])))
    by_row = dict(zip(near[0].tolist(), weights[0].tolist(), strict=True))
    assert 1.0 == pytest.approx(sum(by_row.values()))
    assert 0.4 / 1e-6 == pytest.approx(by_row[0] / by_row[2], rel=1e-4)


def test_the_smallest_that_suffices() -> None:
    """The first model that is right; none where all are wrong."""
    correct = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert [1, 0, -1] == smallest_sufficient(correct).tolist()


def test_best_route_asks_the_large_model_where_the_small_one_fails(sight: Sight) -> None:
    """It believes its classifier above the threshold, and takes the smallest below it."""
    assert [0, 1] == [best_route(sight, 0.0)(ask(sight, topic)) for topic in ("birds", "stones")]
    assert [0, 0] == [best_route(sight, 1.0)(ask(sight, topic)) for topic in ("birds", "stones")]


def test_best_route_by_chance_takes_the_largest_when_nothing_suffices(sight: Sight) -> None:
    """The smallest model whose chance to suffice reaches the threshold, else the largest."""
    assert [0, 1] == [best_route_match(sight, 0.6)(ask(sight, topic)) for topic in ("birds", "stones")]
    assert [0, 0] == [best_route_match(sight, 0.0)(ask(sight, topic)) for topic in ("birds", "stones")]
    assert [1, 1] == [best_route_match(sight, 1.1)(ask(sight, topic)) for topic in ("birds", "stones")]


def test_avengers_weighs_quality_against_price_by_cluster(sight: Sight) -> None:
    """Quality decides where it differs between the models; price where it does not."""
    assert [0, 1] == [avengers(sight, 0.8)(ask(sight, topic)) for topic in ("birds", "stones")]
    assert [0, 0] == [avengers(sight, 0.2)(ask(sight, topic)) for topic in ("birds", "stones")]


def table() -> OutcomeTable:
    """Two topics on which opposite models are right."""
    topics = ["birds"] * 30 + ["stones"] * 30
    texts = [f"{topic} {topic} number {n}" for n, topic in enumerate(topics)]
    return OutcomeTable(
        name="topics",
        models=MODELS,
        prompts=tuple(describe_prompt(text) for text in texts),
        groups=tuple(topics),
        keys=tuple(texts),
        outcomes=np.array([[1.0, 0.0] if topic == "birds" else [0.0, 1.0] for topic in topics]),
    )


def test_neighbours_of_another_task_mislead() -> None:
    """With its own task among the neighbours every choice is right, without it every choice is wrong."""
    for task in judge(table()):
        assert 1.0 == task.seen.mean()
        assert 0.0 == task.unseen.mean()
        assert 0.5 == task.random.mean()
        assert 0.0 == task.prior.mean()


def test_tasks_weigh_alike_whatever_their_size() -> None:
    """The mean is over tasks, and resamples scatter around it."""
    values = resampled_mean([np.ones(5), np.array([0.0, 1.0] * 50)], resamples=200, seed=3)
    assert 0.75 == values[0]
    assert 0.75 == pytest.approx(values[1:].mean(), abs=0.01)
    assert values[1:].std() > 0
