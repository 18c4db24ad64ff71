"""From what clients and simulated servers saw to stories: attempts, tokens and money are what really went upstream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from extproc.fleet.topology import Price
from loadgen.questions.question import Question
from loadgen.ttca.bodies import NUMBER_HEADER
from loadgen.ttca.client import Asking
from loadgen.virtual.simulation import TOKENS_PER_PRICE, Story
from loadgen.virtual.summary import RESAMPLES, WARM_UP_SHARE, Figure, Floats

DEADLINES_SECONDS = (2.0, 5.0, 10.0, 20.0)
"""Simulated seconds within which an answer may be wanted."""


@dataclass(frozen=True, slots=True)
class UpstreamTry:
    """One try as a simulated server received it; `received_at` is Unix time in seconds."""

    number: int
    model: str
    received_at: float


def read_journal(entries: Iterable[Mapping[str, Any]], model: str) -> list[UpstreamTry]:
    """Read the entries of one server's journal; those of other traffic are left out."""
    tries = []
    for entry in entries:
        number = dict(entry["headers"]).get(NUMBER_HEADER)
        if number is not None:
            tries.append(UpstreamTry(int(number), model, float(entry["received_at"])))
    return tries


def tell_stories(
    askings: Sequence[Asking],
    tries: Iterable[UpstreamTry],
    prices: Mapping[str, Price],
    *,
    time_scale: float,
) -> tuple[Story, ...]:
    """Join both sides, in simulated seconds.

    Args:
        askings: In order of arrival.
        tries: Of all servers, in any order.
        prices: By model.
        time_scale: Simulated seconds per real second.
    """
    by_number: dict[int, list[UpstreamTry]] = defaultdict(list)
    for one in sorted(tries, key=lambda one: one.received_at):
        by_number[one.number].append(one)
    return tuple(_story(asking, by_number[asking.number], prices, time_scale) for asking in askings)


def _story(
    asking: Asking, tries: Sequence[UpstreamTry], prices: Mapping[str, Price], time_scale: float
) -> Story:
    question = asking.question
    output_tokens = [question.output_tokens[one.model] for one in tries]
    return Story(
        question=question,
        arrived_seconds=asking.intended_seconds * time_scale,
        ended_seconds=asking.ended_seconds * time_scale,
        is_solved=asking.is_solved,
        is_first_correct=bool(tries) and question.correct[tries[0].model],
        attempts=len(tries),
        prompt_tokens=asking.prompt_tokens * len(tries),
        output_tokens=sum(output_tokens),
        usd=sum(
            asking.prompt_tokens * prices[one.model].input_usd_per_mtok
            + tokens * prices[one.model].output_usd_per_mtok
            for one, tokens in zip(tries, output_tokens, strict=True)
        )
        / TOKENS_PER_PRICE,
    )


def success_within(stories: Sequence[Story], deadline_seconds: float, *, seed: int) -> Figure:
    """Share of the requests solved within a deadline, warm-up left out, with the bootstrap over questions."""
    counted = stories[int(WARM_UP_SHARE * len(stories)) :]
    is_met = np.array([float(story.is_solved and story.seconds <= deadline_seconds) for story in counted])
    weights = _weights([story.question for story in counted], seed)
    resampled = weights @ is_met / weights.sum(axis=1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Figure(float(is_met.mean()), float(low), float(high))


def _weights(questions: Sequence[Question], seed: int) -> Floats:
    """How often each request counts in each resample of the questions, shape (resamples, requests)."""
    keys = sorted({question.key for question in questions})
    index = {key: position for position, key in enumerate(keys)}
    drawn = np.random.default_rng(seed).multinomial(
        len(keys), np.full(len(keys), 1 / len(keys)), size=RESAMPLES
    )
    weights: Floats = drawn[:, [index[question.key] for question in questions]].astype(np.float64)
    return weights
