"""One simulated vLLM server: its routes, and how it starts, stops, crashes and recovers."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import replace

import orjson
from aiohttp import web

from loadgen.engine.core import Engine
from loadgen.engine.records import QueueFullError
from loadgen.vllm import metrics as metrics_page
from loadgen.vllm.admin import add_admin_routes
from loadgen.vllm.asked import Api, Asked, parse
from loadgen.vllm.documents import document_for
from loadgen.vllm.errors import ApiError, engine_dead, injected, queue_full
from loadgen.vllm.faults import FaultDice, Faults
from loadgen.vllm.journal import Journal, ReceivedRequest
from loadgen.vllm.plan import Choice, check_servable, plan_choices
from loadgen.vllm.pump import EnginePump, Job
from loadgen.vllm.spec import InstanceSpec
from loadgen.vllm.streams import framer_for, sse

MAX_BODY_BYTES = 64 * 1024 * 1024
_ID_PREFIXES = {
    Api.CHAT: "chatcmpl-",
    Api.COMPLETIONS: "cmpl-",
    Api.EMBEDDINGS: "embd-",
    Api.RESPONSES: "resp_",
    Api.MESSAGES: "chatcmpl-",
}


class Instance:
    """A running instance.

    Attributes:
        spec: As given, with the port that was taken.
        faults: Switched by assignment, or over HTTP.
        journal: What it received.
    """

    def __init__(self, spec: InstanceSpec, *, admin: bool) -> None:
        self.spec = spec
        self.faults = Faults()
        self.journal = Journal()
        self._dice = FaultDice(spec.seed)
        self._metrics = metrics_page.EngineMetrics(spec.model, spec.max_model_len)
        self._pump = EnginePump(
            Engine(spec.engine_config()),
            self._metrics,
            time_scale=spec.time_scale,
            flush_seconds=spec.stream_flush_seconds,
        )
        self._started_at = int(time.time())
        self._runner = web.AppRunner(
            self._application(admin=admin), access_log=None, handler_cancellation=True, shutdown_timeout=0.0
        )
        self._site: web.TCPSite | None = None

    @property
    def address(self) -> str:
        """`ip:port` it listens on."""
        return self.spec.address

    @property
    def is_listening(self) -> bool:
        """False before the start, and while crashed."""
        return self._site is not None

    @property
    def pump(self) -> EnginePump:
        """What drives the engine."""
        return self._pump

    async def start(self) -> None:
        """Begin to listen; afterwards `address` has the real port."""
        if self._runner.server is None:
            await self._runner.setup()
        site = web.TCPSite(self._runner, self.spec.host, self.spec.port, reuse_address=True)
        await site.start()
        self._site = site
        if self.spec.port == 0:
            port = self._runner.addresses[0][1]
            self.spec = replace(self.spec, address=f"{self.spec.address.rpartition(':')[0]}:{port}")

    async def crash(self) -> None:
        """Stop to listen and reset every connection, as a killed process would; unfinished work is lost."""
        if self._site is None:
            return
        site, self._site = self._site, None
        await site.stop()
        self._pump.fail_all()
        server = self._runner.server
        for connection in server.connections if server is not None else ():
            transport = connection.transport
            if transport is not None:
                transport.abort()

    async def recover(self) -> None:
        """Listen again on the same port."""
        if self._site is None:
            await self.start()

    async def stop(self) -> None:
        """End at once; connections are closed."""
        self._site = None
        self._pump.close()
        await self._runner.cleanup()

    def _application(self, *, admin: bool) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        for api in Api:
            application.router.add_post(api.value, self._generate)
        application.router.add_get("/v1/models", self._models)
        application.router.add_get("/health", self._health)
        application.router.add_get("/ping", self._health)
        application.router.add_get("/version", self._version)
        application.router.add_get("/metrics", self._metrics_page)
        if admin:
            add_admin_routes(application, self)
        return application

    async def _health(self, request: web.Request) -> web.Response:
        del request
        return web.Response(status=503 if self.faults.engine_dead else 200, headers=self._headers())

    async def _version(self, request: web.Request) -> web.Response:
        del request
        return web.json_response({"version": "0.32.0"}, headers=self._headers())

    async def _models(self, request: web.Request) -> web.Response:
        del request
        cards = [
            {
                "id": name, "object": "model", "created": self._started_at, "owned_by": "vllm",
                "root": self.spec.model, "parent": None, "max_model_len": self.spec.max_model_len,
            }
            for name in (self.spec.model, *self.spec.aliases)
        ]  # fmt: skip
        return web.json_response({"object": "list", "data": cards}, headers=self._headers())

    async def _metrics_page(self, request: web.Request) -> web.Response:
        del request
        self._pump.refresh()
        headers = {**self._headers(), "content-type": metrics_page.CONTENT_TYPE}
        return web.Response(body=self._metrics.render(self._pump.engine).encode(), headers=headers)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        entry = self.journal.add(
            received_at=time.time(),
            method=request.method,
            path=request.path_qs,
            headers=request.headers.items(),
            body=body,
        )
        api = Api(request.path)
        try:
            await self._misbehave(request)
            asked = parse(api, body)
            entry = replace(entry, model=asked.model)
            check_servable(asked, self.spec)
            return await self._answer(request, entry, asked, body)
        except ApiError as error:
            self.journal.complete(replace(entry, status=error.status))
            shown = error.anthropic_body() if api is Api.MESSAGES else error.body()
            return web.Response(
                body=orjson.dumps(shown),
                status=error.status,
                content_type="application/json",
                headers=self._headers(),
            )

    async def _misbehave(self, request: web.Request) -> None:
        """Apply the faults that are switched on.

        Raises:
            ApiError: The injected error.
        """
        faults, wish = self.faults, request.headers.get("X-Return-Error", "")
        if wish.isdigit() and 400 <= int(wish) <= 599:
            raise injected(int(wish))
        if self._dice.strikes(faults.disconnect_rate) and request.transport is not None:
            request.transport.abort()
            await _until_cancelled()
        if self._dice.strikes(faults.hang_rate):
            await _until_cancelled()
        if self._dice.strikes(faults.error_rate):
            raise injected(faults.error_status)
        if faults.extra_latency_seconds > 0.0:
            await asyncio.sleep(faults.extra_latency_seconds)
        if faults.engine_dead:
            raise engine_dead()

    async def _answer(
        self, request: web.Request, entry: ReceivedRequest, asked: Asked, body: bytes
    ) -> web.StreamResponse:
        choices = plan_choices(asked, self.spec, body)
        answer_id = _ID_PREFIXES[asked.api] + uuid.uuid4().hex
        job = Job(answer_id, choices, asked.n, stream=asked.stream)
        try:
            self._pump.submit(job)
        except QueueFullError:
            self._metrics.count_rejection()
            raise queue_full() from None
        try:
            if asked.stream:
                answer = await self._stream(request, asked, job)
            else:
                answer = await self._whole(asked, job, choices)
        finally:
            if self._pump.leave(job):
                self._metrics.count_abort()
        self.journal.complete(replace(entry, model=asked.model, status=answer.status))
        return answer

    async def _whole(self, asked: Asked, job: Job, choices: tuple[Choice, ...]) -> web.Response:
        await job.news.wait()
        if job.died:
            raise engine_dead()
        document = document_for(
            asked, choices, answer_id=job.job_id, created=int(time.time()), model=self.spec.model
        )
        return web.Response(
            body=orjson.dumps(document), content_type="application/json", headers=self._headers()
        )

    async def _stream(self, request: web.Request, asked: Asked, job: Job) -> web.StreamResponse:
        framer = framer_for(
            asked, job.choices, answer_id=job.job_id, created=int(time.time()), model=self.spec.model
        )
        answer = web.StreamResponse(
            headers={**self._headers(), "content-type": "text/event-stream; charset=utf-8"}
        )
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        written = [0] * len(job.choices)
        opened = False
        breaks = self._dice.strikes(self.faults.break_rate)
        while not (job.is_done and written == job.produced):
            await job.news.wait()
            job.news.clear()
            if breaks and opened and request.transport is not None:
                request.transport.abort()
                await _until_cancelled()
            if job.died:
                await answer.write(sse(engine_dead().body()) + b"data: [DONE]\n\n")
                break
            parts = [] if opened else [framer.opening()]
            opened = True
            for index, produced in enumerate(job.produced):
                if produced > written[index]:
                    parts.append(framer.tokens(index, written[index], produced))
                    written[index] = produced
            if job.is_done:
                parts.append(framer.closing())
            await answer.write(b"".join(parts))
        await answer.write_eof()
        return answer

    def _headers(self) -> dict[str, str]:
        return {"x-inference-pod": self.spec.address}


async def _until_cancelled() -> None:
    """Wait for the client to go away: aiohttp then cancels the handler."""
    await asyncio.Event().wait()
