"""Verified plans on real Envoy: two replicas of the gRPC services in this process, and instances that answer by script."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import orjson
from aiohttp import web

from extproc.calibrate.outcome import Outcome, TryRecord
from extproc.decide.attempts import AttemptContext, Continuation
from extproc.decide.plan import Attempt, Plan, TokenBudget
from extproc.facts.parse import parse_request
from extproc.facts.request import RequestFacts
from extproc.protocol import names
from extproc.server.access_log import AccessLogService
from extproc.server.attempts import AttemptServer, go_on_while_planned
from extproc.server.servicer import ExternalProcessor, OnStage
from extproc.server.verification import AnswerVerifier
from extproc.telemetry.records import AttemptRecord
from extproc.verify.policy import JudgeKind, JudgeSpec, VerifyPolicy
from extproc.verify.schema import SchemaCache

MODELS = {"u1": "a", "u2": "a-model-with-a-much-longer-name", "u3": "c"}
"""Instances of clusters of their own, and what they serve."""

TWINS = {"t1": "t", "t2": "t", "t3": "t"}
"""Instances of one cluster, `twins`."""

INSTANCES = MODELS | TWINS
MAX_BODY_BYTES = 1 << 20
MAX_ANSWER_BYTES = 1 << 18

FLEET = """
version: 1
gateway: {{listen: "127.0.0.1:{listen}", admin: "127.0.0.1:{admin}", concurrency: 1, max_body_bytes: {limit}}}
service: {{listen: "127.0.0.1:{replica1}", admin: "127.0.0.1:{service_admin}"}}
telemetry: {{sample_ratio: 0}}
budgets: {{min_retry_concurrency: 1000}}
pools: [{{name: short}}]
clusters:
  - {{name: one, model: "{models[u1]}", pool: short, max_model_len: 9000, max_num_seqs: 8, price_usd_per_mtok: &p
      {{input: 1, output: 1}}, instances: ["127.0.0.1:{u1}"]}}
  - {{name: two, model: "{models[u2]}", pool: short, max_model_len: 9000, max_num_seqs: 8, price_usd_per_mtok: *p,
      instances: ["127.0.0.1:{u2}"]}}
  - {{name: three, model: "{models[u3]}", pool: short, max_model_len: 9000, max_num_seqs: 8, price_usd_per_mtok: *p,
      instances: ["127.0.0.1:{u3}"]}}
  - {{name: twins, model: t, pool: short, max_model_len: 9000, max_num_seqs: 8, price_usd_per_mtok: *p,
      instances: ["127.0.0.1:{t1}", "127.0.0.1:{t2}", "127.0.0.1:{t3}"]}}
"""

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    """One request as an instance saw it."""

    instance: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body, read as vLLM's front end reads it: in any encoding of JSON."""
        return json.loads(self.body)

    @property
    def says_its_length(self) -> bool:
        """True when the body's length stands before it; else it came in chunks."""
        length = self.headers.get("content-length")
        assert ("chunked" if length is None else None) == self.headers.get("transfer-encoding")
        assert length in (None, str(len(self.body)))
        return length is not None


def completion(text: str, model: str = "m") -> dict[str, Any]:
    """A chat completion as vLLM writes it."""
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
    }


def says(text: str) -> Answer:
    """Answer with a text."""

    async def answer(_request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion(text, document["model"]))

    return answer


class CountingProcessor(ExternalProcessor):
    """The service's processor, which also notes the role of each stream that Envoy opens."""

    def __init__(self, roles: list[str], **collaborators: Any) -> None:
        super().__init__(**collaborators)
        self._roles = roles

    async def process(self, messages: Any, context: Any) -> None:
        """Note the role and serve."""
        self._roles.append(str(dict(context.invocation_metadata()).get(names.ROLE)))
        await super().process(messages, context)


@dataclass
class Replica:
    """One replica of the service, with a script instead of a router."""

    system: System
    port: int
    roles: list[str] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)
    records: list[AttemptRecord] = field(default_factory=list)
    feedback: list[tuple[str, int | None, bool]] = field(default_factory=list)
    tries: list[TryRecord] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    _server: grpc.aio.Server | None = None

    async def start(self) -> None:
        judge = JudgeSpec(kind=JudgeKind.HTTP, url="http://judge") if self.system.judge else None
        verifier = AnswerVerifier(VerifyPolicy(judge=judge), SchemaCache())
        attempts = AttemptServer(
            listener=self,
            clock_ns=time.time_ns,
            verifier=verifier,
            go_on=self.ask_budget,
            ask_judge=self.system.judge,
            max_answer_bytes=MAX_ANSWER_BYTES,
        )
        processor = CountingProcessor(
            self.roles,
            parse=parse_request,
            route=self.route,
            abandon=lambda _plan: None,
            listener=self,
            clock_ns=time.time_ns,
            max_body_bytes=MAX_BODY_BYTES,
            attempts=attempts,
            specify=verifier.specify,
            feedback=self.judged,
        )
        log = AccessLogService(
            on_outcome=self.outcomes.append,
            on_try=self.tries.append,
            on_bad_entry=lambda: None,
            buffer_bytes=MAX_BODY_BYTES,
        )
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 2 * MAX_BODY_BYTES)])
        server.add_generic_rpc_handlers((processor.rpc_handler(), log.rpc_handler()))
        assert self.port == server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._server = server

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    def route(self, facts: RequestFacts, _on_stage: OnStage) -> Plan:
        plan = self.system.plan(facts)
        self.plans.append(plan.decision_id)
        return plan

    def ask_budget(self, context: AttemptContext) -> Continuation:
        return self.system.go_on(context)

    def judged(self, session: str, attempt: int | None, is_correct: bool) -> bool:
        self.feedback.append((session, attempt, is_correct))
        return session == "known"

    def decided(self, record: Any) -> None:
        """Nothing to remember."""

    def attempted(self, record: AttemptRecord) -> None:
        self.records.append(record)

    def finished(self, outcome: Any) -> None:
        """Nothing to remember."""


class System:
    """Envoy, its instances and the service's replicas."""

    def __init__(self, ports: dict[str, int], client: aiohttp.ClientSession) -> None:
        self.ports = ports
        self.client = client
        self.url = f"http://127.0.0.1:{ports['listen']}"
        self.admin = f"http://127.0.0.1:{ports['admin']}"
        self.address = {name: f"127.0.0.1:{ports[name]}" for name in INSTANCES}
        self.judge: Any = None
        self.received: list[Received] = []
        self.ids = itertools.count()
        self.replicas = [Replica(self, ports["replica1"]), Replica(self, ports["replica2"])]
        self.reset()

    def reset(self) -> None:
        """Forget what was recorded; everybody answers well."""
        self.answers: dict[str, Answer] = dict.fromkeys(INSTANCES, says("right"))
        self.order: tuple[str, ...] = ("u1", "u2", "u3")
        self.changes: dict[str, Any] = {}
        self.limits: dict[str, int] = {}
        self.stand_ins: tuple[str, ...] = ()
        self.go_on: Callable[[AttemptContext], Continuation] = go_on_while_planned
        self.received.clear()
        for replica in self.replicas:
            lists: tuple[list[Any], ...] = (
                replica.roles,
                replica.plans,
                replica.records,
                replica.feedback,
                replica.tries,
                replica.outcomes,
            )
            for recorded in lists:
                recorded.clear()

    def plan(self, facts: RequestFacts) -> Plan:
        """The scripted plan: these instances, in this order, verified."""
        attempts = tuple(
            Attempt(
                address=self.address[name],
                cluster=name,
                model=INSTANCES[name],
                work_seconds=1.0,
                chance=None if name in self.stand_ins else 0.5,
                max_tokens=self.limits.get(name),
            )
            for name in self.order
        )
        values: dict[str, Any] = {
            "decision_id": f"decision-{next(self.ids)}",
            "attempts": attempts,
            "route_cluster": names.UNION_CLUSTER,
            "max_retries": len(attempts) - 1,
            "timeout_seconds": 20.0,
            "per_try_timeout_seconds": None,
            "model": attempts[0].model,
            "pool": "short",
            "budget": TokenBudget(
                prompt_tokens=9, prompt_tokens_upper=12, output_tokens=64, output_is_given=True
            ),
            "candidates": 3,
            "reason": "script",
            "is_verified": True,
            "ability": (0.25, 1.0),
            "decided_unix_ms": time.time_ns() // 1_000_000,
        }
        return Plan(**(values | self.changes))

    async def handle(self, name: str, request: web.Request) -> web.StreamResponse:
        """Serve one request as the instance of this name."""
        if request.path == "/health":
            return web.Response()
        body = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.received.append(Received(name, headers, body))
        return await self.answers[name](request, json.loads(body) if body else {})

    def post(
        self, *, expect: str | None = "exact:right", path: str = "/v1/chat/completions", **fields: Any
    ) -> Any:
        """Send a chat request; use as a context manager."""
        document = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]} | fields
        headers = {"content-type": "application/json"} | ({names.EXPECT: expect} if expect else {})
        return self.client.post(self.url + path, data=orjson.dumps(document), headers=headers)

    async def ask(self, **options: Any) -> tuple[int, Any, Any]:
        """Send a chat request; status, headers and text of the answer."""
        async with self.post(**options) as response:
            document = orjson.loads(await response.read())
            text = document["choices"][0]["message"]["content"] if "choices" in document else document
            return response.status, response.headers, text

    async def restart(self) -> None:
        """Stop and start the replicas, and wait until Envoy reaches both again."""
        for replica in self.replicas:
            await replica.stop()
        for replica in self.replicas:
            await replica.start()
        async with asyncio.timeout(10):
            while not all(replica.plans or replica.records for replica in self.replicas):
                async with self.post(expect=None) as response:
                    await response.read()
                await asyncio.sleep(0.02)
        answers = self.answers
        self.reset()
        self.answers = answers

    @property
    def records(self) -> list[AttemptRecord]:
        """Tries of this test's plans that either replica judged, in order of time."""
        plans = {plan for replica in self.replicas for plan in replica.plans}
        found = [
            record
            for replica in self.replicas
            for record in replica.records
            # The record of an earlier test's last try may come after its answer.
            if record.decision_id in plans
        ]
        return sorted(found, key=lambda record: record.start_unix_ns)

    async def reported(self) -> tuple[list[TryRecord], Outcome]:
        """What Envoy reports of this test's only request, once it has: its tries in order, and its outcome."""
        plans = {plan for replica in self.replicas for plan in replica.plans}

        def tries() -> list[TryRecord]:
            return [one for replica in self.replicas for one in replica.tries if one.decision_id in plans]

        def outcomes() -> list[Outcome]:
            found = (one for replica in self.replicas for one in replica.outcomes)
            return [one for one in found if one.decision and one.decision.decision_id in plans]

        await self.settle(lambda: bool(outcomes()) and len(tries()) >= outcomes()[0].attempts)
        [outcome] = outcomes()
        return tries(), outcome

    async def counter(self, name: str) -> int:
        """Sum of Envoy's counters whose name ends with `name`."""
        async with self.client.get(f"{self.admin}/stats?format=json&filter={name}") as response:
            stats = orjson.loads(await response.read())["stats"]
        return sum(s["value"] for s in stats if s.get("name", "").endswith(name) and "value" in s)

    async def settle(self, condition: Callable[[], bool]) -> None:
        """Wait for what follows on its own."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)


def with_two_replicas(tree: dict[str, Any], ports: dict[str, int]) -> dict[str, Any]:
    """Give the service's cluster a second endpoint."""
    [cluster] = [c for c in tree["static_resources"]["clusters"] if c["name"] == "extproc"]
    endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    second = {"address": "127.0.0.1", "port_value": ports["replica2"]}
    endpoints.append({"endpoint": {"address": {"socket_address": second}}})
    return tree


@contextlib.asynccontextmanager
async def instances(system: System) -> AsyncIterator[None]:
    """The scripted instances."""
    async with contextlib.AsyncExitStack() as stack:
        for name in INSTANCES:
            app = web.Application(client_max_size=2 * MAX_BODY_BYTES)

            async def handle(request: web.Request, name: str = name) -> web.StreamResponse:
                return await system.handle(name, request)

            app.router.add_route("*", "/{tail:.*}", handle)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", system.ports[name]).start()
        yield


@contextlib.asynccontextmanager
async def envoy(system: System, config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running Envoy that sees all instances."""
    beside = Path(sys.executable).with_name("envoy")
    binary = str(beside) if beside.exists() else shutil.which("envoy")
    assert binary is not None
    process = await asyncio.create_subprocess_exec(
        binary, "-c", str(config), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"
    )
    try:
        async with asyncio.timeout(20):
            while True:
                assert process.returncode is None
                with contextlib.suppress(aiohttp.ClientError):
                    # The admin interface answers before the listener does.
                    is_listening = await system.counter("listener_manager.workers_started") == 1
                    healthy = await system.counter("cluster.fleet.membership_healthy")
                    if is_listening and healthy == len(INSTANCES):
                        break
                await asyncio.sleep(0.1)
        yield process
        assert process.returncode is None, "Envoy ended on its own"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
