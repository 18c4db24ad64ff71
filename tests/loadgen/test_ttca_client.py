from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from loadgen.questions.question import Question
from loadgen.stack.ports import free_ports
from loadgen.ttca.bodies import NUMBER_HEADER, right_answer, wrong_answer
from loadgen.ttca.client import Asking, Manner, ask_all

QUESTION = Question(
    key="q1", kind="sum", text="1 + 1?", prompt_tokens=4, correct={"m": True}, output_tokens={"m": 3}
)


@dataclass
class Gateway:
    """Answers with what it was given, in turn, and keeps what it was sent."""

    answers: list[str | int] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def chat(self, request: web.Request) -> web.Response:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            return web.Response(status=answer)
        document = {"choices": [{"message": {"content": answer}}], "usage": {"prompt_tokens": 9}}
        return web.json_response(document)

    async def told(self, request: web.Request) -> web.Response:
        self.feedback.append(orjson.loads(await request.read()))
        return web.json_response({})


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    one = Gateway()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", one.chat)
    app.router.add_post("/v1/feedback", one.told)
    async with TestServer(app) as server:
        one.url = str(server.make_url("")).rstrip("/")
        yield one


async def ask(gateway: Gateway, *, is_verified: bool, attempts: int) -> Asking:
    asking = Asking(number=5, question=QUESTION, intended_seconds=0.0)
    manner = Manner(is_verified=is_verified, attempts=attempts, repeats_itself=True, run="r")
    async with aiohttp.ClientSession() as http:
        await ask_all(http, gateway.url, [asking], lambda _: manner, on_done=lambda: None)
    return asking


async def test_a_client_that_judges_asks_again_in_its_session_until_it_is_right(gateway: Gateway) -> None:
    """The service learns from the session which models failed, and from feedback which was right."""
    gateway.answers = [wrong_answer(QUESTION), right_answer(QUESTION), right_answer(QUESTION)]
    asking = await ask(gateway, is_verified=False, attempts=3)
    assert asking.is_solved
    assert ["r-5", "r-5"] == [headers["x-ttca-session"] for headers in gateway.headers]
    assert ["5", "5"] == [headers[NUMBER_HEADER] for headers in gateway.headers]
    assert [{"session": "r-5", "correct": True}] == gateway.feedback
    assert 0.0 <= asking.sent_seconds < asking.ended_seconds


async def test_a_client_that_judges_gives_up_at_its_cap(gateway: Gateway) -> None:
    """The last answer is reported as wrong, since nobody asks again."""
    gateway.answers = [wrong_answer(QUESTION)] * 3
    asking = await ask(gateway, is_verified=False, attempts=2)
    assert not asking.is_solved
    assert 2 == len(gateway.headers)
    assert [{"session": "r-5", "correct": False}] == gateway.feedback


async def test_a_verified_answer_is_asked_for_once_with_what_is_expected(gateway: Gateway) -> None:
    """Envoy retries inside; the client does not."""
    gateway.answers = [wrong_answer(QUESTION)]
    asking = await ask(gateway, is_verified=True, attempts=1)
    assert not asking.is_solved
    assert [f"exact:{right_answer(QUESTION)}"] == [headers["x-ttca-expect"] for headers in gateway.headers]
    assert "x-ttca-session" not in gateway.headers[0]
    assert [] == gateway.feedback


async def test_an_error_is_counted_and_is_no_answer(gateway: Gateway) -> None:
    """A refused attempt counts against the cap."""
    gateway.answers = [503, right_answer(QUESTION)]
    asking = await ask(gateway, is_verified=False, attempts=2)
    assert (True, 1) == (asking.is_solved, asking.errors)


async def test_nobody_listening_ends_the_request(gateway: Gateway) -> None:
    """A gateway that is gone ends a run with errors, not with an exception."""
    gateway.url = f"http://127.0.0.1:{free_ports(1)[0]}"
    asking = await ask(gateway, is_verified=True, attempts=1)
    assert (False, 1) == (asking.is_solved, asking.errors)
