from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.verify.schema import MAX_SCHEMA_BYTES, CompiledSchema, Mismatch, SchemaCache
from extproc.verify.schema_shape import SchemaError
from extproc.verify.work import WorkBudget, WorkExceededError

_PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "mismatch"),
    [
        ({"name": "x", "tags": ["a"]}, None),
        ({"name": 1}, Mismatch("/name", "type")),
        ({}, Mismatch("", "required")),
        ({"name": "x", "tags": ["a", "c"]}, Mismatch("/tags/1", "enum")),
        ({"name": "x", "more": 1}, Mismatch("", "additionalProperties")),
        ([], Mismatch("", "type")),
    ],
)
def test_the_first_mismatch_is_named_by_place_and_keyword(
    value: object, mismatch: Mismatch | None, work: WorkBudget
) -> None:
    """What a client must know to find its mistake, and nothing of the answer's content."""
    assert mismatch == CompiledSchema(_PERSON).first_mismatch(value, work)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"pattern": "^a+$"}, ["aa", 1], ["ab"]),
        ({"patternProperties": {"^n": {"type": "number"}}}, [{"n": 1, "m": "x"}], [{"n1": "x"}]),
        ({"patternProperties": {"^n": {}}, "additionalProperties": False}, [{"n1": 1}, {}], [{"m": 1}]),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, [{"a": 1, "b": None}], [{"b": 1}]),
        ({"uniqueItems": True}, [[1, True, "1", [1], {"a": 1}], [[1], [True]]], [[1, 1.0], [{"a": [1]}, {"a": [1.0]}]]),
        ({"uniqueItems": False}, [[1, 1]], []),
        ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [True]}]),
        ({"items": [{"type": "null"}], "additionalItems": False}, [[None]], [[None, 1], [1]]),
        ({"prefixItems": [{"type": "null"}], "items": False}, [[None]], [[None, 1]]),
        ({"multipleOf": 0.01}, [1, "x"], [1.005]),
        (False, [], [None, {}]),
        (True, [None], []),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True}, [2], [1]),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "type": "null",
          "definitions": {"a": {"type": "string"}}}, ["x"], [None]),
        ({"$schema": "urn:unknown", "dependentRequired": {"a": ["b"]}}, [{"a": 1, "b": 2}], [{"a": 1}]),
        ({"properties": {"next": {"$ref": "#"}}, "required": ["v"]}, [{"v": 1, "next": {"v": 2}}], [{"v": 1, "next": {}}]),
    ],
)  # fmt: skip
def test_keywords(schema: object, good: list[object], bad: list[object], work: WorkBudget) -> None:
    """The keywords that are ours, those of the drafts, and references behave as the specification has it."""
    compiled = CompiledSchema(schema)

    assert [None] * len(good) == [compiled.first_mismatch(value, work) for value in good]
    assert all(compiled.first_mismatch(value, work) is not None for value in bad)


def test_formats_are_notes() -> None:
    """A format is an annotation in the specification."""
    assert CompiledSchema({"format": "email"}).first_mismatch("no address", WorkBudget(100)) is None


def test_array_items_are_refused_where_the_draft_has_none() -> None:
    """A schema that says it is 2020-12 and uses the old form means nothing certain."""
    with pytest.raises(SchemaError, match="prefixItems"):
        CompiledSchema({"$schema": "https://json-schema.org/draft/2020-12/schema", "items": [{}]})


def _explosion() -> dict[str, Any]:
    levels: dict[str, Any] = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}
    return {"$defs": {**levels, "a40": {"type": "object"}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (_explosion(), {}),
        ({"anyOf": [{"type": "string"}] * 1_000}, ["x" * 10] * 50_000),
        ({"items": {"enum": [[i] * 10 for i in range(500)]}}, [[1] * 10] * 10_000),
        ({"items": {}}, [1] * 100_000),
        ({"uniqueItems": True}, [[i] for i in range(200_000)]),
        ({"allOf": [{"const": [0] * 5_000}] * 50}, [0] * 5_000),
        ({"propertyNames": {"pattern": "(a+)+$"}}, {f"{'a' * 50}{i}": 1 for i in range(50_000)}),
    ],
)
def test_costly_checks_end_at_the_budget(schema: object, value: object) -> None:
    """Exponential references, huge messages, deep comparisons: all are counted and cut off."""
    work = WorkBudget(20_000)

    with pytest.raises((WorkExceededError, SchemaError)):
        SchemaCache().compile(schema).first_mismatch(value, work)


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}])
def test_circles_are_no_loops(schema: object, work: WorkBudget) -> None:
    """A schema that is only a reference to itself is an error, not a hang."""
    with pytest.raises(SchemaError, match="circular"):
        CompiledSchema(schema).first_mismatch({}, work)


def test_equal_schemas_are_compiled_once() -> None:
    """The hash of the JSON decides, not the object."""
    cache = SchemaCache()

    assert cache.compile({"type": "null"}) is cache.compile({"type": "null"})
    assert 1 == len(cache)


def test_a_failure_is_remembered() -> None:
    """A schema that cannot be used costs its compilation once."""
    cache = SchemaCache()

    for _ in range(2):
        with pytest.raises(SchemaError):
            cache.compile({"type": "text"})
    assert 1 == len(cache)


def test_the_cache_is_bounded_in_entries_and_bytes() -> None:
    """The least recently used schema goes first."""
    cache = SchemaCache(max_entries=2, max_bytes=1_000)
    first = cache.compile({"minimum": 0})
    cache.compile({"minimum": 1})
    cache.compile({"minimum": 0})
    cache.compile({"minimum": 2})
    assert first is cache.compile({"minimum": 0})
    assert 2 == len(cache)

    cache.compile({"enum": ["x" * 980]})
    assert 1 == len(cache)


@pytest.mark.parametrize(
    "schema", [{"enum": ["x" * MAX_SCHEMA_BYTES]}, {"const": 2**70}, {"const": "\ud800"}]
)
def test_schemas_that_are_too_large_or_no_json_are_refused(schema: object) -> None:
    """Neither is kept."""
    cache = SchemaCache()

    with pytest.raises(SchemaError):
        cache.compile(schema)
    assert 0 == len(cache)


_SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "a", "ab", ""])
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)
_TYPES = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])
_SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.fixed_dictionaries({}, optional={
        "type": _TYPES | st.lists(_TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(_JSON, max_size=3),
        "const": _JSON,
        "minimum": st.integers(-2, 2),
        "maxLength": st.integers(0, 2),
        "minItems": st.integers(0, 2),
        "uniqueItems": st.booleans(),
        "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        "pattern": st.sampled_from(["^a", "b$", "a+b"]),
    }),
    lambda inner: st.fixed_dictionaries({}, optional={
        "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b|c"]), inner, max_size=2),
        "additionalProperties": inner,
        "items": inner,
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "contains": inner,
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "oneOf": st.lists(inner, min_size=1, max_size=2),
        "not": inner,
        "if": inner, "then": inner, "else": inner,
        "propertyNames": inner,
    }),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(schema=_SCHEMAS, value=_JSON)
def test_the_bounded_validator_agrees_with_the_library(schema: Any, value: object) -> None:
    """Safe copy, prices and own keywords change nothing about what conforms."""
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)

    assert expected is (CompiledSchema(schema).first_mismatch(value, WorkBudget(1_000_000)) is None)
