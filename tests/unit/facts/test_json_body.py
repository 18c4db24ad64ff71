from __future__ import annotations

import json
import math

import pytest

from extproc.errors import BadRequestError, BodyTooLargeError
from extproc.facts.json_body import LENIENT_LIMIT_BYTES, MAX_CONTAINERS, as_text, describe, read_object


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        ('{"a":1}'.encode("utf-16"), {"a": 1}),
        ('{"a":1}'.encode("utf-32-be"), {"a": 1}),
        (b'{"a":Infinity}', {"a": math.inf}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
        (b'{"a":"\xed\xa0\x80"}', {"a": "\ud800"}),
        (b'{"a":1,"a":2}', {"a": 2}),
    ],
)
def test_what_python_reads_is_read(body: bytes, expected: dict[str, object]) -> None:
    """Whatever vLLM's `json.loads` accepts is accepted, strict JSON or not."""
    assert expected == json.loads(body) == read_object(body)


@pytest.mark.parametrize(
    "body",
    [
        b" ", b"{", b"nonsense", b'{"a":1,}', b"{'a':1}", b'{"a":1} x', b'{"a":"\xff"}', b"\x00", b"\xff\xfe{",
        b'{"a":"\n"}', b'{"a":' + b"9" * 5000 + b"}{", b"[" * 1000, b'{"a":"' + b"x" * LENIENT_LIMIT_BYTES + b"\xff",
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Broken JSON and invalid UTF-8 are a 400 with the place of the error, and a short message."""
    with pytest.raises(BadRequestError, match=r"not valid JSON|nested too deeply") as caught:
        read_object(body)
    assert caught.value.reason in {"invalid-json", "nested-too-deeply"}
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [1_100, 100_000])
def test_endless_nesting_is_refused(opening: bytes, depth: int) -> None:
    """Nesting beyond what Python's `json` can read is a 400, closed or not."""
    closing = b"]" if opening == b"[" else b"}"
    for body in (opening * depth, b'{"a":' + opening * depth + b"1" + closing * depth + b"}"):
        with pytest.raises(BadRequestError) as caught:
            read_object(body)
        assert caught.value.reason in {"nested-too-deeply", "invalid-json"}


@pytest.mark.parametrize(
    ("body", "got"),
    [(b"[{}]", "an array"), (b'"x"', "the string 'x'"), (b"null", "null"), (b"5", "the number 5")],
)
def test_the_top_level_is_an_object(body: bytes, got: str) -> None:
    """JSON of another type is a 400 that says which type came."""
    with pytest.raises(BadRequestError, match=f"must be a JSON object, got {got}") as caught:
        read_object(body)
    assert "not-an-object" == caught.value.reason


def test_too_many_containers_are_refused_before_they_are_built() -> None:
    """One array too many is a 413; one less is not, nor are as many brackets inside a string."""
    arrays = b"[]," * (MAX_CONTAINERS - 2)

    with pytest.raises(BodyTooLargeError, match=f"more than {MAX_CONTAINERS} arrays and objects") as caught:
        read_object(b'{"a":[' + arrays + b'"[\\"[",{}]}')
    assert "too-many-containers" == caught.value.reason

    for body in (b'{"a":[' + arrays + b'"[\\"["]}', b'{"b":[],"a":"' + arrays + b'[\\"[["}'):
        assert len(read_object(body)) > 0


@pytest.mark.parametrize("value", [{"a": [1, "é"]}, {"a": "\ud800"}, {"a": 2**70}])
def test_a_part_is_written_as_json(value: object) -> None:
    """Every readable value can be written again, lone surrogates and large integers included."""
    assert value == json.loads(as_text(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "the number 1.5"),
        ([], "an empty array"),
        ([1], "an array"),
        ({}, "an object"),
    ],
)
def test_a_value_is_named(value: object, expected: str) -> None:
    """JSON values are named in JSON's words."""
    assert expected == describe(value)


@pytest.mark.parametrize("value", ["x" * 10_000, 10**4_000])
def test_a_large_value_is_named_in_few_words(value: object) -> None:
    """A message does not grow with the value that it names."""
    assert len(describe(value)) < 70
    assert describe(value).endswith("…")
