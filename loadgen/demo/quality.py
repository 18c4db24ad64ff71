"""The same questions twice through the same system: plainly routed, and with verified plans.

Each question is sent once. Plainly routed, the client gets whatever the chosen model says; with a verified plan it gets the
first answer that passed. Whether a model is right on a question was recorded on the real models, and is replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import orjson
from rich.console import Console

from loadgen.arrivals import poisson
from loadgen.data import data_folder
from loadgen.questions.catalog import load_questions
from loadgen.questions.question import Question, QuestionSet
from loadgen.stack.local import LocalStack

QUESTIONS = 80
RATE_PER_SECOND = 8.0
STAND_INS = ("llama-3.1-8b", "llama-3.1-70b")
"""Recorded models whose correctness and lengths the fleet's smaller and larger model replay."""

LONGEST_ANSWER_TOKENS = 400
"""Questions on which a model answered at greater length are left out: a model that looped would outlast the demo."""

WORTH_SECONDS = 40.0
RELOAD_SECONDS = 1.0
"""Time that the service has to take over the edited fleet file, four times its polling interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """What one arm's clients saw.

    Attributes:
        name: `plain` or `verified`.
        questions: Questions sent.
        correct: Answers that were right.
        correct_json: Of these, answers to the JSON-schema tasks; every other question is one.
        failed: Requests without an answer.
        mean_seconds: Mean time to the answer that the client got.
        p95_seconds: Its 95th percentile.
        attempts: Mean tries per question.
        retried_to_correct: Questions whose first answer was rejected and whose last was right.
    """

    name: str
    questions: int
    correct: int
    correct_json: int
    failed: int
    mean_seconds: float
    p95_seconds: float
    attempts: float
    retried_to_correct: int


@dataclass(frozen=True, slots=True)
class _Answer:
    seconds: float
    is_correct: bool
    attempts: int
    status: int


def quality_priors(environ: Mapping[str, str], models: Sequence[str], *, seed: int) -> dict[str, float]:
    """Share of the training questions that each model of the fleet answers correctly."""
    training = _questions(environ, seed).training
    return {
        model: float(np.mean([question.correct[source] for question in training]))
        for model, source in zip(models, STAND_INS, strict=False)
    }


async def compare_routing(
    stack: LocalStack, environ: Mapping[str, str], *, seed: int, console: Console
) -> tuple[str, list[ArmResult]]:
    """Run both arms one after the other on the same questions and arrivals.

    Returns:
        The line that says where the questions come from, and the results.
    """
    found = _questions(environ, seed)
    models = list(dict.fromkeys(cluster.model for cluster in stack.settings.clusters))
    rng = np.random.default_rng(seed)
    short = [
        question
        for question in found.held_out
        if max(question.output_tokens[source] for source in STAND_INS) <= LONGEST_ANSWER_TOKENS
    ]
    chosen = [short[index] for index in rng.permutation(len(short))[:QUESTIONS]]
    times = poisson(len(chosen), RATE_PER_SECOND, rng)
    source = (
        f"{found.name}: {'recorded by WildEval/ZeroEval' if found.is_recorded else 'generated (no data folder)'}; "
        f"{models[0]} and {models[-1]} replay {STAND_INS[0]} and {STAND_INS[-1]}, "
        f"answers of up to {LONGEST_ANSWER_TOKENS} tokens"
    )
    console.print(
        f"\n{len(chosen)} questions, plainly routed and with verified plans ({source})", highlight=False
    )
    results = []
    for name, policy in (("plain", "least_work"), ("verified", "first_correct")):
        stack.write_fleet(_with_policy(policy))
        await asyncio.sleep(RELOAD_SECONDS)
        with console.status(f"{name} routing"):
            results.append(await _run_arm(stack, name, chosen, times.tolist(), models))
    return source, results


def _questions(environ: Mapping[str, str], seed: int) -> QuestionSet:
    return load_questions("zeroeval", data_folder(environ), seed=seed)


def _with_policy(policy: str) -> Any:  # noqa: ANN401 - a function that edits a document
    def edit(document: dict[str, Any]) -> None:
        document["policy"] = {"name": policy}
        document["objective"] = {"correct_answer_worth_seconds": WORTH_SECONDS}

    return edit


async def _run_arm(
    stack: LocalStack, name: str, questions: Sequence[Question], times: Sequence[float], models: Sequence[str]
) -> ArmResult:
    loop = asyncio.get_running_loop()
    start = loop.time() + 0.2
    limit = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=limit, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(index: int) -> _Answer:
            intended = start + times[index]
            await asyncio.sleep(max(0.0, intended - loop.time()))
            body, headers, expected = _request(
                questions[index], index, models, is_verified=name == "verified"
            )
            async with session.post(
                f"{stack.gateway_url}/v1/chat/completions", data=body, headers=headers
            ) as response:
                content = await response.read()
            document = orjson.loads(content) if response.status == 200 else {}
            text = document["choices"][0]["message"]["content"] if document else ""
            return _Answer(
                loop.time() - intended,
                text == expected,
                int(
                    response.headers.get(
                        "x-ttca-attempts", response.headers.get("x-envoy-attempt-count", "1")
                    )
                ),
                response.status,
            )

        answers = await asyncio.gather(*(ask(index) for index in range(len(questions))))
    seconds = np.array([answer.seconds for answer in answers])
    return ArmResult(
        name=name,
        questions=len(answers),
        correct=sum(answer.is_correct for answer in answers),
        correct_json=sum(answer.is_correct for answer in answers[::2]),
        failed=sum(answer.status != 200 for answer in answers),
        mean_seconds=float(seconds.mean()),
        p95_seconds=float(np.quantile(seconds, 0.95)),
        attempts=float(np.mean([answer.attempts for answer in answers])),
        retried_to_correct=sum(answer.is_correct and answer.attempts > 1 for answer in answers),
    )


def _request(
    question: Question, index: int, models: Sequence[str], *, is_verified: bool
) -> tuple[bytes, dict[str, str], str]:
    """A body, its headers and the right answer: by turns a JSON-schema task and an expectation task."""
    has_schema = index % 2 == 0
    right = (
        orjson.dumps({"answer": question.key}).decode() if has_schema else f"The answer is {question.key}."
    )
    wrong = f"I think it is {question.key}" if has_schema else "The answer is something else."
    sources = dict(zip(models, STAND_INS, strict=False))
    body: dict[str, Any] = {
        "model": "auto",
        "messages": [{"role": "user", "content": question.text}],
        "temperature": 0,
        "ttca_sim": {
            "output_tokens": {model: question.output_tokens[source] for model, source in sources.items()},
            "answers": {
                model: right if question.correct[source] else wrong for model, source in sources.items()
            },
        },
    }
    headers = {"content-type": "application/json"}
    if has_schema:
        schema = {"type": "object", "required": ["answer"], "properties": {"answer": {"type": "string"}}}
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    elif is_verified:
        headers["x-ttca-expect"] = f"contains:{question.key}"
    return orjson.dumps(body), headers, right
