"""The composition root: builds the service from its settings. The only file that names concretes."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import random
import secrets
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
from aiohttp import web
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from extproc.assembly import assemble
from extproc.calibrate.outcome import Outcome, TryRecord
from extproc.decide.attempts import AttemptContext, Continuation
from extproc.decide.plan import Plan
from extproc.facts.parse import parse_request
from extproc.facts.request import RequestFacts
from extproc.fleet.snapshot import FleetTable
from extproc.gateway.endpoints import write_endpoints
from extproc.server.access_log import AccessLogService
from extproc.server.admin import admin_app
from extproc.server.attempts import AttemptServer
from extproc.server.drain import Drain
from extproc.server.fleet_watch import FileIdentity, FleetWatch
from extproc.server.from_settings import (
    changes_needing_restart,
    declared_quality,
    largest_verified_bytes,
    output_provision,
    plan_policy,
    scrape_timing,
    verify_policy,
)
from extproc.server.health import HealthService
from extproc.server.judge import HttpJudge
from extproc.server.judged import verdict_record
from extproc.server.otlp_receiver import otlp_handler
from extproc.server.quality_upkeep import QualityUpkeep, quality_model_reading
from extproc.server.scraper import Scraper
from extproc.server.servicer import ExternalProcessor, OnStage
from extproc.server.standing import StandingLog
from extproc.server.state_file import StateFile
from extproc.server.verification import AnswerVerifier
from extproc.settings import Settings
from extproc.settings.address import SELF
from extproc.telemetry.listeners import Listeners
from extproc.telemetry.metrics import Metrics
from extproc.telemetry.otlp import BatchEnvelope
from extproc.telemetry.readings import InstanceReading
from extproc.telemetry.records import AttemptRecord
from extproc.telemetry.span_export import SpanExporter
from extproc.telemetry.spans import SpanListener
from extproc.telemetry.trace_store import StoreSink, TraceStore
from extproc.telemetry.trace_tree import traces_payload
from extproc.verify.judge import JudgeCall
from extproc.verify.schema import SchemaCache

logger = logging.getLogger(__name__)

SERVICE_NAME = "ttca-extproc"
"""`service.name` of the service's own spans."""

EXPIRY_SWEEP_SECONDS = 1.0
LAST_SECONDS = 1.0
"""How long streams may take to end once nothing is waited for; a decision takes milliseconds, and Envoy's log streams never
end by themselves."""

_GRPC_OVERHEAD_BYTES = 1024 * 1024


class Application:
    """The service, assembled; `run` serves until cancelled.

    Args:
        fleet_file: The file to follow.
        settings: What it says now.
        endpoints_directory: Where Envoy's endpoint files go; the settings' when None.
        seen: What the file was before the settings were read from it; None for what it is now.
    """

    def __init__(
        self,
        fleet_file: Path,
        settings: Settings,
        endpoints_directory: Path | None = None,
        seen: FileIdentity | None = None,
    ) -> None:
        self._settings = settings
        self._endpoints_directory = endpoints_directory or Path(settings.gateway.endpoints_directory)
        core = assemble(settings, np.random.default_rng())
        self.router, self._estimators = core.router, core.estimators
        self._state = StateFile(Path(settings.service.state_file), core.learned)
        self._judge: HttpJudge | None = None
        self._verifier = AnswerVerifier(verify_policy(settings), SchemaCache())
        self._metrics = Metrics(
            self._read_instances,
            self._read_dropped_spans,
            lambda: quality_model_reading(self._estimators.quality.model, self._upkeep.lessons_lost),
        )
        self._upkeep = QualityUpkeep(self.router, self._estimators.quality, settings, self._metrics)
        self._traces = TraceStore(frozenset({settings.telemetry.service_name, SERVICE_NAME}))
        envelope = BatchEnvelope(
            {"service.name": SERVICE_NAME}, scope_name="ttca-router", scope_version="0.1.0"
        )
        self._exporter = (
            None
            if settings.telemetry.otlp_endpoint == SELF
            else SpanExporter(settings.telemetry.otlp_endpoint, envelope)
        )
        sink = self._exporter or StoreSink(self._traces, envelope, time.time_ns)
        self._listener = Listeners(SpanListener(sink, RandomIdGenerator()), self._metrics)
        self._scraper = Scraper(
            self.router,
            scrape_timing(settings),
            clock=time.monotonic,
            rng=random.Random(),  # noqa: S311 - spreads scrapes, keeps no secret
            on_failure=self._scrape_failed,
        )
        self._watch = FleetWatch(
            fleet_file,
            settings,
            static_changes=changes_needing_restart,
            apply=self._apply,
            on_reload=self._reloaded,
            seen=seen,
        )
        self._access_log = AccessLogService(
            on_outcome=self._finished,
            on_try=self._tried,
            on_bad_entry=self._metrics.access_log_entry_bad,
            buffer_bytes=settings.gateway.max_body_bytes,
        )
        self._attempts = AttemptServer(
            listener=self._listener,
            clock_ns=time.time_ns,
            verifier=self._verifier,
            go_on=self._goes_on,
            on_verdict=self._judged,
            ask_judge=self._ask_judge,
            max_answer_bytes=largest_verified_bytes(settings),
        )
        self._health = HealthService()
        self._standing = StandingLog()

    async def run(self) -> None:
        """Serve until cancelled, then drain; cancelled again, end at once.

        Raises:
            OSError: A listener's address is taken, or the endpoint files cannot be written.
        """
        # What was learned corrects one fit, so the fit comes first.
        self._upkeep.load()
        self._state.restore()
        write_endpoints(self._endpoints_directory, self._settings.fleet())
        server = self._grpc_server()
        await server.start()
        admin = await self._start_admin()
        self._scraper.follow(self.router.book.table.addresses)
        if self._exporter is not None:
            self._exporter.start()
        background = [
            asyncio.create_task(self._watch.run(), name="fleet-watch"),
            asyncio.create_task(self._state.keep_saving(), name="state-file"),
            *(asyncio.create_task(task, name=name) for name, task in self._upkeep.tasks().items()),
            asyncio.create_task(self._sweep(), name="expiry"),
        ]
        # What is built at start lives as long as the process: a collection need not look at it again, nor come as often
        # as a body of thousands of parts would make it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        self._health.serving = True
        logger.info(
            "serving on %s, admin on http://%s, %d instances",
            self._settings.service.listen,
            self._settings.service.admin,
            len(self.router.book.table),
        )
        try:
            # Unlike `gather`, this lets them go on while the service drains: what is learned then is saved.
            ended, _ = await asyncio.wait(background, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            seconds = self._settings.service.drain_seconds
            logger.info(
                "stopping: no new requests; %d answers to verify have %g s to end, %d requests in flight are left to Envoy",
                self._attempts.open_streams,
                seconds,
                self.router.book.in_flight,
            )
            is_drained = await Drain(self._health, lambda: self._attempts.open_streams).run(seconds)
            for task in background:
                task.cancel()
            await server.stop(LAST_SECONDS if is_drained else 0)
            await asyncio.gather(*background, return_exceptions=True)
            await self._scraper.stop()
            if self._judge is not None:
                await self._judge.close()
            if self._exporter is not None:
                await self._exporter.close()
            await admin.cleanup()
            logger.info("stopped")

    def _grpc_server(self) -> grpc.aio.Server:
        largest = self._settings.gateway.max_body_bytes + _GRPC_OVERHEAD_BYTES
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", largest),
                ("grpc.max_send_message_length", largest),
                ("grpc.so_reuseport", 0),
            ]
        )
        processor = ExternalProcessor(
            parse=partial(parse_request, wants_words=lambda: self.router.reads_words),
            route=self._route,
            abandon=lambda plan: self.router.abandon(plan, time.monotonic()),
            listener=self._listener,
            clock_ns=time.time_ns,
            max_body_bytes=self._settings.gateway.max_body_bytes,
            attempts=self._attempts,
            specify=self._verifier.specify,
            feedback=self._told,
            fleet=lambda: self.router.book.table.fleet,
        )
        server.add_generic_rpc_handlers(
            (
                processor.rpc_handler(),
                self._access_log.rpc_handler(),
                otlp_handler(self._traces, time.time_ns),
                self._health.rpc_handler(),
            )
        )
        address = self._settings.service.listen
        if address.startswith("unix:"):
            Path(address.removeprefix("unix:")).parent.mkdir(parents=True, exist_ok=True)
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address} (service.listen): is it in use?") from error
        return server

    async def _start_admin(self) -> web.AppRunner:
        app = admin_app(
            is_ready=lambda: self._health.serving,
            metrics_text=self._metrics.render,
            fleet=self._fleet_page,
            traces=lambda last, asked: traces_payload(self._traces, last, asked),
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        host, _, port = self._settings.service.admin.rpartition(":")
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        return runner

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_SWEEP_SECONDS)
            now = time.monotonic()
            book = self.router.book
            self._standing.look(book.suspects(now), book.table.row_by_address, now)
            expired = self.router.expire(now)
            if expired:
                logger.warning(
                    "%d requests never reported their end and were taken off the load book", expired
                )

    def _route(self, facts: RequestFacts, on_stage: OnStage) -> Plan:
        return self.router.route(
            facts,
            now=time.monotonic(),
            decision_id=secrets.token_hex(8),
            unix_ms=time.time_ns() // 1_000_000,
            on_stage=on_stage,
        )

    def _goes_on(self, context: AttemptContext) -> Continuation:
        return self.router.continuation(context, time.monotonic())

    async def _ask_judge(self, call: JudgeCall) -> tuple[int | None, bytes]:
        if self._judge is None:
            self._judge = HttpJudge()
        return await self._judge(call)

    def _judged(self, record: AttemptRecord) -> None:
        if record.is_overflow:
            self._overflowed(record)
        verdict = verdict_record(record)
        if verdict is not None:
            self.router.record_verdict(verdict, time.monotonic())

    def _told(self, session: str, attempt: int | None, correct: bool) -> bool:
        return self.router.feedback(session, attempt=attempt, is_correct=correct, now=time.monotonic())

    def _finished(self, outcome: Outcome) -> None:
        self.router.record(outcome, time.monotonic())
        self._listener.finished(self.router.as_served(outcome))

    def _overflowed(self, record: AttemptRecord) -> None:
        self.router.record_overflow(
            record.decision_id, record.address, record.next_address or None, time.monotonic()
        )
        table = self.router.book.table
        row = table.row_by_address.get(record.address)
        self._metrics.overflow_retried(table.clusters[row].pool if row is not None else "")

    def _tried(self, record: TryRecord) -> None:
        now = time.monotonic()
        if record.is_failure and record.address in self.router.book.table.row_by_address:
            self._metrics.try_failed(record.address)
            self._standing.tried(record, now)
        self.router.record_try(record, now)

    def _apply(self, fresh: Settings) -> None:
        """Take over an edited fleet file.

        What can raise comes first, the endpoint files last of that: an edit that is refused has changed nothing. The
        files come before the router, since a plan may name an instance only once Envoy can know it.
        """
        fleet, policy, provision = fresh.fleet(), plan_policy(fresh), output_provision(fresh)
        verification, timing, quality = verify_policy(fresh), scrape_timing(fresh), declared_quality(fleet)
        FleetTable.of(fleet)
        write_endpoints(self._endpoints_directory, fleet)
        self.router.replace(fleet, policy, output_provision=provision)
        self._estimators.quality.declare(quality)
        self._upkeep.follow(fresh)
        self._scraper.timing = timing
        self._scraper.follow(self.router.book.table.addresses)
        self._verifier.policy = verification
        self._attempts.max_answer_bytes = verification.max_answer_bytes
        self._settings = fresh

    def _scrape_failed(self, address: str, _why: str) -> None:
        self._metrics.scrape_failed(address)

    def _reloaded(self, accepted: bool) -> None:
        self._metrics.fleet_reloaded(accepted=accepted)

    def _read_instances(self) -> Iterator[InstanceReading]:
        book = self.router.book
        own = book.sequences_by_address()
        now = time.monotonic()
        ages, suspects = book.scrape_age_seconds(now), book.suspects(now)
        for row, (cluster, address) in enumerate(zip(book.table.clusters, book.table.addresses, strict=True)):
            yield InstanceReading(
                address=address,
                cluster=cluster.name,
                sequences_in_flight=own[address],
                scrape_age_seconds=ages[address] if math.isfinite(ages[address]) else None,
                is_usable=bool(book.table.in_service[row]),
                is_suspect=address in suspects,
            )

    def _read_dropped_spans(self) -> int:
        return self._exporter.dropped_spans if self._exporter else 0

    def _fleet_page(self) -> dict[str, object]:
        now = time.monotonic()
        snapshot = self.router.book.snapshot(now)
        own = self.router.book.sequences_by_address()
        age = self.router.book.scrape_age_seconds(now)
        return {
            "pid": os.getpid(),
            "requests_in_flight": self.router.book.in_flight,
            "requests_expired": self.router.book.expired,
            "instances": [
                {
                    "address": address,
                    "cluster": snapshot.table.clusters[row].name,
                    "sequences_in_flight": own[address],
                    "sequences": round(float(snapshot.sequences[row]), 3),
                    "usable": bool(snapshot.usable[row]),
                    "suspect": bool(snapshot.suspect[row]),
                    "scrape_age_seconds": round(age[address], 3) if math.isfinite(age[address]) else None,
                }
                for row, address in enumerate(snapshot.table.addresses)
            ],
        }
