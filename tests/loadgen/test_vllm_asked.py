from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.vllm.asked import IMAGE_TOKENS, Api, parse
from loadgen.vllm.errors import ApiError

MESSAGE = {"role": "user", "content": "hello there my friend"}


def tokens(api: Api, **body: Any) -> tuple[int, ...]:
    """Prompt tokens of a body."""
    return parse(api, orjson.dumps(body)).prompts


def test_parts_count_as_their_text() -> None:
    """A list of text parts has the tokens of its texts; an image has a fixed number."""
    text = {"type": "text", "text": "hello there my friend"}
    plain = tokens(Api.CHAT, messages=[MESSAGE])
    assert plain == tokens(Api.CHAT, messages=[{"role": "user", "content": [text]}])
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with_image = tokens(Api.CHAT, messages=[{"role": "user", "content": [text, image]}])
    assert (plain[0] + IMAGE_TOKENS,) == with_image


def test_tools_and_calls_are_part_of_the_prompt() -> None:
    """Tool definitions and earlier tool calls are counted."""
    plain = tokens(Api.CHAT, messages=[MESSAGE])
    tool = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}
    assert tokens(Api.CHAT, messages=[MESSAGE], tools=[tool]) > plain
    call = {"role": "assistant", "content": None, "tool_calls": [tool]}
    assert tokens(Api.CHAT, messages=[MESSAGE, call])[0] > plain[0] + 4


def test_token_ids_are_counted_as_they_are() -> None:
    """Prompts given as ids need no tokenizer."""
    assert (3,) == tokens(Api.COMPLETIONS, prompt=[1, 2, 3])
    assert (1, 2) == tokens(Api.EMBEDDINGS, input=[[1], [2, 3]])


@pytest.mark.parametrize(
    ("api", "body", "param"),
    [
        (Api.CHAT, {"max_completion_tokens": 5, "max_tokens": 9}, "max_completion_tokens"),
        (Api.CHAT, {"max_tokens": 5}, "max_tokens"),
        (Api.RESPONSES, {"max_output_tokens": 5}, "max_output_tokens"),
        (Api.MESSAGES, {"max_tokens": 5}, "max_tokens"),
    ],
)
def test_the_output_limit_is_read_under_each_apis_name(api: Api, body: dict[str, Any], param: str) -> None:
    """The newer chat field wins over the older one."""
    asked = parse(api, orjson.dumps({"messages": [MESSAGE], "input": "x", **body}))
    assert (5, param) == (asked.max_tokens, asked.max_tokens_param)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [MESSAGE], "n": 0},
        {"messages": [MESSAGE], "n": "2"},
        {"messages": [MESSAGE], "max_tokens": True},
        {"messages": [MESSAGE], "max_tokens": 1.5},
        {"messages": [MESSAGE], "stream": "yes"},
        {"messages": [MESSAGE], "model": 3},
        {"messages": [MESSAGE], "stream_options": {"include_usage": True}},
        {"messages": [MESSAGE], "stream": True, "stream_options": 3},
        {"messages": ["hello"]},
    ],
)
def test_wrong_types_and_ranges_are_400(body: dict[str, Any]) -> None:
    """Each gets an error that names a field."""
    with pytest.raises(ApiError) as caught:
        parse(Api.CHAT, orjson.dumps(body))
    assert caught.value.status == 400
    assert caught.value.param


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = (
    "messages",
    "prompt",
    "input",
    "n",
    "max_tokens",
    "stream",
    "stream_options",
    "tools",
    "system",
    "ttca_sim",
)


@given(api=st.sampled_from(Api), body=st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_json_is_read_or_refused(api: Api, body: dict[str, Any]) -> None:
    """No document makes the reader fail in any other way than with a 400."""
    status, prompts = 200, tuple[int, ...]([1])
    try:
        prompts = parse(api, orjson.dumps(body)).prompts
    except ApiError as error:
        status = error.status
    assert status in {200, 400}
    assert min(prompts) >= 1
