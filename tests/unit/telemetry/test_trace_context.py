from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from extproc.telemetry.trace_context import TraceContext, is_sampled, sampled_parent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_sampled_header_gives_its_ids() -> None:
    """A sampled header gives the trace and the span to continue."""
    expected = TraceContext(bytes.fromhex(TRACE), bytes.fromhex(SPAN))

    assert expected == sampled_parent(f"00-{TRACE}-{SPAN}-01")


def test_later_versions_may_say_more() -> None:
    """A header of a later version is read as far as it is known."""
    assert sampled_parent(f"01-{TRACE}-{SPAN}-03-more") is not None


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-02",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01x",
        "1" * 200,
    ],
)
def test_unsampled_and_malformed_headers_give_nothing(header: str) -> None:
    """Whoever does not ask for spans in proper form gets none."""
    assert sampled_parent(header) is None


@given(st.integers(min_value=0, max_value=255))
def test_the_flag_is_read_as_opentelemetry_reads_it(flags: int) -> None:
    """Sampling follows the lowest bit of the flags, as in OpenTelemetry's own propagator."""
    header = f"00-{TRACE}-{SPAN}-{flags:02x}"
    context = TraceContextTextMapPropagator().extract({"traceparent": header})

    assert get_current_span(context).get_span_context().trace_flags.sampled == is_sampled(header)


@given(st.text(max_size=80))
def test_no_text_raises(header: str) -> None:
    """A header is client-controlled: whatever it holds, it is read or ignored."""
    assert sampled_parent(header) is None
