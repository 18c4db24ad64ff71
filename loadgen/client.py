"""Sends a schedule to a server at the times it says, whatever the server does, and records what came back.

Latencies run from the **intended** start of a request. Measured from the actual one, a client that falls behind
would leave out just the waiting that its users would have felt (coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import aiohttp
from multidict import CIMultiDictProxy

from loadgen.answer import Answer, PlainAnswer, StreamedAnswer
from loadgen.schedule import ScheduledRequest

LOOK_AHEAD = 32
"""Bodies rendered ahead of time and not yet sent; bounds the memory of a run of long prompts."""

FAILURES_TO_GIVE_UP = 5
"""Connection failures, with no answer before or between them, after which a target counts as unreachable."""

MAX_ERROR_BYTES = 2000
"""Kept of an error's body."""


class TargetUnreachableError(Exception):
    """Nothing ever answered at the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """What became of one request. Times are seconds; starts count from the start of the run.

    Attributes:
        index: Position in the schedule.
        path: As sent.
        model: Model asked for.
        kind: Kind of text of the prompt.
        stream: True when server-sent events were asked for.
        wanted_prompt_tokens: Size that the prompt was written to.
        wanted_output_tokens: Size that the answer should have.
        intended_start_seconds: When the schedule wanted it sent.
        actual_start_seconds: When it was sent.
        status: HTTP status; None when no response headers came.
        error: Kind of failure: `connect`, `timeout`, `disconnect`, `status`, `body` (an error or nonsense in a
            200 answer) or `truncated` (a stream without its end); None when all went well.
        error_detail: Body of the error, or what the failure said; clipped.
        ttft_seconds: From the intended start to the first output; None for plain answers.
        e2e_seconds: From the intended start to the last byte or to the failure.
        chunks: Server-sent events received.
        bytes_received: Size of the answer's body.
        prompt_tokens: Usage as the server reported it.
        completion_tokens: Usage as the server reported it.
        finish_reason: As the server reported it.
        answered_model: Model that the answer names.
        instance: `x-inference-pod`: who served.
        attempts: `x-envoy-attempt-count`; None when not told.
        upstream_seconds: `x-envoy-upstream-service-time`: until the upstream's response headers.
        request_id: `x-request-id` of the response.
    """

    index: int
    path: str
    model: str
    kind: str
    stream: bool
    wanted_prompt_tokens: int
    wanted_output_tokens: int
    intended_start_seconds: float
    actual_start_seconds: float
    status: int | None
    error: str | None
    error_detail: str
    ttft_seconds: float | None
    e2e_seconds: float
    chunks: int
    bytes_received: int
    prompt_tokens: int | None
    completion_tokens: int | None
    finish_reason: str
    answered_model: str
    instance: str
    attempts: int | None
    upstream_seconds: float | None
    request_id: str

    @property
    def lag_seconds(self) -> float:
        """How late the client itself was in sending."""
        return self.actual_start_seconds - self.intended_start_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is; `notice` is a sentence for the user, or empty."""

    total: int
    sent: int
    finished: int
    errors: int
    elapsed_seconds: float
    notice: str = ""


OnProgress = Callable[[Progress], None]


async def run_load(
    schedule: Sequence[ScheduledRequest],
    target_url: str,
    *,
    timeout_seconds: float,
    on_progress: OnProgress | None = None,
) -> list[RequestRecord]:
    """Send every request of `schedule` at its time and wait for all answers.

    Args:
        schedule: Ascending by `start_seconds`.
        target_url: Scheme, host and port; a path is kept in front of each request's path.
        timeout_seconds: Most time from a request's actual start to its last byte.
        on_progress: Called after each finished request, and when there is something to say.

    Returns:
        One record per request, in the order of the schedule.

    Raises:
        TargetUnreachableError: The first requests could not connect and nothing ever answered.
        ValueError: The timeout is not positive, or the schedule does not ascend.
    """
    if not timeout_seconds > 0:
        raise ValueError(f"the timeout must be positive, not {timeout_seconds} s")
    if any(later.start_seconds < sooner.start_seconds for sooner, later in pairwise(schedule)):
        raise ValueError("a schedule must ascend by start_seconds")
    session = aiohttp.ClientSession(
        # The load is open: a cap on connections would hold requests back just when the server is slow.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        read_bufsize=1 << 18,
    )
    async with session:
        return await _Run(schedule, target_url.rstrip("/"), session, on_progress).execute()


class _Run:
    """One run: the launching of requests, and the count of what came back."""

    def __init__(
        self,
        schedule: Sequence[ScheduledRequest],
        base_url: str,
        session: aiohttp.ClientSession,
        on_progress: OnProgress | None,
    ) -> None:
        self._schedule = schedule
        self._base_url = base_url
        self._session = session
        self._on_progress = on_progress
        self._origin = 0.0
        self._records: list[RequestRecord | None] = [None] * len(schedule)
        self._sent = 0
        self._finished = 0
        self._errors = 0
        self._has_answer = False
        self._bodies: asyncio.Queue[bytes] = asyncio.Queue(LOOK_AHEAD)
        self._is_prepared = asyncio.Event()

    async def execute(self) -> list[RequestRecord]:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._render())
                tasks.create_task(self._launch(tasks))
        except* TargetUnreachableError as group:
            # The group exists only because tasks ended together; to the caller it is one fact.
            raise group.exceptions[0] from None
        return [record for record in self._records if record is not None]

    async def _render(self) -> None:
        """Render bodies ahead of their time, off the loop: a long prompt must not delay others."""
        for request in self._schedule:
            await self._bodies.put(await asyncio.to_thread(request.body))
            if self._bodies.full():
                self._is_prepared.set()
        self._is_prepared.set()

    async def _launch(self, tasks: asyncio.TaskGroup) -> None:
        # The clock starts once the first bodies are there: a run does not begin with a lag of its own making.
        await self._is_prepared.wait()
        self._origin = time.perf_counter()
        for index, request in enumerate(self._schedule):
            body = await self._bodies.get()
            await asyncio.sleep(self._origin + request.start_seconds - time.perf_counter())
            self._sent += 1
            tasks.create_task(self._request(index, request, body))

    async def _request(self, index: int, request: ScheduledRequest, body: bytes) -> None:
        exchange = _Exchange(index, request, self._origin)
        await exchange.perform(self._session, self._base_url, body)
        record = exchange.record()
        self._records[index] = record
        self._finished += 1
        self._errors += record.error is not None
        notice = ""
        if record.error != "connect":
            self._has_answer = True
        elif not self._has_answer:
            notice = f"cannot reach {self._base_url}: {record.error_detail}" if self._finished == 1 else ""
            if self._finished >= min(FAILURES_TO_GIVE_UP, len(self._schedule)):
                raise TargetUnreachableError(
                    f"nothing answers at {self._base_url}: {record.error_detail} "
                    f"(gave up after {self._finished} requests)"
                )
        self._report(notice)

    def _report(self, notice: str) -> None:
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    total=len(self._schedule),
                    sent=self._sent,
                    finished=self._finished,
                    errors=self._errors,
                    elapsed_seconds=time.perf_counter() - self._origin,
                    notice=notice,
                )
            )


class _Exchange:
    """One request and its answer on the wire."""

    def __init__(self, index: int, request: ScheduledRequest, origin: float) -> None:
        self._index = index
        self._request = request
        self._origin = origin
        self._actual_start = 0.0
        self._end = 0.0
        self._status: int | None = None
        self._headers: CIMultiDictProxy[str] | None = None
        self._error: str | None = None
        self._error_detail = ""
        self._bytes = 0
        self._answer: Answer = PlainAnswer()

    async def perform(self, session: aiohttp.ClientSession, base_url: str, body: bytes) -> None:
        headers = {"content-type": "application/json", **dict(self._request.headers)}
        self._actual_start = time.perf_counter()
        try:
            async with session.post(base_url + self._request.path, data=body, headers=headers) as response:
                self._status, self._headers = response.status, response.headers
                await self._read(response)
        except aiohttp.ClientConnectorError as error:
            self._fail("connect", error.os_error)
        except TimeoutError:
            self._error, self._error_detail = (
                "timeout",
                f"no complete answer within {session.timeout.total:g} s",
            )
        except (aiohttp.ClientError, OSError) as error:
            self._fail("disconnect", error)
        self._end = time.perf_counter()

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        if response.status >= 400:
            await self._read_error(response)
            return
        if response.content_type == "text/event-stream":
            self._answer = StreamedAnswer()
        async for data in response.content.iter_any():
            self._bytes += len(data)
            self._answer.feed(data, time.perf_counter())
        self._answer.close()
        if self._answer.error:
            self._error, self._error_detail = "body", self._answer.error
        elif not self._answer.is_complete:
            self._error, self._error_detail = "truncated", "the stream ended without [DONE]"

    async def _read_error(self, response: aiohttp.ClientResponse) -> None:
        kept = bytearray()
        async for data in response.content.iter_any():
            self._bytes += len(data)
            kept += data[: MAX_ERROR_BYTES - len(kept)]
        self._error, self._error_detail = "status", kept.decode(errors="replace")

    def _fail(self, kind: str, error: BaseException) -> None:
        self._error = kind
        self._error_detail = (str(error) or type(error).__name__)[:MAX_ERROR_BYTES]

    def record(self) -> RequestRecord:
        """What is known after `perform`."""
        intended = self._origin + self._request.start_seconds
        first_token = self._answer.first_token_seconds
        upstream_ms = self._header("x-envoy-upstream-service-time")
        attempts = self._header("x-envoy-attempt-count")
        return RequestRecord(
            index=self._index,
            path=self._request.path,
            model=self._request.model,
            kind=self._request.kind,
            stream=self._request.stream,
            wanted_prompt_tokens=self._request.prompt_tokens,
            wanted_output_tokens=self._request.output_tokens,
            intended_start_seconds=self._request.start_seconds,
            actual_start_seconds=self._actual_start - self._origin,
            status=self._status,
            error=self._error,
            error_detail=self._error_detail,
            ttft_seconds=None if first_token is None else first_token - intended,
            e2e_seconds=self._end - intended,
            chunks=self._answer.events,
            bytes_received=self._bytes,
            prompt_tokens=self._answer.prompt_tokens,
            completion_tokens=self._answer.completion_tokens,
            finish_reason=self._answer.finish_reason,
            answered_model=self._answer.model,
            instance=self._header("x-inference-pod"),
            attempts=int(attempts) if attempts.isdigit() else None,
            upstream_seconds=int(upstream_ms) / 1000 if upstream_ms.isdigit() else None,
            request_id=self._header("x-request-id"),
        )

    def _header(self, name: str) -> str:
        return "" if self._headers is None else self._headers.get(name, "")
