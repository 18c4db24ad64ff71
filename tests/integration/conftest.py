"""The gRPC services in this process, on a Unix socket, with fakes for everything behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from extproc.calibrate.outcome import Outcome, TryRecord
from extproc.decide.plan import Attempt, Plan
from extproc.facts.parse import parse_request
from extproc.facts.request import RequestFacts
from extproc.protocol import names
from extproc.protocol.wire import access_log_pb2, ext_proc_pb2
from extproc.server import access_log, servicer
from extproc.server.access_log import AccessLogService
from extproc.server.servicer import ExternalProcessor, OnStage
from extproc.telemetry.records import AttemptRecord, DecideRecord

TIMEOUT_SECONDS = 10.0


@dataclass
class FakeRouter:
    """Plans the same for everyone, or raises what it was told to."""

    error: Exception | None = None
    model: str | None = None
    seen: list[RequestFacts] = field(default_factory=list)
    abandoned: list[Plan] = field(default_factory=list)

    def route(self, facts: RequestFacts, on_stage: OnStage) -> Plan:
        """Plan one attempt."""
        self.seen.append(facts)
        if self.error is not None:
            raise self.error
        on_stage("eligible")
        on_stage("assign")
        return Plan(
            decision_id="decision-1",
            attempts=(Attempt(address="10.0.0.1:8000", cluster="a", model="a", work_seconds=1.0),),
            route_cluster="a",
            max_retries=0,
            timeout_seconds=30.0,
            per_try_timeout_seconds=None,
            model=self.model,
            pool="short",
            budget=None,
            candidates=1,
            reason="only one",
        )


@dataclass
class FakeListener:
    """Remembers what it was told."""

    decisions: list[DecideRecord] = field(default_factory=list)
    attempts: list[AttemptRecord] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    tries: list[TryRecord] = field(default_factory=list)
    bad_entries: int = 0
    error: Exception | None = None

    def decided(self, record: DecideRecord) -> None:
        """Remember a decision."""
        self.decisions.append(record)

    def attempted(self, record: AttemptRecord) -> None:
        """Remember a judged try."""
        self.attempts.append(record)

    def skipped(self) -> None:
        """Count a log entry that was skipped."""
        self.bad_entries += 1

    def finished(self, outcome: Outcome) -> None:
        """Remember an outcome, or fail as told."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.outcomes.append(outcome)

    def tried(self, record: TryRecord) -> None:
        """Remember a try."""
        self.tries.append(record)


@dataclass
class TickingClock:
    """Moves on by one with each look at it."""

    now: int = 1000

    def __call__(self) -> int:
        """Return the time."""
        self.now += 1
        return self.now


@dataclass
class Service:
    """A running server and what stands behind it."""

    router: FakeRouter
    listener: FakeListener
    channel: grpc.aio.Channel

    async def exchange(
        self,
        messages: Iterable[ext_proc_pb2.ProcessingRequest],
        *,
        role: str | None = names.ROLE_DECIDE,
        traceparent: str | None = None,
    ) -> list[ext_proc_pb2.ProcessingResponse]:
        """Send the messages one by one, as Envoy does; return all answers up to the end of the stream."""
        call = self.open(role=role, traceparent=traceparent)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            for message in messages:
                await call.write(message)
            await call.done_writing()
            return [answer async for answer in call]

    def open(self, *, role: str | None = names.ROLE_DECIDE, traceparent: str | None = None) -> Any:
        """Open a stream in a role, with Envoy's trace context."""
        metadata = {names.ROLE: role, names.TRACEPARENT: traceparent}
        process: Any = self.channel.stream_stream(
            f"/{servicer.SERVICE_NAME}/Process",
            request_serializer=ext_proc_pb2.ProcessingRequest.SerializeToString,
            response_deserializer=ext_proc_pb2.ProcessingResponse.FromString,
        )
        return process(metadata=[(key, value) for key, value in metadata.items() if value is not None])

    async def send_logs(self, messages: Sequence[access_log_pb2.StreamAccessLogsMessage]) -> None:
        """Send one access-log stream to its end."""
        stream = self.channel.stream_unary(
            f"/{access_log.SERVICE_NAME}/StreamAccessLogs",
            request_serializer=access_log_pb2.StreamAccessLogsMessage.SerializeToString,
            response_deserializer=access_log_pb2.StreamAccessLogsResponse.FromString,
        )
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await stream(iter(messages))


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """The ext_proc and access-log services behind one Unix socket."""
    router, listener = FakeRouter(), FakeListener()
    processor = ExternalProcessor(
        parse=parse_request,
        route=router.route,
        abandon=router.abandoned.append,
        listener=listener,
        clock_ns=TickingClock(),
        max_body_bytes=4096,
    )
    log = AccessLogService(
        on_outcome=listener.finished,
        on_try=listener.tried,
        on_bad_entry=listener.skipped,
        buffer_bytes=4096,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((processor.rpc_handler(), log.rpc_handler()))
    address = f"unix:{tmp_path}/grpc.sock"
    server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield Service(router, listener, channel)
    await server.stop(grace=None)


@pytest.fixture
def decide_headers() -> Callable[..., ext_proc_pb2.ProcessingRequest]:
    """Request headers as Envoy sends them."""

    def make(
        method: str = "POST",
        path: str = "/v1/chat/completions",
        *,
        end_of_stream: bool = False,
        **more: str,
    ) -> ext_proc_pb2.ProcessingRequest:
        message = ext_proc_pb2.ProcessingRequest()
        message.request_headers.end_of_stream = end_of_stream
        message.protocol_config.request_body_mode = ext_proc_pb2.ProcessingMode.BUFFERED
        for key, value in (
            (":method", method),
            (":path", path),
            ("content-type", "application/json"),
            (names.REQUEST_ID, "request-1"),
            *((key.replace("_", "-"), value) for key, value in more.items()),
        ):
            message.request_headers.headers.headers.add(key=key, raw_value=value.encode())
        return message

    return make


@pytest.fixture
def decide_body() -> Callable[[bytes], ext_proc_pb2.ProcessingRequest]:
    """A buffered request body."""

    def make(body: bytes) -> ext_proc_pb2.ProcessingRequest:
        return ext_proc_pb2.ProcessingRequest(
            request_body=ext_proc_pb2.HttpBody(body=body, end_of_stream=True)
        )

    return make
