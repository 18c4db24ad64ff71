"""What is measured: routers over fleets of several sizes, with load on them, and requests to decide on."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np

from extproc.decide.order import Policy
from extproc.decide.planner import PlanPolicy, Verification
from extproc.facts.grams import hash_grams
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import profile_text
from extproc.fleet.vllm_metrics import InstanceMetrics
from extproc.router import Router
from loadgen.questions.question import Question, QuestionSet
from loadgen.virtual.fleet import AUTO, STUDY_TIERS, build_fleet
from loadgen.virtual.routers import build_router, fit_quality

MODELS = 4
"""As many as RouteBalance's fleet has."""

MOST_SEQUENCES = 20
"""Sequences of an instance are drawn up to this many at each scrape, of 128 slots."""

IN_FLIGHT = 200
"""Decisions that are in the load book at once."""

SECONDS_BETWEEN = 0.01
"""Time between two decisions, on the router's clock."""

SCRAPED_EVERY = 100
"""Decisions between two scrapes of every instance: once a second."""

TRAINING = 400
"""Questions whose lengths and outcomes the estimators have seen: enough for limits of answers to be weighed."""

POLICY = PlanPolicy(
    policy=Policy.FIRST_CORRECT,
    max_attempts=5,
    request_timeout_seconds=3600.0,
    per_try_timeout_seconds=None,
    union_cluster="fleet",
    verification=Verification.ALWAYS,
)
"""Verified plans over several models: the dearest kind."""


class Stand:
    """One router and its traffic.

    Args:
        router: Decides.
        requests: Asked in turn.
        rng: Draws the load that scrapes report.
    """

    def __init__(self, router: Router, requests: tuple[RequestFacts, ...], rng: np.random.Generator) -> None:
        self.router = router
        self._requests = requests
        self._rng = rng
        self._made = 0
        self._under_way: deque[str] = deque()

    def next_request(self) -> tuple[RequestFacts, float, str]:
        """The next request, the time and the decision's name; what is not to be measured happens here."""
        now = self._made * SECONDS_BETWEEN
        if self._made % SCRAPED_EVERY == 0:
            self._scrape(now)
        if len(self._under_way) >= IN_FLIGHT:
            self.router.book.release(self._under_way.popleft(), now=now)
        facts, decision_id = self._requests[self._made % len(self._requests)], f"d{self._made}"
        self._under_way.append(decision_id)
        self._made += 1
        return facts, now, decision_id

    def _scrape(self, now: float) -> None:
        for address in self.router.book.table.addresses:
            metrics = InstanceMetrics(
                running=float(self._rng.integers(0, MOST_SEQUENCES)),
                waiting=0.0,
                kv_usage=float(self._rng.uniform(0.0, 0.5)),
                preemptions_total=0.0,
                kv_capacity_tokens=262_144,
            )
            self.router.observe(address, metrics, now)


class Workshop:
    """Makes stands that share what was learned.

    Args:
        questions: Quality is fitted to the training part, words included; the held-out part is asked.
        seed: Of everything drawn.
    """

    def __init__(self, questions: QuestionSet, *, seed: int) -> None:
        self._models = questions.models[:MODELS]
        self._training = questions.training[:TRAINING]
        self._quality = fit_quality(questions.training, questions.models, use_words=True)
        self._requests = tuple(_facts(question) for question in questions.held_out)
        self._seed = seed

    def stand(self, instances: int, policy: Policy = Policy.FIRST_CORRECT) -> Stand:
        """A router over so many instances, divided evenly among the models.

        Raises:
            ValueError: There are fewer instances than models.
        """
        if instances < len(self._models):
            raise ValueError(
                f"instances: expected at least {len(self._models)}, one per model, got {instances}"
            )
        share, rest = divmod(instances, len(self._models))
        counts = [share + (index < rest) for index in range(len(self._models))]
        router = build_router(
            build_fleet(self._models, STUDY_TIERS[: len(self._models)], instances=counts),
            replace(POLICY, policy=policy),
            quality=self._quality,
            training=self._training,
            rng=np.random.default_rng(self._seed),
        )
        return Stand(router, self._requests, np.random.default_rng(self._seed))


def _facts(question: Question) -> RequestFacts:
    return RequestFacts(
        api=Api.CHAT_COMPLETIONS,
        model=AUTO,
        text=profile_text([question.text]),
        grams=hash_grams([question.text]),
        messages=1,
        body_bytes=len(question.text.encode()),
        is_deterministic=True,
    )
