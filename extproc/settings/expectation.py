"""What a place in the fleet file may hold, in words: from the models' JSON schema, for errors and for the manual."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from extproc.settings.document import Path
from extproc.settings.schema import Settings

Schema = dict[str, Any]

_TYPES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
_BOUNDS = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))


@dataclass(frozen=True, slots=True)
class Expectation:
    """What may stand at one place.

    Attributes:
        words: What is expected, such as `an integer >= 1`.
        description: What the field means; empty for unknown places.
        keys: Keys that may stand there, when it is a mapping with fixed keys.
        choices: Words that may stand there, when there are only so many.
    """

    words: str
    description: str = ""
    keys: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@cache
def settings_schema() -> Schema:
    """Describe the fleet file as a JSON schema."""
    return Settings.model_json_schema()


def expectation_at(path: Path) -> Expectation | None:
    """Say what may stand at a path; None where nothing is known to belong."""
    schema: Schema | None = settings_schema()
    description = ""
    for part in path:
        if schema is None:
            return None
        schema = _child(schema, part)
        description = resolve(schema).get("description", "") if schema is not None else ""
    if schema is None:
        return None
    keys = tuple(resolve(schema).get("properties", ()))
    return Expectation(in_words(schema), description, keys, _choices(schema))


def resolve(schema: Schema) -> Schema:
    """Follow the schema's reference, if it is one."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return {**settings_schema()["$defs"][name], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def in_words(schema: Schema) -> str:
    """Say what a schema allows, such as `an integer >= 1 or null`."""
    schema = resolve(schema)
    if "x-expected" in schema:
        return str(schema["x-expected"])
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(in_words(option) for option in schema["anyOf"])
    words = _TYPES.get(schema.get("type", ""), "a value")
    if schema.get("pattern") == r"^\S+$":
        words = "a text without spaces"
    bounds = [f"{sign} {_number(schema[key])}" for key, sign in _BOUNDS if key in schema]
    if schema.get("minItems"):
        words = "a list that is not empty"
    elif schema.get("minLength") and "pattern" not in schema:
        words = "a text that is not empty"
    return f"{words} {' and '.join(bounds)}" if bounds else words


def _choices(schema: Schema) -> tuple[str, ...]:
    schema = resolve(schema)
    own = tuple(str(value) for value in schema.get("enum", ()))
    return own + tuple(choice for option in schema.get("anyOf", ()) for choice in _choices(option))


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _child(schema: Schema, part: str | int) -> Schema | None:
    schema = resolve(schema)
    for option in schema.get("anyOf", ()):
        found = _child(option, part)
        if found is not None:
            return found
    if isinstance(part, int):
        items = schema.get("items")
        return items if isinstance(items, dict) else None
    found = schema.get("properties", {}).get(part)
    if found is None:
        # A mapping whose keys are free; pydantic keeps them apart by the pattern that keys follow.
        found = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
    return found if isinstance(found, dict) else None
