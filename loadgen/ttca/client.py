"""The clients of a run: they ask when it is time, whatever else is going on, and time their first correct answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from loadgen.questions.question import Question
from loadgen.ttca.bodies import NUMBER_HEADER, PATH, request_body, right_answer
from loadgen.virtual.fleet import AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How clients ask.

    Attributes:
        is_verified: True to name the expected answer and take what comes; False to judge, in a session.
        attempts: How often a client asks at most.
        repeats_itself: True to ask at temperature 0.
        run: Unique name of the run, for sessions.
        model: A model or an alias.
    """

    is_verified: bool
    attempts: int
    repeats_itself: bool
    run: str
    model: str = AUTO


@dataclass(slots=True, kw_only=True)
class Asking:
    """One request as its client saw it, in real seconds since the start of the run.

    Attributes:
        number: Of the request, from 0.
        question: What was asked.
        intended_seconds: When it was due.
        sent_seconds: When it was sent.
        ended_seconds: When its client had a correct answer or gave up.
        is_solved: True when it had one.
        prompt_tokens: As the server counted them; 0 when nobody answered.
        errors: Answers that were none.
        verdict: The gateway's on the last answer.
    """

    number: int
    question: Question
    intended_seconds: float
    sent_seconds: float = 0.0
    ended_seconds: float = 0.0
    is_solved: bool = False
    prompt_tokens: int = 0
    errors: int = 0
    verdict: str = ""


async def ask_all(
    http: aiohttp.ClientSession,
    url: str,
    askings: Sequence[Asking],
    manner: Callable[[Asking], Manner],
    *,
    on_done: Callable[[], None],
) -> None:
    """Ask everything when it is due, and wait for the last answer.

    Args:
        http: Without a limit on connections.
        url: Of the gateway.
        askings: Ascending by the time they are due; completed in place.
        manner: How each is asked.
        on_done: Called as each ends.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for asking in askings:
            delay = start + asking.intended_seconds - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            client = _Client(http, url, asking, manner(asking), start)
            tasks.create_task(client.ask()).add_done_callback(lambda _: on_done())


class _Client:
    def __init__(
        self, http: aiohttp.ClientSession, url: str, asking: Asking, manner: Manner, start: float
    ) -> None:
        self._http = http
        self._url = url
        self._asking = asking
        self._manner = manner
        self._start = start
        self._session = f"{manner.run}-{asking.number}"

    async def ask(self) -> None:
        """Ask until the answer is right or the attempts are used up."""
        asking, manner = self._asking, self._manner
        body = request_body(asking.question, model=manner.model, repeats_itself=manner.repeats_itself)
        headers = {"content-type": "application/json", NUMBER_HEADER: str(asking.number)}
        if manner.is_verified:
            headers["x-ttca-expect"] = f"exact:{right_answer(asking.question)}"
        else:
            headers["x-ttca-session"] = self._session
        asking.sent_seconds = self._now()
        for _ in range(manner.attempts):
            if await self._try(body, headers):
                asking.is_solved = True
                break
        asking.ended_seconds = self._now()
        if not manner.is_verified:
            await self._tell(asking.is_solved)

    async def _try(self, body: bytes, headers: dict[str, str]) -> bool:
        asking = self._asking
        try:
            async with self._http.post(self._url + PATH, data=body, headers=headers) as response:
                content = await response.read()
                asking.verdict = response.headers.get("x-ttca-verdict", "")
                if response.status != HTTPStatus.OK:
                    asking.errors += 1
                    return False
        except (aiohttp.ClientError, TimeoutError):
            asking.errors += 1
            return False
        document: dict[str, Any] = orjson.loads(content)
        asking.prompt_tokens = document["usage"]["prompt_tokens"]
        answer: str = document["choices"][0]["message"]["content"]
        return answer.strip() == right_answer(asking.question)

    async def _tell(self, correct: bool) -> None:
        """Post the verdict on the last answer: asking again says by itself that the one before was wrong."""
        body = orjson.dumps({"session": self._session, "correct": correct})
        try:
            async with self._http.post(f"{self._url}/v1/feedback", data=body) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError):
            self._asking.errors += 1

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._start
