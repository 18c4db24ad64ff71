from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import orjson
import pytest

from extproc.protocol.wire import access_log_pb2
from extproc.server import access_log

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def below(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield node
        yield from below(node["children"])


async def trace_of(gateway: Any, trace_id: str, *, spans: int = 1) -> dict[str, Any]:
    """A trace, once it is joined and has at least so many spans."""
    found: dict[str, Any] = {}

    async def arrived() -> bool:
        async with gateway.session.get(f"{gateway.stack.service_admin_url}/traces?last=1000") as response:
            payload = await response.json()
        for trace in payload["traces"]:
            if trace["trace_id"] == trace_id and trace["is_joined"] and trace["span_count"] >= spans:
                found.update(trace)
        return bool(found)

    await gateway.settle(arrived, within_seconds=20)
    return found


def parent_header(trace_id: str = TRACE_ID, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-{flags}"}


async def test_a_request_is_one_trace(gateway: Any, chat: Chat) -> None:
    """The client's trace holds Envoy's spans and ours, with the stages, the decision and the usage."""
    status, headers, _ = await gateway.ask(chat(model="model-b"), headers=parent_header())
    trace = await trace_of(gateway, TRACE_ID, spans=9)
    spans = {span["name"]: span for span in below(trace["roots"])}

    assert 200 == status
    assert 1 == len(trace["roots"])
    stages = {"ttca.parse", "ttca.eligible", "ttca.estimate", "ttca.assign", "ttca.encode"}
    assert stages == {child["name"] for child in spans["ttca.decide"]["children"]}
    decided = spans["ttca.decide"]["attributes"]
    assert ("model-b", "short", "b-short") == (
        decided["gen_ai.request.model"],
        decided["ttca.pool"],
        decided["ttca.cluster"],
    )
    finished = spans["chat model-b"]["attributes"]
    assert headers["x-inference-pod"] == finished["ttca.served_instance"]
    assert 5 == finished["gen_ai.usage.output_tokens"]


async def test_a_retry_shows_each_try(gateway: Any, chat: Chat) -> None:
    """Envoy's span of every try is in the trace, with what became of it."""
    trace_id = TRACE_ID.replace("4bf9", "5bf9")
    for address in gateway.stack.addresses:
        await gateway.faults(address, error_rate=1.0, error_status=503)
    status, _, _ = await gateway.ask(chat(model="model-a"), headers=parent_header(trace_id))
    trace = await trace_of(gateway, trace_id, spans=11)
    tries = [
        span
        for span in below(trace["roots"])
        if span["attributes"].get("upstream_address", "").startswith("127.")
    ]

    assert 503 == status
    assert 3 == len({span["attributes"]["upstream_address"] for span in tries})


async def test_an_unsampled_request_leaves_no_spans(gateway: Any, chat: Chat) -> None:
    """The caller's sampling decision is honoured by Envoy and by us."""
    unsampled, sampled = TRACE_ID.replace("4bf9", "6bf9"), TRACE_ID.replace("4bf9", "7bf9")
    await gateway.ask(chat(), headers=parent_header(unsampled, flags="00"))
    await gateway.ask(chat(), headers=parent_header(sampled))
    await trace_of(gateway, sampled)

    async with gateway.session.get(f"{gateway.stack.service_admin_url}/traces?last=1000") as response:
        payload = await response.json()
    assert unsampled not in {trace["trace_id"] for trace in payload["traces"]}


async def test_usage_is_learned_from_plain_and_streamed_answers(gateway: Any, chat: Chat) -> None:
    """Token counts that Envoy picks out of JSON and SSE reach the metrics; a stream without usage counts nothing."""

    async def counted() -> float:
        lines = (await gateway.metrics()).splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("gen_ai_client_token_usage_count") and 'token_type="output"' in line
        )

    async def counted_is(value: float) -> None:
        async def holds() -> bool:
            return await counted() == value

        await gateway.settle(holds)

    before = await counted()
    await gateway.ask(chat())
    await counted_is(before + 1)
    async with gateway.post(chat(stream=True, stream_options={"include_usage": True})) as response:
        await response.read()
    await counted_is(before + 2)
    async with gateway.post(chat(stream=True)) as response:
        await response.read()
    await asyncio.sleep(1)
    assert before + 2 == await counted()


async def test_log_entries_that_mean_nothing_are_counted(gateway: Any) -> None:
    """Entries of a log that the service does not know show on its metrics page."""
    line = "ttca_access_log_entries_bad_total 2"
    message = access_log_pb2.StreamAccessLogsMessage()
    message.identifier.log_name = "somebody-elses"
    message.http_logs.log_entry.extend([access_log_pb2.HTTPAccessLogEntry()] * 2)
    assert line not in (await gateway.metrics()).splitlines()

    async with grpc.aio.insecure_channel(gateway.stack.settings.service.listen) as channel:
        stream = channel.stream_unary(
            f"/{access_log.SERVICE_NAME}/StreamAccessLogs",
            request_serializer=access_log_pb2.StreamAccessLogsMessage.SerializeToString,
            response_deserializer=access_log_pb2.StreamAccessLogsResponse.FromString,
        )
        await stream(iter([message]))

    assert line in (await gateway.metrics()).splitlines()


def told(gateway: Any, words: str) -> list[dict[str, Any]]:
    """Lines of the service's log whose message has these words, oldest first."""
    lines = map(orjson.loads, gateway.stack.service.log.read_bytes().splitlines())
    return [line for line in lines if words in line["message"]]


@pytest.mark.slow
async def test_a_failing_instance_is_logged_and_can_be_alerted_on(gateway: Any, chat: Chat) -> None:
    """One line says that it is suspect and why, one that it is trusted again, and a gauge holds in between."""
    failing = gateway.instances("b-short")[0]
    gauge = f'ttca_instance_suspect{{address="{failing}",cluster="b-short"}}'
    await gateway.faults(failing, error_rate=1.0, error_status=503)

    async def is_suspect() -> bool:
        await gateway.ask(chat(model="model-b"))
        return f"{gauge} 1" in await gateway.metrics()

    await gateway.settle(is_suspect)
    failures = f'ttca_failed_tries_total{{address="{failing}"}}'
    assert failures in await gateway.metrics()
    await gateway.reset()

    async def is_back() -> bool:
        return bool(told(gateway, f"instance {failing} is trusted again"))

    await gateway.settle(is_back, within_seconds=30)
    assert f"{gauge} 0" in await gateway.metrics()
    (suspect,) = told(gateway, f"instance {failing} is suspect")
    assert "it answered 503" in suspect["message"]
    assert ("warning", failing) == (suspect["level"], suspect["instance"])


async def test_the_commands_show_a_running_service(gateway: Any, chat: Chat) -> None:
    """`ttca traces` prints trees and JSON, `ttca health` says serving."""
    _, headers, _ = await gateway.ask(chat(), headers=parent_header(TRACE_ID.replace("4bf9", "8bf9")))
    await trace_of(gateway, TRACE_ID.replace("4bf9", "8bf9"))
    admin, listen = gateway.stack.settings.service.admin, gateway.stack.settings.service.listen

    async def ttca(*arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "extproc", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    code, tree = await ttca("traces", "--last", "2", "--admin", admin)
    assert 0 == code
    assert "ttca.decide" in tree
    code, document = await ttca("traces", "--last", "1", "--json", "--admin", admin)
    assert (0, 1) == (code, len(orjson.loads(document)["traces"]))
    request_id = headers["x-request-id"]
    code, tree = await ttca("traces", "--request", request_id[:13], "--status", "2xx", "--admin", admin)
    assert (0, True) == (code, f"request {request_id}" in tree)
    code, tree = await ttca("traces", "--request", request_id, "--status", "404", "--admin", admin)
    assert (0, True) == (code, tree.startswith("none of "))
    code, message = await ttca("traces", "--status", "x", "--admin", admin)
    assert (1, True) == (code, message.startswith("status='x': expected a status like 503"))
    assert (0, "serving\n") == await ttca("health", "--address", listen)
    code, message = await ttca("traces", "--admin", "127.0.0.1:1")
    assert (1, True) == (code, "does not answer" in message)


async def test_a_stop_leaves_a_line(gateway: Any) -> None:
    """SIGTERM is logged when it comes and when everything has ended, so that a stop is told from a crash."""
    before = len(told(gateway, "stop"))
    assert 0 == await gateway.stack.service.stop()
    lines = [line["message"].partition(":")[0] for line in told(gateway, "stop")[before:]]
    await gateway.stack.start_service()

    assert ["stopping", "stopped"] == lines


async def test_what_was_learned_survives_a_restart(gateway: Any, chat: Chat) -> None:
    """A restarted service estimates as the stopped one did."""

    async def estimate(trace_id: str) -> int:
        await gateway.ask(chat("0f3a " * 200, model="model-b"), headers=parent_header(trace_id))
        trace = await trace_of(gateway, trace_id, spans=9)
        decided = next(span for span in below(trace["roots"]) if span["name"] == "ttca.decide")
        return int(decided["attributes"]["ttca.token_budget.prompt"])

    first = await estimate(TRACE_ID.replace("4bf9", "9bf9"))
    for _ in range(60):
        await gateway.ask(chat("0f3a " * 200, model="model-b"))
    learned = await estimate(TRACE_ID.replace("4bf9", "abf9"))
    await gateway.stack.service.stop()
    await gateway.stack.start_service()

    async def decides() -> bool:
        await gateway.ask(chat(model="model-b"))
        return any("x-ttca-decision-id" in dict(r["headers"]) for r in (await gateway.received())[-1:])

    await gateway.settle(decides, within_seconds=15)
    assert abs(learned - first) > 0.02 * first
    assert abs(await estimate(TRACE_ID.replace("4bf9", "bbf9")) - learned) < 0.25 * abs(learned - first)
