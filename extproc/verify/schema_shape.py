"""A schema made safe to run: well-formed, closed in itself, and without what cannot be checked in bounded time.

`jsonschema` trusts its schemas: a `$ref` may leave the document, a nested `$schema` changes the rules, a pattern runs on
a backtracking engine, and a keyword of a wrong type raises in the middle of a check. The copy made here has none of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from extproc.facts.json_body import JsonObject
from extproc.verify.patterns import Pattern, PatternError, schema_pattern

MAX_DEPTH: Final = 64
"""Deepest nesting of schemas within schemas."""


class SchemaError(ValueError):
    """A schema that cannot be checked against; `args[0]` says why."""


@dataclass(slots=True)
class SafeSchema:
    """A checked copy of a schema.

    Attributes:
        root: The copy.
        patterns: Compiled patterns by their text, of `pattern` and of the keys of `patternProperties`.
        skipped: Keywords that were left out because they cannot be checked, sorted.
        has_tuple_items: True when `items` is an array somewhere, as until draft 2019-09.
    """

    root: JsonObject | bool
    patterns: dict[str, Pattern] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    has_tuple_items: bool = False


_TYPES: Final = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))

# Their reference implementation searches without a bound, and no grammar back end knows them.
_SKIPPED: Final = frozenset(("unevaluatedItems", "unevaluatedProperties"))
# They change what a reference means on the way; schemas for answers do not use them.
_REFUSED: Final = frozenset(("$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor"))
_DRAFT_4_FLAGS: Final = frozenset(("exclusiveMinimum", "exclusiveMaximum"))
_ONE: Final = frozenset((
    "additionalProperties", "additionalItems", "contains", "not", "if", "then", "else", "propertyNames",
))  # fmt: skip
_MANY: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED: Final = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))


def _is_count(value: object) -> bool:
    return (type(value) is int or (type(value) is float and value.is_integer())) and 0 <= value < 2**53


def _is_number(value: object) -> bool:
    # Beyond 64 bits, arithmetic with the floats of an answer would overflow.
    return (type(value) is int and -(2**63) <= value < 2**64) or (
        type(value) is float and math.isfinite(value)
    )


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value > 0


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is str for item in value)


def _is_name_lists(value: object) -> bool:
    return isinstance(value, dict) and all(_is_names(item) for item in value.values())


def _is_type(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(type(name) is str and name in _TYPES for name in names)


def _is_flag(value: object) -> bool:
    return type(value) is bool


def _is_array(value: object) -> bool:
    return isinstance(value, list)


def _is_anything(_value: object) -> bool:
    return True


_VALUES: Final[Mapping[str, Callable[[object], bool]]] = MappingProxyType(
    {
        "type": _is_type,
        "enum": _is_array,
        "const": _is_anything,
        "required": _is_names,
        "dependentRequired": _is_name_lists,
        "uniqueItems": _is_flag,
        "multipleOf": _is_positive,
        "minimum": _is_number,
        "maximum": _is_number,
        "exclusiveMinimum": _is_number,
        "exclusiveMaximum": _is_number,
        **dict.fromkeys(
            ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
             "minContains", "maxContains"), _is_count),
    }
)  # fmt: skip


def make_safe(schema: object, *, is_draft_4: bool = False) -> SafeSchema:
    """Return the safe copy of a schema; its time and size are linear in the schema's.

    In draft 4 exclusive bounds are booleans and `id` identifies.

    Raises:
        SchemaError: The schema is malformed, nested more deeply than `MAX_DEPTH`, or refers to what is not in it.
    """
    copying = _Copying(is_draft_4=is_draft_4)
    root = copying.copy(schema, "#", 0)
    for reference in copying.references:
        if unquote(reference) not in copying.places:
            raise SchemaError(f"$ref to {reference[:60]}, which is no schema in the document")
    return SafeSchema(
        root, copying.patterns, tuple(sorted(copying.skipped)), has_tuple_items=copying.has_tuple_items
    )


class _Copying:
    """One pass over a schema. A place is the pointer of a schema, or its anchor, as a reference spells it."""

    def __init__(self, *, is_draft_4: bool) -> None:
        self.is_draft_4 = is_draft_4
        self.has_tuple_items = False
        self.places: set[str] = set()
        self.references: list[str] = []
        self.patterns: dict[str, Pattern] = {}
        self.skipped: set[str] = set()

    def copy(self, schema: object, place: str, depth: int) -> JsonObject | bool:
        if depth > MAX_DEPTH:
            raise SchemaError(f"nested more deeply than {MAX_DEPTH} schemas")
        if type(schema) is not bool and not isinstance(schema, dict):
            raise SchemaError(f"{place[:60]} is no schema")
        self.places.add(place)
        if isinstance(schema, bool):
            return schema
        result: JsonObject = {}
        for keyword, value in schema.items():
            self._copy_keyword(result, keyword, value, place, depth)
        if len(_object_at(schema, "patternProperties")) > len(_object_at(result, "patternProperties")):
            # Without one of the patterns nothing can be said about which properties are additional.
            result.pop("additionalProperties", None)
        return result

    def _copy_keyword(self, result: JsonObject, keyword: str, value: object, place: str, depth: int) -> None:
        inner = f"{place}/{_escape(keyword)}"
        check = _VALUES.get(keyword)
        if self.is_draft_4 and keyword in _DRAFT_4_FLAGS:
            check = _is_flag
        if check is not None:
            if not check(value):
                raise SchemaError(f"{inner[:80]} has a value of the wrong type")
            result[keyword] = value
        elif keyword in _ONE or (keyword == "items" and not isinstance(value, list)):
            result[keyword] = self.copy(value, inner, depth + 1)
        elif keyword in _MANY or keyword == "items":
            self.has_tuple_items |= keyword == "items"
            result[keyword] = self._copy_list(value, inner, depth)
        elif keyword in _NAMED:
            self._copy_named(result, keyword, value, inner, depth)
        elif keyword == "dependencies":
            result[keyword] = self._copy_dependencies(value, inner, depth)
        else:
            self._copy_text(result, keyword, value, depth)

    def _copy_list(self, value: object, place: str, depth: int) -> list[object]:
        if not isinstance(value, list):
            raise SchemaError(f"{place[:80]} is no array")
        return [self.copy(item, f"{place}/{index}", depth + 1) for index, item in enumerate(value)]

    def _copy_named(self, result: JsonObject, keyword: str, value: object, place: str, depth: int) -> None:
        if not isinstance(value, dict):
            raise SchemaError(f"{place[:80]} is no object")
        named: JsonObject = {}
        for name, item in value.items():
            if keyword != "patternProperties" or self._compile(name, keyword):
                named[name] = self.copy(item, f"{place}/{_escape(name)}", depth + 1)
        result[keyword] = named

    def _copy_dependencies(self, value: object, place: str, depth: int) -> JsonObject:
        if not isinstance(value, dict):
            raise SchemaError(f"{place[:80]} is no object")
        return {
            name: item if _is_names(item) else self.copy(item, f"{place}/{_escape(name)}", depth + 1)
            for name, item in value.items()
        }

    def _copy_text(self, result: JsonObject, keyword: str, value: object, depth: int) -> None:
        if keyword in _REFUSED:
            raise SchemaError(f"{keyword} is not supported")
        if keyword in _SKIPPED:
            self.skipped.add(keyword)
        elif keyword == "pattern":
            if type(value) is not str:
                raise SchemaError("pattern is no string")
            if self._compile(value, keyword):
                result[keyword] = value
        elif keyword == "$ref":
            if type(value) is not str or not value.startswith("#"):
                raise SchemaError("$ref leaves the document")
            self.references.append(value)
            result[keyword] = value
        elif keyword == "$anchor" and type(value) is str:
            self.places.add(f"#{value}")
            result[keyword] = value
        elif keyword == ("id" if self.is_draft_4 else "$id") and type(value) is str and depth:
            # An inner identifier moves the root that `#/…` starts from.
            raise SchemaError(f"{keyword} inside the schema is not supported")
        # Everything else is a note to people, or a word without meaning: it has no place in the copy.

    def _compile(self, pattern: str, keyword: str) -> bool:
        if pattern in self.patterns:
            return True
        try:
            self.patterns[pattern] = schema_pattern(pattern)
        except PatternError:
            self.skipped.add(keyword)
            return False
        return True


def _object_at(schema: JsonObject, keyword: str) -> JsonObject:
    value = schema.get(keyword)
    return value if isinstance(value, dict) else {}


def _escape(name: str) -> str:
    """Spell a name as a token of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
