from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadgen import answer
from loadgen.answer import PlainAnswer, StreamedAnswer

STREAM = (
    b'data: {"model":"m","choices":[{"text":"","finish_reason":null}]}\r\n\r\n'
    b": a comment\n\n"
    b'data: {"model":"m","choices":[{"text":"a\xc3\xa9","finish_reason":null}]}\n\n'
    b'data: {"model":"m","choices":[{"text":"b","finish_reason": null}]}\n\n'
    b'data: {"model":"m","choices":[{"text":"","finish_reason":"length"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\n"
)


@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_cuts_make_no_difference(cuts: list[int]) -> None:
    """However the bytes are cut, the same is learnt from them."""
    reader = StreamedAnswer()
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        reader.feed(STREAM[start:end], now=float(end))
    reader.close()

    assert (5, "length", "m") == (reader.events, reader.finish_reason, reader.model)
    assert (5, 2) == (reader.prompt_tokens, reader.completion_tokens)
    assert reader.is_complete
    assert not reader.error
    assert reader.first_token_seconds is not None
    assert reader.first_token_seconds > STREAM.index(b"a comment")


@given(data=st.binary(max_size=300))
def test_no_bytes_crash_the_readers(data: bytes) -> None:
    """Arbitrary bytes give an incomplete answer or an error, never an exception."""
    for reader in (StreamedAnswer(), PlainAnswer()):
        reader.feed(b"data: " + data, now=1.0)
        reader.feed(b"\n\n", now=2.0)
        reader.close()
        assert not reader.is_complete or data.strip() == b"[DONE]"


def test_odd_json_is_tolerated() -> None:
    """Fields of the wrong type are ignored; an answer that is no object is an error."""
    reader = StreamedAnswer()
    events: list[object] = [
        {"choices": None},
        {"choices": [1, {"delta": None}]},
        {"usage": 3},
        {"choices": {}},
        [1],
    ]
    for event in events:
        reader.feed(b"data: " + json.dumps(event).encode() + b"\n\n", now=0.0)

    assert 5 == reader.events
    assert reader.first_token_seconds is None
    assert "the answer is not a JSON object" == reader.error


def test_tool_calls_and_reasoning_are_output() -> None:
    """The first token may be a tool call or reasoning as well as content."""
    for delta in ({"tool_calls": [{"index": 0}]}, {"reasoning_content": "hm"}, {"content": "hi"}):
        reader = StreamedAnswer()
        event = {"choices": [{"delta": delta, "finish_reason": None}]}
        reader.feed(b"data: " + json.dumps(event).encode() + b"\n", now=3.0)

        assert 3.0 == reader.first_token_seconds


def test_an_endless_event_takes_no_memory() -> None:
    """A line beyond the limit is counted once and skipped; what follows it is read."""
    reader = StreamedAnswer()
    for _ in range(5):
        reader.feed(b"data: " + b"x" * (answer.MAX_EVENT_BYTES // 2), now=0.0)
        assert len(reader._carry) <= answer.MAX_EVENT_BYTES
    reader.feed(b"\n\ndata: [DONE]\n\n", now=0.0)

    assert 1 == reader.events
    assert reader.is_complete


def test_a_huge_plain_answer_is_not_kept() -> None:
    """A plain answer beyond the limit is complete but unread."""
    reader = PlainAnswer()
    for _ in range(40):
        reader.feed(b"x" * (1 << 20), now=0.0)
        assert len(reader._body) <= answer.MAX_PLAIN_BYTES
    reader.close()

    assert reader.is_complete
    assert reader.completion_tokens is None
