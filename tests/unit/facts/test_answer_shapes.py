from __future__ import annotations

import pytest

from extproc.facts.answer import Choice, FinishReason, ToolCall
from extproc.facts.answer_shapes import (
    LEAST_LOGPROB,
    read_chat_choices,
    read_completion_choices,
    read_message_choices,
    read_response_choices,
)


def chat(**item: object) -> Choice:
    choices = read_chat_choices({"choices": [item]})
    assert choices is not None
    return choices[0]


def test_a_chat_choice_has_text_and_finish_reason() -> None:
    """The reason is kept both normalised and in the API's word."""
    choice = chat(message={"content": "hi"}, finish_reason="stop")

    assert Choice(text="hi", finish_reason=FinishReason.STOP, finish_reason_text="stop") == choice


def test_the_text_parts_of_a_message_are_joined() -> None:
    """Some servers answer with an array of parts."""
    assert chat(message={"content": [{"type": "text", "text": "a"}, 1, {"text": "b"}]}).text == "ab"


def test_calls_are_read_in_both_forms() -> None:
    """`tool_calls` and the deprecated `function_call` give the same calls."""
    function = {"name": "f", "arguments": '{"a":1}'}
    modern = chat(message={"tool_calls": [{"type": "function", "function": function}]})
    deprecated = chat(message={"function_call": function})

    assert (ToolCall("f", '{"a":1}'),) == modern.tool_calls == deprecated.tool_calls


def test_a_malformed_call_is_still_a_call() -> None:
    """A call that cannot be read is not taken for the absence of one."""
    assert (ToolCall(None, None),) == chat(message={"tool_calls": [{}]}).tool_calls


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("length", FinishReason.LENGTH),
        ("tool_calls", FinishReason.TOOL_CALLS),
        ("function_call", FinishReason.TOOL_CALLS),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("abort", FinishReason.ABORT),
        ("error", FinishReason.ERROR),
        ("repetition", FinishReason.REPETITION),
        ("whatever", FinishReason.UNKNOWN),
        (7, FinishReason.UNKNOWN),
        (None, FinishReason.UNKNOWN),
    ],
)
def test_openai_finish_reasons(word: object, reason: FinishReason) -> None:
    """The words of vLLM are known beside OpenAI's, and an unknown word is unknown."""
    assert reason is chat(message={}, finish_reason=word).finish_reason


def test_log_probabilities_of_a_chat() -> None:
    """The chosen tokens' figures are taken, unknown and infinite ones are left out."""
    entries = [{"logprob": -0.5}, {"logprob": None}, {"logprob": float("-inf")}, {"logprob": 0}]

    assert (-0.5, 0.0) == chat(logprobs={"content": entries}).token_logprobs


def test_log_probabilities_beyond_their_range_are_its_ends() -> None:
    """No token is likelier than certain, and figures so low that their sum could overflow are the least there is."""
    values = [0.25, 3, -1.7e308, -(2**62), -9999.0]

    expected = (0.0, 0.0, LEAST_LOGPROB, LEAST_LOGPROB, -9999.0)
    assert expected == chat(logprobs={"content": [{"logprob": value} for value in values]}).token_logprobs


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}, {"content": [{}]}, 3])
def test_no_log_probabilities_are_none(logprobs: object) -> None:
    """Absence is None and not an empty tuple."""
    assert chat(logprobs=logprobs).token_logprobs is None


def test_a_completion_choice() -> None:
    """Text and log-probabilities stand elsewhere than in a chat."""
    choices = read_completion_choices(
        {
            "choices": [
                {"text": "a", "finish_reason": "length", "logprobs": {"token_logprobs": [None, -1.5]}},
                3,
            ]
        }
    )

    assert (
        Choice(
            text="a",
            finish_reason=FinishReason.LENGTH,
            finish_reason_text="length",
            token_logprobs=(-1.5,),
        ),
        Choice(text=None),
    ) == choices


def test_a_message_is_one_choice_of_its_blocks() -> None:
    """Texts are joined, thinking is no answer, and a call's input becomes JSON text."""
    choices = read_message_choices(
        {
            "stop_reason": "tool_use",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "a"},
                {"type": "text", "text": "b"},
                {"type": "tool_use", "name": "f", "input": {"a": 1}},
                {"type": "server_tool_use", "name": "search", "input": {}},
            ],
        }
    )

    assert (
        Choice(
            text="ab",
            finish_reason=FinishReason.TOOL_CALLS,
            finish_reason_text="tool_use",
            tool_calls=(ToolCall("f", '{"a":1}'), ToolCall("search", "{}", is_function=False)),
        ),
    ) == choices


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.CONTEXT_FULL),
        ("refusal", FinishReason.REFUSAL),
    ],
)
def test_stop_reasons_of_messages(word: str, reason: FinishReason) -> None:
    """The messages API has words of its own."""
    choices = read_message_choices({"content": [], "stop_reason": word})

    assert choices is not None
    assert reason is choices[0].finish_reason


def test_a_response_is_one_choice_of_its_items() -> None:
    """Messages give text, refusals and log-probabilities, calls give calls, reasoning gives nothing."""
    parts = [{"type": "output_text", "text": "a", "logprobs": [{"logprob": -1.0}]}, {"refusal": "no"}]
    choices = read_response_choices(
        {
            "status": "completed",
            "output": [
                {"type": "reasoning", "content": [{"text": "hm"}]},
                {"type": "message", "content": parts},
                {"type": "function_call", "name": "f", "arguments": "{}"},
                {"type": "web_search_call"},
            ],
        }
    )

    assert (
        Choice(
            text="a",
            finish_reason=FinishReason.STOP,
            finish_reason_text="completed",
            tool_calls=(ToolCall("f", "{}"), ToolCall(None, None, is_function=False)),
            refusal="no",
            token_logprobs=(-1.0,),
        ),
    ) == choices


def test_an_incomplete_response_says_why() -> None:
    """The reason stands in `incomplete_details`, not in the status."""
    choices = read_response_choices(
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}
    )

    assert choices is not None
    assert FinishReason.LENGTH is choices[0].finish_reason
