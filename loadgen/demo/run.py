"""Starts everything, replays traffic with a fault in the middle, collects what each part saw, and stops everything."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml
from rich.console import Console

from extproc.telemetry import attributes
from extproc.telemetry.trace_tree import TracesPayload, TraceTree
from loadgen.client import run_load
from loadgen.demo.quality import QUESTIONS, ArmResult, compare_routing, quality_priors
from loadgen.demo.settled import emptied_load, read_json, settled_traces
from loadgen.replay import RunDisplay, RunOptions, plan_run
from loadgen.report import Summary, summarize
from loadgen.schedule import ScheduledRequest
from loadgen.stack.local import LocalStack
from loadgen.stack.ports import busy_addresses, with_free_ports
from loadgen.workload.requests import RequestMix

CHAT_REQUESTS = 240
LONG_REQUESTS = 30
RATE_SCALE = 2.0
"""The chat hour arrives twice as fast as it did: some 11 requests a second."""

LONGEST_PROMPT_TOKENS = 60_000
LONGEST_ANSWER_TOKENS = 600
FAULT_AFTER_SECONDS = 8.0
FAULT_SECONDS = 6.0
SETTLE_SECONDS = 20.0
"""How long to wait for Envoy's last spans, and then for its last log entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What was seen.

    Attributes:
        workloads: The lines that say where the requests come from.
        summary: The client's side.
        traces: The service's side, every trace.
        faulty: Instance that failed half of its requests for a while.
        load: The service's load book at the end.
        counters: Some of Envoy's counters.
        questions: The line that says where the questions come from.
        arms: Plain and verified routing on the same questions.
        verified: Trace of a question whose first answer was rejected and whose second passed; None when there is none.
    """

    workloads: tuple[str, ...]
    summary: Summary
    traces: TracesPayload
    faulty: str
    load: dict[str, Any]
    counters: dict[str, int]
    questions: str
    arms: list[ArmResult]
    verified: TraceTree | None


async def run_demo(
    fleet_file: Path, run_dir: Path, *, seed: int, environ: Mapping[str, str], console: Console
) -> DemoResult:
    """Run the demo.

    Raises:
        StackError: A part of the system did not start; the message says which and why.
        FileNotFoundError: The data folder was named but is not there.
    """
    fleet = _fleet_document(fleet_file, console)
    models = list(dict.fromkeys(cluster["model"] for cluster in fleet["clusters"]))
    priors = quality_priors(environ, models, seed=seed)
    for cluster in fleet["clusters"]:
        cluster["quality_prior"] = priors.get(cluster["model"])
    with console.status("starting Envoy, the service and the simulated fleet"):
        stack = await LocalStack(run_dir, fleet).__aenter__()
    try:
        instances = len(stack.addresses)
        console.print(
            f"Envoy on {stack.settings.gateway.listen}, the service on {stack.settings.service.listen}, "
            f"{instances} simulated vLLM servers; logs in {run_dir}/",
            highlight=False,
        )
        return await _exercise(stack, seed, environ, console)
    finally:
        with console.status("stopping everything"):
            await stack.__aexit__(None, None, None)


def _fleet_document(fleet_file: Path, console: Console) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(fleet_file.read_text())
    busy = busy_addresses(document)
    if busy:
        console.print(f"{busy[0]} is in use on this machine, so the demo takes free ports", highlight=False)
        with_free_ports(document)
    return document


async def _exercise(stack: LocalStack, seed: int, environ: Mapping[str, str], console: Console) -> DemoResult:
    models = tuple(dict.fromkeys(cluster.model for cluster in stack.settings.clusters))
    chat = _options(stack, "azure_conv", CHAT_REQUESTS, seed=seed, models=models)
    plans = [plan_run(chat, environ)]
    span = plans[0].schedule[-1].start_seconds
    rate = LONG_REQUESTS / span
    plans.append(
        plan_run(
            _options(stack, "mooncake_conversation", LONG_REQUESTS, seed=seed, models=models, rate=rate),
            environ,
        )
    )
    schedule: list[ScheduledRequest] = list(
        heapq.merge(*(plan.schedule for plan in plans), key=lambda request: request.start_seconds)
    )
    faulty = stack.addresses[0]
    console.print(
        f"{len(schedule)} requests within {span:.0f} s; {faulty} answers half of its requests with 503 "
        f"from second {FAULT_AFTER_SECONDS:.0f} to {FAULT_AFTER_SECONDS + FAULT_SECONDS:.0f}",
        highlight=False,
    )
    display = RunDisplay(console, len(schedule))
    with display.shown():
        fault = asyncio.create_task(_disturb(faulty))
        records = await run_load(schedule, stack.gateway_url, timeout_seconds=120, on_progress=display.update)
        await fault
    lines = tuple(plan.workload for plan in plans)
    pools = {i.address: c.pool for c in stack.settings.clusters for i in c.instances}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        with console.status("collecting traces"):
            traces = await settled_traces(
                session, stack.service_admin_url, requests=len(records), limit_seconds=SETTLE_SECONDS
            )
        with console.status("waiting for the load book to empty"):
            load = await emptied_load(session, stack.service_admin_url, limit_seconds=SETTLE_SECONDS)
        counters = await _counters(session, stack)
        questions, arms = await compare_routing(stack, environ, seed=seed, console=console)
        with console.status("looking for a question that was retried"):
            verified = await _verified_trace(session, stack)
        return DemoResult(
            questions=questions,
            arms=arms,
            verified=verified,
            workloads=lines,
            summary=summarize(
                records,
                workload=" and ".join(lines),
                arrivals=f"the chat trace's own arrivals at {RATE_SCALE:g} times their rate",
                seed=seed,
                target=stack.gateway_url,
                pools=pools,
                clipped_prompts=sum(plan.clipped_prompts for plan in plans),
            ),
            traces=traces,
            faulty=faulty,
            load=load,
            counters=counters,
        )


def _options(
    stack: LocalStack,
    workload: str,
    requests: int,
    *,
    seed: int,
    models: tuple[str, ...],
    rate: float | None = None,
) -> RunOptions:
    return RunOptions(
        target=stack.gateway_url,
        workload=workload,
        requests=requests,
        rate_scale=RATE_SCALE,
        process="trace" if rate is None else "poisson",
        rate=rate,
        seed=seed,
        mix=RequestMix(
            auto_share=0.8,
            models=models,
            max_prompt_tokens=LONGEST_PROMPT_TOKENS,
            max_output_tokens=LONGEST_ANSWER_TOKENS,
        ),
    )


async def _disturb(address: str) -> None:
    """Make one instance fail half of its requests for a while."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        await asyncio.sleep(FAULT_AFTER_SECONDS)
        for rate in (0.5, 0.0):
            async with session.post(
                f"http://{address}/admin/config", json={"error_rate": rate, "error_status": 503}
            ) as response:
                response.raise_for_status()
            if rate:
                await asyncio.sleep(FAULT_SECONDS)


async def _verified_trace(session: aiohttp.ClientSession, stack: LocalStack) -> TraceTree | None:
    """Wait until the trace of some retried question is whole: a rejected attempt, then an accepted one."""
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        payload: TracesPayload = await read_json(
            session, f"{stack.service_admin_url}/traces?last={2 * QUESTIONS}"
        )
        for trace in payload["traces"]:
            if trace["is_joined"] and verdicts(trace) == ["rejected", "accepted"]:
                return trace
        await asyncio.sleep(0.5)
    return None


def verdicts(trace: TraceTree) -> list[str]:
    """What was thought of the answers of a request, in order of time."""
    found: list[tuple[float, str]] = []
    nodes = list(trace["roots"])
    while nodes:
        node = nodes.pop()
        nodes += node["children"]
        if attributes.ATTEMPT_VERDICT in node["attributes"]:
            found.append((node["offset_ms"], str(node["attributes"][attributes.ATTEMPT_VERDICT])))
    return [verdict for _, verdict in sorted(found)]


async def _counters(session: aiohttp.ClientSession, stack: LocalStack) -> dict[str, int]:
    wanted = (
        "upstream_rq_retry",
        "upstream_rq_retry_success",
        "rejected_header_mutations",
        "failure_mode_allowed",
    )
    totals = dict.fromkeys(wanted, 0)
    async with session.get(f"{stack.envoy_admin_url}/stats?format=json&filter=retry|ext_proc") as response:
        for entry in orjson.loads(await response.read())["stats"]:
            name = entry.get("name", "").rpartition(".")[2]
            if name in totals and isinstance(entry.get("value"), int):
                totals[name] += entry["value"]
    return totals
