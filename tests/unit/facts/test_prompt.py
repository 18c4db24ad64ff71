from __future__ import annotations

import pytest

from extproc.errors import BadRequestError
from extproc.facts.prompt import Prompt


@pytest.mark.parametrize(
    ("content", "parts", "images"),
    [
        (None, [], 0),
        ("hi", ["hi"], 0),
        ([{"type": "text", "text": "a"}, "b"], ["a", "b"], 0),
        (
            [{"text": "a"}, {"type": "refusal", "refusal": "no"}, {"type": "thinking", "thinking": "hm"}],
            ["a", "no", "hm"],
            0,
        ),
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}], [], 1),
        ([{"image_url": "https://example.com/a.png"}], [], 1),
        ([{"type": "input_audio", "input_audio": {}}, {"type": "video_url"}], [], 2),
        ([{"type": "text", "text": None}], [], 0),
        ([{"type": "novelty", "novelty": 1}, {"type": []}, {}], [], 0),
    ],
)
def test_content_is_collected(content: object, parts: list[str], images: int) -> None:
    """Texts are collected and media counted; kinds that only vLLM may know are left to it."""
    prompt = Prompt()

    prompt.add_content(content, "content")

    assert (parts, images) == (prompt.parts, prompt.images)


@pytest.mark.parametrize(
    ("content", "path"),
    [(5, "c"), ({"text": "a"}, "c"), ([5], "c[0]"), (["a", None], "c[1]"), ([{"text": 5}], "c[0].text")],
)
def test_malformed_content_is_refused(content: object, path: str) -> None:
    """Content that is no text in any form is a 400 with its JSON path."""
    with pytest.raises(BadRequestError) as caught:
        Prompt().add_content(content, "c")
    assert path == caught.value.param


def test_tools_are_counted_and_read_as_json() -> None:
    """The model reads the declarations as JSON text."""
    prompt = Prompt()

    prompt.add_tools({"tools": [{"name": "a"}, {"name": "b"}]})

    assert (2, ['[{"name":"a"},{"name":"b"}]']) == (prompt.tools, prompt.parts)


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_add_nothing(tools: object) -> None:
    """Null and an empty array declare no tool."""
    prompt = Prompt()

    prompt.add_tools({"tools": tools})

    assert Prompt() == prompt


def test_tools_that_are_no_array_are_refused() -> None:
    """`tools` of another type is a 400."""
    with pytest.raises(BadRequestError, match="`tools` must be an array of tool declarations, got an object"):
        Prompt().add_tools({"tools": {}})


def test_endlessly_nested_tools_are_refused() -> None:
    """Declarations too deep to be written are a 400 and not a recursion error."""
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]

    with pytest.raises(BadRequestError) as caught:
        Prompt().add_tools({"tools": deep})
    assert ("nested-too-deeply", "tools") == (caught.value.reason, caught.value.param)


@pytest.mark.parametrize(
    ("value", "sequences", "parts", "token_ids", "longest_share"),
    [
        ("hi", 1, ["hi"], 0, 1.0),
        ("", 1, [""], 0, 1.0),
        (["a", "bbb"], 2, ["a", "bbb"], 0, 0.75),
        (["a", "é"], 2, ["a", "é"], 0, 2 / 3),
        (["", ""], 2, ["", ""], 0, 1.0),
        ([1, 2, 3], 1, [], 3, 1.0),
        ([1, 2.0, True], 1, [], 3, 1.0),
        ([[1], [1, 2, 3]], 2, [], 4, 0.75),
        ([[]], 1, [], 0, 1.0),
    ],
)
def test_sequences_are_counted(
    value: object, sequences: int, parts: list[str], token_ids: int, longest_share: float
) -> None:
    """Texts and token ids are summed over all sequences, and the longest one's share of UTF-8 bytes is kept."""
    prompt = Prompt()

    assert sequences == prompt.add_sequences(value, "input")

    assert Prompt(parts=parts, token_ids=token_ids, messages=sequences, longest_share=longest_share) == prompt


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "p"), ([], "p"), (5, "p"), ({}, "p"), ([None], "p[0]"), ([{}, {}], "p[0]"), ([1, "a"], "p[1]"),
        (["a", [1]], "p[1]"), (["a", 1], "p[1]"), ([1.5, None], "p[1]"), ([[1], [1, "a"]], "p[1][1]"), ([[[1]]], "p[0][0]"),
    ],
)  # fmt: skip
def test_malformed_sequences_are_refused(value: object, param: str) -> None:
    """A prompt in none of the four forms is a 400 that points at the first element at fault."""
    with pytest.raises(BadRequestError) as caught:
        Prompt().add_sequences(value, "p")
    assert param == caught.value.param
