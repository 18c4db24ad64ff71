from __future__ import annotations

from typing import Any

import pytest

from extproc.verify.schema_shape import MAX_DEPTH, SchemaError, make_safe


def test_the_copy_keeps_what_is_checked_and_drops_notes() -> None:
    """Annotations, formats and unknown words have no place in the copy."""
    schema = {
        "type": "object",
        "title": "t",
        "format": "f",
        "x-note": 1,
        "properties": {"title": {"type": "string"}},
    }

    assert {"type": "object", "properties": {"title": {"type": "string"}}} == make_safe(schema).root


def test_a_nested_dialect_does_not_change_the_rules() -> None:
    """`$schema` inside would make the library switch to unbounded keywords."""
    schema = {"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "null"}}}

    assert {"properties": {"a": {"type": "null"}}} == make_safe(schema).root


@pytest.mark.parametrize(
    "schema",
    [
        None,
        3,
        "x",
        [],
        {"type": "text"},
        {"type": []},
        {"properties": []},
        {"properties": {"a": 1}},
        {"allOf": {}},
        {"items": "x"},
        {"required": "a"},
        {"minLength": "1"},
        {"minLength": -1},
        {"maximum": "1"},
        {"maximum": float("nan")},
        {"multipleOf": 0},
        {"exclusiveMinimum": True},
        {"pattern": 1},
        {"enum": 1},
        {"dependencies": 1},
        {"dependentRequired": {"a": "b"}},
    ],
)
def test_malformed_schemas_are_refused(schema: Any) -> None:
    """Each keyword's value has the type that the library counts on."""
    with pytest.raises(SchemaError):
        make_safe(schema)


@pytest.mark.parametrize(
    "reference",
    [
        "http://example.com/schema",
        "https://json-schema.org/draft/2020-12/schema",
        "other.json",
        "#/$defs/absent",
        "#/properties/a/enum/0",
        "#absent",
        7,
    ],
)
def test_references_stay_inside_and_lead_to_schemas(reference: object) -> None:
    """Nothing is fetched, and nothing is used as a schema that was not checked as one."""
    with pytest.raises(SchemaError):
        make_safe({"properties": {"a": {"enum": [{"$ref": "x"}]}}, "allOf": [{"$ref": reference}]})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$defs": {"a/b": {}}, "$ref": "#/$defs/a~1b"},
        {"$defs": {"a b": {}}, "$ref": "#/$defs/a%20b"},
        {"$defs": {"a": {"$anchor": "here"}}, "$ref": "#here"},
        {"anyOf": [True, False], "not": {"$ref": "#/anyOf/0"}},
    ],
)
def test_references_inside_the_document_are_kept(schema: dict[str, object]) -> None:
    """Pointers, escapes and anchors are all ways to name a schema."""
    assert schema == make_safe(schema).root


@pytest.mark.parametrize("keyword", ["$dynamicRef", "$recursiveRef", "$dynamicAnchor"])
def test_dynamic_scopes_are_refused(keyword: str) -> None:
    """A reference whose meaning depends on the way that led to it cannot be checked beforehand."""
    with pytest.raises(SchemaError, match="not supported"):
        make_safe({keyword: "#"})


def test_an_inner_identifier_is_refused_and_an_outer_one_dropped() -> None:
    """Only an inner one changes what `#/…` means."""
    assert {} == make_safe({"$id": "urn:a"}).root
    with pytest.raises(SchemaError, match="inside"):
        make_safe({"properties": {"a": {"$id": "urn:b"}}})


def test_depth_is_bounded() -> None:
    """A schema nested beyond the limit is refused, one at the limit is not."""

    def nested(depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {}
        for _ in range(depth):
            schema = {"not": schema}
        return schema

    make_safe(nested(MAX_DEPTH))
    with pytest.raises(SchemaError, match="deeply"):
        make_safe(nested(MAX_DEPTH + 1))


def test_what_cannot_be_checked_is_left_out_and_named() -> None:
    """A look-ahead and unevaluated properties are skipped; the rest of the schema stands."""
    safe = make_safe({"type": "string", "pattern": "(?=a)", "unevaluatedProperties": False})

    assert ({"type": "string"}, ("pattern", "unevaluatedProperties")) == (safe.root, safe.skipped)


def test_additional_properties_fall_with_a_pattern() -> None:
    """Without the pattern nothing can be said about which properties are additional."""
    safe = make_safe({"patternProperties": {"(?=a)": {}, "^b": {}}, "additionalProperties": False})

    assert {"patternProperties": {"^b": {}}} == safe.root


def test_draft_4_has_bounds_of_its_own() -> None:
    """Exclusive bounds are booleans there."""
    schema = {"minimum": 1, "exclusiveMinimum": True}

    assert schema == make_safe(schema, is_draft_4=True).root
