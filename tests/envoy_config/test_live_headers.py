from __future__ import annotations

from typing import Any

import pytest

from extproc.protocol import names
from tests.envoy_config.talk import (
    decided,
    failing,
    post,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("alive", [True, False])
async def test_control_headers_of_clients_steer_nothing(gateway: Any, alive: bool) -> None:
    """A client's destination, cluster and retry headers reach neither the service nor an instance."""
    ups = gateway.upstreams
    if not alive:
        await gateway.stub.stop()
    spoofed = dict.fromkeys(names.CONTROL_HEADERS, "x") | {
        names.DESTINATION: ups["b1"].address,
        names.CLUSTER: "b-short",
        names.MAX_RETRIES: "9",
        names.TIMEOUT: "1",
        "X-Envoy-Retry-On": "5xx",
        "x-envoy-force-trace": "1",
        "x-envoy-original-path": "/x",
        names.ROLE: "attempt",
    }

    answer = await post(gateway, {"model": "a"}, **spoofed)

    assert 200 == answer.status
    assert 0 == len(ups["b1"].received)
    [seen] = [item for key in ("a1", "a2", "a3") for item in ups[key].received]
    arrived = [seen.headers] + (gateway.stub.decide_headers if alive else [])
    own = {"x-envoy-expected-rq-timeout-ms", "x-envoy-attempt-count", "x-envoy-external-address"}
    for headers in arrived:
        leaked = {key for key in headers if key.startswith(("x-ttca", "x-envoy", "x-gateway"))} - own
        assert set() == leaked
    assert "300000" == seen.headers["x-envoy-expected-rq-timeout-ms"]


async def test_request_ids_are_envoys_and_the_clients_own_is_kept_beside(gateway: Any) -> None:
    """Two requests with one id stay two requests; the client finds its id where it did not steer."""
    for _ in range(2):
        await post(gateway, {"model": "b"}, x_request_id="mine")

    first, second = (item.headers for item in gateway.upstreams["b1"].received)
    assert first[names.REQUEST_ID] != second[names.REQUEST_ID]
    assert "mine" not in (first[names.REQUEST_ID], second[names.REQUEST_ID])
    assert "mine" == first["x-client-request-id"] == second["x-client-request-id"]


async def test_a_client_without_a_request_id_gets_ours(gateway: Any) -> None:
    """Nothing is made up for the client's side, and the answer names the id that the logs carry."""
    answer = await post(gateway, {"model": "b"})

    [seen] = gateway.upstreams["b1"].received
    assert "x-client-request-id" not in seen.headers
    assert seen.headers[names.REQUEST_ID] == answer.headers[names.REQUEST_ID]


async def test_a_trace_of_the_client_is_continued(gateway: Any) -> None:
    """Envoy's spans and the service's call carry the client's trace id, each try with a span of its own."""
    ups = gateway.upstreams
    ups["a1"].answer = failing(503)
    gateway.stub.decide = decided(ups["a1"].address, ups["a2"].address, cluster="a-short", retries=1)
    trace = "0af7651916cd43dd8448eb211c80319c"

    await post(gateway, {"model": "a"}, traceparent=f"00-{trace}-b7ad6b7169203331-01")

    def spans() -> list[Any]:
        return [span for span in gateway.stub.spans if span.trace_id.hex() == trace]

    await gateway.until(lambda: len(spans()) >= 4, "ingress, ext_proc and two egress spans")
    egress = [span for span in spans() if "router" in span.name]
    assert 2 == len({span.span_id for span in egress})
    assert trace == ups["a2"].received[0].headers[names.TRACEPARENT].split("-")[1]


async def test_a_client_that_does_not_sample_is_not_traced(gateway: Any) -> None:
    """The caller's sampled flag decides, whatever the ratio."""
    trace = "1af7651916cd43dd8448eb211c80319c"

    await post(gateway, {"model": "a"}, traceparent=f"00-{trace}-b7ad6b7169203331-00")
    await post(gateway, {"model": "a"})

    await gateway.until(lambda: len(gateway.stub.spans) > 0, "spans of the second request")
    assert trace not in {span.trace_id.hex() for span in gateway.stub.spans}
