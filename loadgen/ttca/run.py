"""Runs a study: one stack for all points, whose policy is switched by editing its fleet file.

The service is started anew for each point with what it had learned in the warm-up. Otherwise what one policy's traffic
teaches would change the next one's decisions: LAAR asks the largest models the hardest questions only.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson

from extproc.fleet.topology import Price
from extproc.model_directory import save_model
from loadgen.questions.question import QuestionSet
from loadgen.stack.failure import StackError
from loadgen.stack.local import LocalStack
from loadgen.stack.ports import with_free_ports
from loadgen.ttca.arms import ARMS, Arm
from loadgen.ttca.client import Asking, Manner, ask_all
from loadgen.ttca.fleet import SCRAPE_SECONDS, fleet_document
from loadgen.ttca.machine import MachineWatch
from loadgen.ttca.stories import DEADLINES_SECONDS, UpstreamTry, read_journal, success_within, tell_stories
from loadgen.ttca.study import Point, PointPlan, Study, draw_askings
from loadgen.virtual.routers import fit_quality
from loadgen.virtual.simulation import Run
from loadgen.virtual.summary import summarize

START_SECONDS = 10.0
"""How long Envoy may take to find the service again."""

SETTLE_SECONDS = 0.3
"""Pause after a point, for the last entries of the access log."""

OnProgress = Callable[[str], None]
"""Hears what is running now; called once per point, when it begins."""


async def run_study(
    study: Study, questions: QuestionSet, run_dir: Path, *, on_point: OnProgress
) -> tuple[Point, ...]:
    """Bring the system up, warm it up, and run every point.

    Args:
        study: What to run.
        questions: The set that it names.
        run_dir: For the fleet file, state and logs; what was learned there before is forgotten.
        on_point: Called as each point begins.

    Raises:
        StackError: A part of the system did not start, or refused an edit.
    """
    (run_dir / "state.json").unlink(missing_ok=True)
    directory = run_dir / "quality" if study.is_fitted else None
    if directory is not None:
        on_point("fitting the quality model")
        model = fit_quality(questions.training, questions.models, use_words=True)
        save_model(model, directory, {"data": questions.name})
    document = with_free_ports(
        fleet_document(questions, time_scale=study.time_scale, model_directory=directory)
    )
    async with LocalStack(run_dir, document) as stack:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            runner = _Runner(study, questions, stack, http)
            on_point("warm-up")
            await runner.warm_up()
            points = []
            for load in study.rates:
                for plan in study.points(load):
                    on_point(f"{load}: {ARMS[plan.arm].title}")
                    points.append(await runner.point(plan))
            return tuple(points)


class _Runner:
    def __init__(
        self, study: Study, questions: QuestionSet, stack: LocalStack, http: aiohttp.ClientSession
    ) -> None:
        self._study = study
        self._questions = questions
        self._stack = stack
        self._http = http
        clusters = stack.settings.fleet().clusters
        self._prices: dict[str, Price] = {cluster.model: cluster.price for cluster in clusters}
        self._models = {i.address: cluster.model for cluster in clusters for i in cluster.instances}
        self._learned = b""

    async def warm_up(self) -> None:
        """Ask training questions of each model in turn, so that lengths and speeds are learned."""
        study, models = self._study, self._questions.models
        rate = min(study.rates.values()) * study.time_scale
        askings = draw_askings(self._questions.training, study.warm_up, rate, study.seed + 1)

        def manner(asking: Asking) -> Manner:
            model = models[asking.number % len(models)]
            return Manner(
                is_verified=study.is_fitted, attempts=1, repeats_itself=True, run="warm-up", model=model
            )

        await ask_all(self._http, self._stack.gateway_url, askings, manner, on_done=_ignore)
        if all(asking.errors for asking in askings):
            raise StackError(f"no request was answered; logs are in {self._stack.run_dir}")
        await asyncio.sleep(SETTLE_SECONDS)
        await self._stack.service.stop()
        self._learned = self._state_file.read_bytes()

    async def point(self, plan: PointPlan) -> Point:
        """Run one point."""
        study, arm = self._study, ARMS[plan.arm]
        await self._start_service(arm, plan.value)
        await self._forget_journals()
        manner = Manner(
            is_verified=arm.is_verified,
            attempts=arm.client_attempts(plan.value),
            repeats_itself=arm.repeats_itself,
            run=f"{plan.load}-{plan.arm}-{plan.value:g}",
        )
        askings = study.askings(self._questions.held_out, plan.load)
        watch = MachineWatch(self._pids())
        watch.start()
        await ask_all(self._http, self._stack.gateway_url, askings, lambda _: manner, on_done=_ignore)
        usage = watch.stop()
        await asyncio.sleep(SETTLE_SECONDS)
        stories = tell_stories(askings, await self._tries(), self._prices, time_scale=study.time_scale)
        end = max(story.ended_seconds for story in stories)
        run = Run(stories=stories, busy_seconds=dict.fromkeys(self._models, 0.0), preemptions=0, seconds=end)
        return Point(
            plan=plan,
            summary=summarize(run, knob=plan.value, seed=study.seed),
            within={limit: success_within(stories, limit, seed=study.seed) for limit in DEADLINES_SECONDS},
            usage=usage,
            lag_p99_seconds=_lag(askings),
            errors=sum(asking.errors for asking in askings),
            stories=stories,
        )

    @property
    def _state_file(self) -> Path:
        return Path(self._stack.settings.service.state_file)

    def _pids(self) -> dict[str, int]:
        stack = self._stack
        return {
            "service": stack.service.pid,
            "envoy": stack.envoy.pid,
            "fleet": stack.simulators.pid,
            "clients": os.getpid(),
        }

    async def _start_service(self, arm: Arm, value: float) -> None:
        """Start the service with an arm's policy and with what the warm-up has taught it."""

        def edit(document: dict[str, Any]) -> None:
            document["policy"] = {"name": arm.policy}
            worth = arm.worth_seconds(value) / self._study.time_scale
            document["objective"] = {"correct_answer_worth_seconds": worth}

        # Its last word is not wanted, and a polite end would wait for Envoy's open streams.
        await self._stack.service.kill()
        self._state_file.write_bytes(self._learned)
        self._stack.write_fleet(edit)
        await self._stack.start_service()
        deadline = time.monotonic() + START_SECONDS
        while not await self._decides():
            if time.monotonic() > deadline:
                raise StackError(f"Envoy does not reach the service; logs are in {self._stack.run_dir}")
            await asyncio.sleep(0.1)
        # Until every instance has been scraped, the service does not know whether they are well.
        await asyncio.sleep(2 * SCRAPE_SECONDS)

    async def _decides(self) -> bool:
        """True when feedback that says nothing is refused, which only the service does."""
        async with self._http.post(self._stack.gateway_url + "/v1/feedback", data=b"{}") as response:
            await response.read()
            return "x-ttca-error-reason" in response.headers

    async def _forget_journals(self) -> None:
        for address in self._models:
            async with self._http.delete(f"http://{address}/admin/requests") as response:
                response.raise_for_status()

    async def _tries(self) -> list[UpstreamTry]:
        tries: list[UpstreamTry] = []
        for address, model in self._models.items():
            async with self._http.get(f"http://{address}/admin/requests") as response:
                response.raise_for_status()
                tries += read_journal(orjson.loads(await response.read())["requests"], model)
        return tries


def _lag(askings: Sequence[Asking]) -> float:
    return float(np.quantile([asking.sent_seconds - asking.intended_seconds for asking in askings], 0.99))


def _ignore() -> None:
    """Nothing to tell: progress is by point."""
