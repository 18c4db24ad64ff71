from __future__ import annotations

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc.protocol.members import with_member, with_member_added


def with_model(body: bytes, model: str) -> bytes:
    """The body with another model."""
    return with_member(body, "model", orjson.dumps(model))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"auto"}', b'{"model":"new"}'),
        (b' {\n "model" : "auto" , "n":1 }\n', b' {\n "model" : "new" , "n":1 }\n'),
        (b'{"messages":[{"role":"user","content":"hi"}],"model":"auto"}', b'{"messages":[{"role":"user","content":"hi"}],"model":"new"}'),
        (b'{"a":{"model":1},"model":"auto"}', b'{"a":{"model":1},"model":"new"}'),
        (b'{"model":"auto","a":{"model":1}}', b'{"model":"new","a":{"model":1}}'),
        (b'{"a":"model","model":"auto"}', b'{"a":"model","model":"new"}'),
        (b'{"a":"\\"model\\":\\"x\\"","model":"auto"}', b'{"a":"\\"model\\":\\"x\\"","model":"new"}'),
        (b'{"x\\"model":"b","model":"auto"}', b'{"x\\"model":"b","model":"new"}'),
        (b'{"a":"\\\\","model":"auto"}', b'{"a":"\\\\","model":"new"}'),
        (b'{"model":1,"b":[],"model":"auto"}', b'{"model":"new","b":[],"model":"new"}'),
        (b'{"m\\u006fdel":"auto"}', b'{"m\\u006fdel":"new"}'),
        (b'{"\\u006D\\u006F\\u0064\\u0065\\u006C":"auto","model":"b"}', b'{"\\u006D\\u006F\\u0064\\u0065\\u006C":"new","model":"new"}'),
        (b'{"model":{"model":[1,{"model":2}]},"model2":"]}"}', b'{"model":"new","model2":"]}"}'),
        (b'\xef\xbb\xbf{"model":"auto"}', b'\xef\xbb\xbf{"model":"new"}'),
        (b'{"a":"\xed\xa0\x80","model":"auto"}', b'{"a":"\xed\xa0\x80","model":"new"}'),
        (b'{"a":NaN,"model":"auto","b":-Infinity}', b'{"a":NaN,"model":"new","b":-Infinity}'),
    ],
)  # fmt: skip
def test_the_top_level_model_is_replaced(body: bytes, expected: bytes) -> None:
    """The value of every top-level `model` is replaced, however it is spelled, and no other byte."""
    assert expected == with_model(body, "new")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be", "utf-32"])
def test_other_encodings_are_kept(encoding: str) -> None:
    """A body that only Python's `json` reads comes back in its own encoding."""
    body = '{"a":"é","model":"auto"}'.encode(encoding)

    assert '{"a":"é","model":"new"}'.encode(encoding) == with_model(body, "new")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"a":{"model":1}}',
        b'{"a":{"b":1,"x":0,"model":1},"c":2}',
        b'{"x\\"model":"a"}',
        b'{"a":"model"}',
        b"[]",
        b'["model"]',
        b"",
    ],
)
def test_a_body_without_a_model_is_an_error(body: bytes) -> None:
    """A nested key or a string of that name is no top-level model."""
    with pytest.raises(ValueError, match="no top-level key `model`"):
        with_model(body, "new")


@pytest.mark.parametrize("depth", [31, 32, 33, 34, 500])
@pytest.mark.parametrize("before", [True, False])
def test_deep_nesting_beside_the_model(depth: int, before: bool) -> None:
    """At any depth that can be read, the new model is what a reader gets, and the rest is unharmed."""
    deep = b'"a":' + b'{"model":' * depth + b"1" + b"}" * depth
    body = b'{"model":"auto",' + deep + b"}" if before else b"{" + deep + b',"model":"auto"}'

    result = with_model(body, "new")

    assert {**json.loads(body), "model": "new"} == json.loads(result)


@pytest.mark.parametrize("count", [15, 16, 17, 100_000])
def test_endless_duplicates(count: int) -> None:
    """However often the model is repeated, the new one is what a reader gets."""
    body = b'{"n":1,' + b",".join([b'"model":"auto"'] * count) + b"}"

    assert {"n": 1, "model": "new"} == json.loads(with_model(body, "new"))


def test_deep_nesting_without_a_model_is_an_error() -> None:
    """Depth does not conjure up a model."""
    with pytest.raises(ValueError, match="no top-level key `model`"):
        with_model(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "new")


def test_a_long_prompt_is_left_alone() -> None:
    """Eight megabytes of text with escapes and keys in it come back byte for byte."""
    prompt = json.dumps('say "model": "x" {[\n' * 400_000).encode()

    for before, after in ((b'{"model":', b',"p":%s}' % prompt), (b'{"p":%s,"model":' % prompt, b"}")):
        assert before + b'"new"' + after == with_model(before + b'"auto"' + after, "new")


names = st.sampled_from(("model", "mode", "models", "a", '"model"', "model\\", "é", "")) | st.text(max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | names | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


def _escape(text: str, data: st.DataObject) -> str:
    """Write some letters of a JSON text's `model` keys as escapes."""

    def letter(match: re.Match[str]) -> str:
        return "".join(f"\\u{ord(c):04x}" if data.draw(st.booleans()) else c for c in match[0])

    return re.sub('(?<=")model(?=")', letter, text)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), fields=st.lists(st.tuples(names, values), max_size=6), model=st.text(max_size=20))
def test_any_object_keeps_everything_but_its_model(
    data: st.DataObject, fields: list[tuple[str, Any]], model: str
) -> None:
    """With duplicates, escapes, spaces and nesting of all kinds, only top-level values of `model` change."""
    fields.insert(data.draw(st.integers(0, len(fields))), ("model", data.draw(values)))
    indent = data.draw(st.sampled_from((None, 1)))
    members = []
    for name, value in fields:
        key = _escape(json.dumps(name), data)
        space = data.draw(st.sampled_from(("", " ", "\n\t", "\r")))
        members.append(
            (
                name,
                f"{space}{key}{space}:{space}",
                _escape(json.dumps(value, ensure_ascii=data.draw(st.booleans()), indent=indent), data)
                + space,
            )
        )
    body = "{" + ",".join(key + value for _, key, value in members) + "}"

    result = with_model(body.encode(), model)

    written = orjson.dumps(model).decode()
    pieces = [
        key
        + (re.sub(r"^.*\S(?=\s*$)", lambda _: written, value, flags=re.DOTALL) if name == "model" else value)
        for name, key, value in members
    ]
    assert ("{" + ",".join(pieces) + "}").encode() == result
    assert {**json.loads(body), "model": model} == json.loads(result)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"max_tokens":4096,"a":{"max_tokens":1}}', b'{"max_tokens":7,"a":{"max_tokens":1}}'),
        (b'{"max_tokens_":1,"max_tokens" : 4e3 }', b'{"max_tokens_":1,"max_tokens" : 7 }'),
        (b'{"max\\u005Ftokens":"9","max_tokens":null}', b'{"max\\u005Ftokens":7,"max_tokens":7}'),
    ],
)
def test_other_members_are_replaced_alike(body: bytes, expected: bytes) -> None:
    """The key's name is matched whole, as it stands or with escapes."""
    assert expected == with_member(body, "max_tokens", b"7")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-32"])
def test_a_member_is_added_at_the_end(encoding: str) -> None:
    """Readers take the last of several members of one name."""
    body = '{"a":"}","n":1} \n'.encode(encoding)

    assert {"a": "}", "n": 2} == json.loads(with_member_added(body, "n", b"2"))
