"""Verified plans on real Envoy: two replicas of the gRPC services in this process, and instances that answer by script."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
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
import pytest
import pytest_asyncio
import yaml
from aiohttp import web

from extproc.decide.attempts import AttemptContext
from extproc.decide.plan import Attempt, Plan, TokenBudget
from extproc.facts.parse import parse_request
from extproc.facts.request import RequestFacts
from extproc.gateway.endpoints import write_endpoints
from extproc.gateway.render import envoy_tree
from extproc.protocol import names
from extproc.server.access_log import AccessLogService
from extproc.server.attempts import AttemptServer, go_on_while_planned
from extproc.server.servicer import ExternalProcessor, OnStage
from extproc.server.verification import AnswerVerifier
from extproc.settings.load import parse_settings
from extproc.telemetry.records import AttemptRecord
from extproc.verify.judge import JudgeCall
from extproc.verify.policy import JudgeKind, JudgeSpec, VerifyPolicy
from extproc.verify.schema import SchemaCache
from loadgen.stack.ports import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MODELS = {"u1": "a", "u2": "a-model-with-a-much-longer-name", "u3": "c"}
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
        """The body, read."""
        return orjson.loads(self.body)


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


@dataclass
class Replica:
    """One replica of the service, with a script instead of a router."""

    system: System
    port: int
    plans: list[str] = field(default_factory=list)
    records: list[AttemptRecord] = field(default_factory=list)
    feedback: list[tuple[str, int | None, bool]] = field(default_factory=list)
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
        processor = ExternalProcessor(
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
        log = AccessLogService(on_outcome=lambda _: None, on_try=lambda _: None)
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

    def ask_budget(self, context: AttemptContext) -> tuple[bool, str]:
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
        self.address = {name: f"127.0.0.1:{ports[name]}" for name in MODELS}
        self.judge: Any = None
        self.received: list[Received] = []
        self.ids = itertools.count()
        self.replicas = [Replica(self, ports["replica1"]), Replica(self, ports["replica2"])]
        self.reset()

    def reset(self) -> None:
        """Forget what was recorded; everybody answers well."""
        self.answers: dict[str, Answer] = dict.fromkeys(MODELS, says("right"))
        self.order: tuple[str, ...] = ("u1", "u2", "u3")
        self.changes: dict[str, Any] = {}
        self.limits: dict[str, int] = {}
        self.go_on: Callable[[AttemptContext], tuple[bool, str]] = go_on_while_planned
        self.received.clear()
        for replica in self.replicas:
            for recorded in (replica.plans, replica.records, replica.feedback):
                recorded.clear()

    def plan(self, facts: RequestFacts) -> Plan:
        """The scripted plan: these instances, in this order, verified."""
        attempts = tuple(
            Attempt(
                address=self.address[name],
                cluster=name,
                model=MODELS[name],
                work_seconds=1.0,
                chance=0.5,
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
            "started_unix_ms": time.time_ns() // 1_000_000,
        }
        return Plan(**(values | self.changes))

    async def handle(self, name: str, request: web.Request) -> web.StreamResponse:
        """Serve one request as the instance of this name."""
        if request.path == "/health":
            return web.Response()
        body = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.received.append(Received(name, headers, body))
        return await self.answers[name](request, orjson.loads(body) if body else {})

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
    """The three scripted instances."""
    async with contextlib.AsyncExitStack() as stack:
        for name in MODELS:
            app = web.Application(client_max_size=2 * MAX_BODY_BYTES)

            async def handle(request: web.Request, name: str = name) -> web.StreamResponse:
                return await system.handle(name, request)

            app.router.add_route("*", "/{tail:.*}", handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
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
                    if await system.counter("cluster.fleet.membership_healthy") == len(MODELS):
                        break
                await asyncio.sleep(0.1)
        yield process
        assert process.returncode is None, "Envoy ended on its own"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="running")
async def running_fixture(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """The system, started once for the module."""
    folder = tmp_path_factory.mktemp("verified")
    keys = ("listen", "admin", "replica1", "replica2", "service_admin", *MODELS)
    ports = dict(zip(keys, free_ports(len(keys)), strict=True))
    settings = parse_settings(FLEET.format(limit=MAX_BODY_BYTES, models=MODELS, **ports), Path("fleet.yaml"))
    config = folder / "envoy.yaml"
    config.write_text(yaml.safe_dump(with_two_replicas(envoy_tree(settings, folder / "endpoints"), ports)))
    write_endpoints(folder / "endpoints", settings.fleet())
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client:
        system = System(ports, client)
        async with contextlib.AsyncExitStack() as stack:
            for replica in system.replicas:
                await replica.start()
                stack.push_async_callback(replica.stop)
            await stack.enter_async_context(instances(system))
            await stack.enter_async_context(envoy(system, config))
            yield system


@pytest_asyncio.fixture(loop_scope="module")
async def system(running: System) -> System:
    """The system, healed, with nothing recorded."""
    running.reset()
    return running


async def test_a_rejected_answer_is_retried_on_the_next_model(system: System) -> None:
    """Only the accepted answer reaches the client; each instance got its own model in a body of the stated length."""
    system.answers |= {"u1": says("wrong"), "u2": says("wrong too")}
    status, headers, text = await system.ask()

    assert (200, "right") == (status, text)
    assert ["u1", "u2", "u3"] == [request.instance for request in system.received]
    assert list(MODELS.values()) == [request.document["model"] for request in system.received]
    assert ["hi"] * 3 == [request.document["messages"][0]["content"] for request in system.received]
    for request in system.received:
        assert str(len(request.body)) == request.headers["content-length"]
        assert "transfer-encoding" not in request.headers
    assert ("accepted", MODELS["u3"], system.address["u3"], "3") == tuple(
        headers[name] for name in (names.VERDICT, names.MODEL_HEADER, names.INSTANCE, names.ATTEMPTS)
    )
    assert int(headers[names.ELAPSED]) >= 0
    assert names.RETRY not in headers
    assert names.VERDICT_REASON not in headers
    await system.settle(lambda: len(system.records) == 3)
    assert [True, True, False] == [record.goes_on for record in system.records]
    assert [7, 7, 7] == [record.completion_tokens for record in system.records]
    assert 0 == await system.counter("rejected_header_mutations")


@pytest.mark.parametrize("order", list(itertools.permutations(MODELS)))
async def test_every_try_starts_from_the_original_body(system: System, order: tuple[str, ...]) -> None:
    """Whatever the order of longer and shorter names, a try's body is the client's but for its own model."""
    system.order = order
    system.answers = dict.fromkeys(MODELS, says("wrong"))
    fields = {"messages": [{"role": "user", "content": 'é "model": 1' * 50}], "seed": 3}
    await system.ask(**fields)

    assert list(order) == [request.instance for request in system.received]
    for request in system.received:
        assert {"model": MODELS[request.instance], **fields} == request.document
        assert str(len(request.body)) == request.headers["content-length"]


async def test_output_limits_are_those_of_the_instance(system: System) -> None:
    """A smaller instance gets a smaller limit, and the next one starts again from the client's."""
    system.answers = dict.fromkeys(MODELS, says("wrong"))
    system.limits = {"u1": 100, "u2": 5000}
    await system.ask(max_tokens=2000)

    assert [100, 2000, 2000] == [request.document["max_tokens"] for request in system.received]
    system.received.clear()
    await system.ask()
    assert [100, 5000, None] == [request.document.get("max_tokens") for request in system.received]


async def test_the_last_rejected_answer_is_delivered(system: System) -> None:
    """When all attempts are used up the client gets the last answer, marked, not an error."""
    system.answers = dict.fromkeys(MODELS, says("wrong"))
    status, headers, text = await system.ask()

    assert (200, "wrong") == (status, text)
    assert ("rejected", "3") == (headers[names.VERDICT], headers[names.ATTEMPTS])
    assert headers[names.VERDICT_REASON].startswith("expect")
    assert names.RETRY not in headers
    await system.settle(lambda: len(system.records) == 3)
    assert [False, False, True] == [record.is_last for record in system.records]


@pytest.mark.parametrize("is_verified", [True, False])
async def test_the_sign_for_a_retry_never_leaves_the_gateway(system: System, is_verified: bool) -> None:
    """Not even when Envoy has no retry left, and the instance itself sent it."""

    async def signing(_request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion("wrong", document["model"]), headers={names.RETRY: "1"})

    system.answers["u1"] = signing
    system.order = ("u1",)
    system.changes = {"is_verified": is_verified}
    status, headers, text = await system.ask()

    assert (200, "wrong") == (status, text)
    assert names.RETRY not in headers


async def test_the_budget_can_stop_a_plan(system: System) -> None:
    """An attempt that is not worth it is not made, and the reason is on record."""
    asked: list[AttemptContext] = []

    def not_worth_it(context: AttemptContext) -> tuple[bool, str]:
        asked.append(context)
        return False, "not-worth-it"

    system.go_on = not_worth_it
    system.answers["u1"] = says("wrong")
    status, headers, text = await system.ask()

    assert (200, "wrong", "rejected", "1") == (
        status, text, headers[names.VERDICT], headers[names.ATTEMPTS],
    )  # fmt: skip
    assert ["u1"] == [request.instance for request in system.received]
    [context] = asked
    assert system.address["u2"] == context.next_attempt.address
    assert (0.25, 1.0) == context.plan.ability
    await system.settle(lambda: len(system.records) == 1)
    assert "not-worth-it" == system.records[0].budget


async def test_a_schema_is_held_against_the_answer(system: System) -> None:
    """The request's own body travels to the verifier: JSON of the wrong shape is retried."""
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    system.answers["u1"] = says('{"town": 1}')
    system.answers["u2"] = says('{"city": "Paris"}')
    demand = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    _, headers, text = await system.ask(expect=None, response_format=demand)

    assert ('{"city": "Paris"}', "accepted", "2") == (
        text, headers[names.VERDICT], headers[names.ATTEMPTS],
    )  # fmt: skip


async def test_an_error_status_is_retried_by_envoy_itself(system: System) -> None:
    """A 503 needs no verdict; the next model gets its own body all the same."""

    async def fail(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "busy"}}, status=503)

    system.answers["u1"] = fail
    status, headers, text = await system.ask()

    assert (200, "right", "accepted") == (status, text, headers[names.VERDICT])
    assert [MODELS["u1"], MODELS["u2"]] == [request.document["model"] for request in system.received]


async def test_a_stream_is_not_held_back(system: System) -> None:
    """Its first chunk arrives while the instance has not written the second, within 50 ms of its being written."""
    release = asyncio.Event()
    written: list[float] = []

    async def stream(request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        written.append(time.perf_counter())
        await response.write(b'data: {"choices": []}\n\n')
        await release.wait()
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    system.answers["u1"] = stream
    delays = []
    for _ in range(5):
        release.clear()
        async with system.post(stream=True) as response:
            first = await response.content.readany()
            delays.append(time.perf_counter() - written[-1])
            release.set()
            rest = await response.content.read()
            assert "unverified" == response.headers[names.VERDICT]
            assert "skipped.stream" == response.headers[names.VERDICT_REASON]
        assert (b'data: {"choices": []}\n\n', b"data: [DONE]\n\n") == (first, rest)

    assert min(delays) < 0.05


@pytest.mark.parametrize("size", [MAX_ANSWER_BYTES + 1000, MAX_BODY_BYTES // 2])
async def test_a_huge_answer_is_delivered_unverified(system: System, size: int) -> None:
    """Beyond the limit an answer is not held back."""
    system.answers["u1"] = says("x" * size)
    status, headers, text = await system.ask()

    assert (200, size, "unverified", "skipped.too_large") == (
        status, len(text), headers[names.VERDICT], headers[names.VERDICT_REASON],
    )  # fmt: skip


async def test_an_answer_of_unknown_size_is_delivered_unverified(system: System) -> None:
    """It could outgrow Envoy's buffer."""

    async def chunked(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        await response.write(orjson.dumps(completion("wrong", document["model"])))
        await response.write_eof()
        return response

    system.answers["u1"] = chunked
    status, headers, _ = await system.ask()

    assert (200, "skipped.unknown_size") == (status, headers[names.VERDICT_REASON])


async def test_large_requests_are_rewritten_whole(system: System) -> None:
    """A prompt near the limit reaches each model unharmed."""
    prompt = "h" * (MAX_BODY_BYTES - 500)
    system.answers["u1"] = says("wrong")
    status, _, text = await system.ask(messages=[{"role": "user", "content": prompt}])

    assert (200, "right") == (status, text)
    assert [prompt, prompt] == [request.document["messages"][0]["content"] for request in system.received]


async def test_either_replica_serves_any_stream(system: System) -> None:
    """DECIDE and ATTEMPT of one request land on different replicas, and the verdicts are the same."""
    system.answers["u1"] = says("wrong")
    answers = await asyncio.gather(*(system.ask() for _ in range(24)))

    assert {(200, "right", "2")} == {
        (status, text, headers[names.ATTEMPTS]) for status, headers, text in answers
    }
    await system.settle(lambda: len(system.records) == 48)
    first, second = system.replicas
    assert first.plans
    assert second.plans
    strangers = {r.decision_id for r in first.records} & set(second.plans)
    assert strangers | ({r.decision_id for r in second.records} & set(first.plans))


async def test_many_requests_do_not_mix(system: System) -> None:
    """With half the answers wrong at random, everybody gets the answer to the own question."""

    async def echo(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        number = int(document["messages"][0]["content"])
        name = next(key for key, model in MODELS.items() if model == document["model"])
        is_right = number % 3 == int(name[1]) - 1
        return web.json_response(completion(f"right {number}" if is_right else "wrong"))

    system.answers = dict.fromkeys(MODELS, echo)
    numbers = range(60)
    answers = await asyncio.gather(
        *(
            system.ask(expect=f"exact:right {number}", messages=[{"role": "user", "content": str(number)}])
            for number in numbers
        )
    )

    assert [f"right {number}" for number in numbers] == [text for _, _, text in answers]
    assert [str(number % 3 + 1) for number in numbers] == [
        headers[names.ATTEMPTS] for _, headers, _ in answers
    ]


async def test_a_hedged_try_can_win(system: System) -> None:
    """A try beyond its time is raced by the next model, and the winner is verified."""

    async def hang(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.json_response(completion("late"))

    system.answers["u1"] = hang
    system.changes = {"hedges": True, "per_try_timeout_seconds": 0.3}
    status, headers, text = await system.ask()

    assert (200, "right", system.address["u2"]) == (status, text, headers[names.INSTANCE])
    assert [MODELS["u1"], MODELS["u2"]] == [request.document["model"] for request in system.received]


async def test_a_plain_plan_says_who_answered(system: System) -> None:
    """Without the ATTEMPT filter Envoy itself names model, instance and tries."""
    system.order = ("u2",)
    system.changes = {"route_cluster": "two", "is_verified": False}
    _, headers, _ = await system.ask(expect=None)

    assert ("unverified", MODELS["u2"], system.address["u2"], "1") == tuple(
        headers[name] for name in (names.VERDICT, names.MODEL_HEADER, names.INSTANCE, names.ATTEMPTS)
    )
    assert [] == system.records


async def test_feedback_is_answered_here(system: System) -> None:
    """A client's verdict reaches the service and no instance."""
    url = system.url + names.FEEDBACK_PATH
    async with system.client.post(url, json={"session": "known", "attempt": 2, "correct": False}) as response:
        assert (202, {"known": True}) == (response.status, await response.json())
    async with system.client.post(url, json={"session": "other", "correct": True}) as response:
        assert (202, {"known": False}) == (response.status, await response.json())
    async with system.client.post(url, json={"session": "known"}) as response:
        assert (400, "correct") == (response.status, (await response.json())["error"]["param"])
    async with system.client.get(url) as response:
        assert 400 == response.status

    told = [word for replica in system.replicas for word in replica.feedback]
    assert {("known", 2, False), ("other", None, True)} == set(told)
    assert [] == system.received


async def test_malformed_wishes_are_refused(system: System) -> None:
    """An expectation or a deadline that cannot be understood is the client's mistake."""
    headers = {"content-type": "application/json"}
    body = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})
    for extra in ({names.EXPECT: "nonsense"}, {names.DEADLINE: "soon"}, {names.DEADLINE: "0"}):
        async with system.client.post(
            f"{system.url}/v1/chat/completions", data=body, headers=headers | extra
        ) as response:
            assert 400 == response.status, extra
    assert [] == system.received


async def test_an_external_judge_may_take_its_time(system: System) -> None:
    """Its word is waited for beyond the filter's usual two seconds, and its rejection is retried."""

    async def judge(call: JudgeCall) -> tuple[int | None, bytes]:
        is_wrong = b"plausible" in call.body
        await asyncio.sleep(2.3 if is_wrong else 0)
        return 200, orjson.dumps({"correct": not is_wrong})

    system.judge = judge
    try:
        await system.restart()
        system.answers["u1"] = says("plausible")
        _, headers, text = await system.ask(expect=None)
    finally:
        system.judge = None
        await system.restart()

    assert ("right", "accepted", "2") == (text, headers[names.VERDICT], headers[names.ATTEMPTS])


async def test_the_answer_survives_the_death_of_the_service(system: System) -> None:
    """Killed while the instance works: what the instance answers is delivered as it is."""
    reached, release = asyncio.Event(), asyncio.Event()

    async def wait(_request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        reached.set()
        await release.wait()
        return web.json_response(completion("unjudged", document["model"]))

    system.answers["u1"] = wait
    asking = asyncio.create_task(system.ask())
    try:
        await asyncio.wait_for(reached.wait(), 5)
        for replica in system.replicas:
            await replica.stop()
        release.set()
        status, headers, text = await asking
    finally:
        await system.restart()

    assert (200, "unjudged", "unverified") == (status, text, headers[names.VERDICT])


async def test_a_death_after_a_rejection_sends_no_broken_body(system: System) -> None:
    """The second model gets the body that DECIDE made, whole: its length never changed between the tries."""

    async def wrong(_request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion("wrong", document["model"]))

    def die(_context: AttemptContext) -> tuple[bool, str]:
        stopping.extend(asyncio.ensure_future(replica.stop()) for replica in system.replicas)
        return True, "planned"

    stopping: list[asyncio.Future[None]] = []
    system.answers["u1"] = wrong
    system.order = ("u2", "u1", "u3")
    system.answers["u2"] = wrong
    system.go_on = die
    try:
        status, _, _ = await system.ask()
    finally:
        await asyncio.gather(*stopping)
        received = list(system.received)
        await system.restart()

    assert 200 == status
    assert ["u2", "u1"] == [request.instance for request in received]
    for request in received:
        assert str(len(request.body)) == request.headers["content-length"]
        assert "hi" == request.document["messages"][0]["content"]
