"""JSON Schema with a bound: `jsonschema`'s keywords, each priced in steps, over a safe copy of the schema.

Formats are annotations and are not checked, as the specification has it. Compiled schemas are kept by their hash in a
`SchemaCache` that the caller owns.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol, cast

import jsonschema
import orjson
from jsonschema import validators
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from extproc.facts.json_body import JsonObject
from extproc.verify.patterns import Pattern
from extproc.verify.schema_shape import SchemaError, make_safe
from extproc.verify.work import WorkBudget

MAX_SCHEMA_BYTES: Final = 64 * 1024
"""Largest schema, written as compact JSON."""

_ERROR_CHARS_PER_STEP: Final = 128
"""The library writes the faulty value into each error's message; so many characters of it cost one step."""


class _Validator(Protocol):
    """What is used of a `jsonschema` validator; `format_checker` carries the run, since each inner one gets it."""

    schema: Any
    format_checker: Any

    def is_type(self, instance: object, type: str) -> bool: ...  # noqa: A002
    def iter_errors(self, instance: object) -> Iterator[ValidationError]: ...
    def descend(
        self, instance: object, schema: object, path: object = None, schema_path: object = None
    ) -> Iterator[ValidationError]: ...


class _Run(jsonschema.FormatChecker):
    """One validation under way: its budget and the schema's patterns."""

    def __init__(self, work: WorkBudget, patterns: Mapping[str, Pattern]) -> None:
        super().__init__(formats=())
        self.work = work
        self.patterns = patterns

    def matches(self, pattern: str, text: str) -> bool:
        return self.patterns[pattern].search(text, self.work)


_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


def _pattern(
    validator: _Validator, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not validator.format_checker.matches(pattern, instance):
        yield ValidationError("does not match the pattern")


def _pattern_properties(
    validator: _Validator, patterns: JsonObject, instance: object, _schema: object
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, subschema in patterns.items():
            for name, value in instance.items():
                if validator.format_checker.matches(pattern, name):
                    yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(
    validator: _Validator, allowed: object, instance: object, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    declared = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for name, value in instance.items():
        if name in declared or any(validator.format_checker.matches(each, name) for each in patterns):
            continue
        if allowed is False:
            yield ValidationError("an additional property")
            return
        if allowed is not True:
            yield from validator.descend(value, allowed, path=name)


def _unique_items(
    validator: _Validator, is_wanted: object, instance: object, _schema: object
) -> Iterator[ValidationError]:
    if not is_wanted or not isinstance(instance, list):
        return
    seen = set()
    for item in instance:
        validator.format_checker.work.charge(_count_nodes(item))
        key = _identity(item)
        if key in seen:
            yield ValidationError("has equal items")
            return
        seen.add(key)


def _identity(value: object) -> object:
    """Return a key that equal JSON values share and no others: 1 is 1.0, and neither is true."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return ("list", *(_identity(item) for item in value))
    if isinstance(value, dict):
        return frozenset((name, _identity(item)) for name, item in value.items())
    return value


def _count_nodes(value: object) -> int:
    if isinstance(value, list):
        return 1 + sum(map(_count_nodes, value))
    if isinstance(value, dict):
        return 1 + sum(map(_count_nodes, value.values()))
    return 1


_COMPARED: Final = frozenset(("const", "enum"))
_PER_MEMBER: Final = frozenset((
    "items", "additionalItems", "contains", "additionalProperties", "propertyNames", "patternProperties",
))  # fmt: skip
_PER_SUBSCHEMA: Final = frozenset(
    ("allOf", "anyOf", "oneOf", "prefixItems", "dependentSchemas", "dependencies")
)
_ONCE: Final = frozenset(("$ref", "not", "if"))
_DESCENT_STEPS: Final = 4
"""Steps of going into a subschema: the library makes a new validator each time."""


def _price(keyword: str, value: object, instance: object) -> int:
    """Return the steps of a keyword, with those of going into subschemas, without those taken inside."""
    if keyword in _COMPARED:
        return _count_nodes(value)
    own = len(value) if isinstance(value, list | dict) else 1
    members = len(instance) if isinstance(instance, list | dict) else 0
    if keyword == "properties":
        return 1 + own // 4 + _DESCENT_STEPS * min(own, members)
    if keyword in _PER_MEMBER:
        return 1 + _DESCENT_STEPS * members
    if keyword in _PER_SUBSCHEMA:
        return 1 + _DESCENT_STEPS * own
    return own + (_DESCENT_STEPS if keyword in _ONCE else 0)


def _priced(keyword: str, function: _Keyword) -> _Keyword:
    def check(
        validator: _Validator, value: object, instance: object, schema: object
    ) -> Iterator[ValidationError]:
        work: WorkBudget = validator.format_checker.work
        work.charge(_price(keyword, value, instance))
        for error in function(validator, value, instance, schema) or ():
            work.charge(len(error.message) // _ERROR_CHARS_PER_STEP)
            yield error

    return check


_OWN: Final[Mapping[str, _Keyword]] = MappingProxyType(
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
)


def _bounded(draft: Any) -> Any:  # noqa: ANN401  the library has no type for a validator's class
    """Derive a validator of the draft whose keywords are priced and whose patterns are ours."""
    keywords = {name: _priced(name, _OWN.get(name, function)) for name, function in draft.VALIDATORS.items()}
    return validators.extend(draft, keywords)  # type: ignore[no-untyped-call]


_DRAFT_4: Final = _bounded(validators.Draft4Validator)
_DRAFT_2019: Final = _bounded(validators.Draft201909Validator)
_DRAFT_2020: Final = _bounded(validators.Draft202012Validator)
_DRAFTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "http://json-schema.org/draft-04/schema": _DRAFT_4,
        "http://json-schema.org/draft-06/schema": _bounded(validators.Draft6Validator),
        "http://json-schema.org/draft-07/schema": _bounded(validators.Draft7Validator),
        "https://json-schema.org/draft/2019-09/schema": _DRAFT_2019,
        "https://json-schema.org/draft/2020-12/schema": _DRAFT_2020,
    }
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where a value leaves its schema.

    Attributes:
        place: JSON pointer into the value; empty for the whole of it.
        keyword: The schema's keyword that was not met.
    """

    place: str
    keyword: str


class CompiledSchema:
    """A schema ready to check values."""

    __slots__ = ("_patterns", "_root", "_validator", "skipped")

    def __init__(self, schema: object) -> None:
        dialect = schema.get("$schema") if isinstance(schema, dict) else None
        draft = _DRAFTS.get(dialect.rstrip("#")) if type(dialect) is str else None
        safe = make_safe(schema, is_draft_4=draft is _DRAFT_4)
        if draft is None:
            draft = _DRAFT_2019 if safe.has_tuple_items else _DRAFT_2020
        elif draft is _DRAFT_2020 and safe.has_tuple_items:
            raise SchemaError("items is an array, which draft 2020-12 calls prefixItems")
        self.skipped = safe.skipped
        self._root = safe.root
        self._patterns = MappingProxyType(safe.patterns)
        self._validator = draft

    def first_mismatch(self, value: object, work: WorkBudget) -> Mismatch | None:
        """Return where a value leaves the schema, None when it conforms.

        Raises:
            SchemaError: A reference of the schema leads nowhere, or in a circle deeper than can be followed.
            WorkExceededError: The check would take more steps than are left.
        """
        # An empty registry: a reference out of the document is an error, never a request.
        validator = cast(
            "_Validator",
            self._validator(self._root, registry=Registry(), format_checker=_Run(work, self._patterns)),
        )
        try:
            error = next(validator.iter_errors(value), None)
        except RecursionError:
            raise SchemaError("nested or circular beyond what can be followed") from None
        except Unresolvable:
            raise SchemaError("a reference leads nowhere") from None
        if error is None:
            return None
        place = "".join(f"/{part}" for part in error.absolute_path)
        return Mismatch(place, str(error.validator or "false"))


class SchemaCache:
    """Compiled schemas by the hash of their JSON, the least recently used dropped first.

    A schema that cannot be compiled is remembered as its error. Belongs to one thread.

    Args:
        max_entries: Most schemas kept.
        max_bytes: Most JSON bytes of the schemas kept, together; a compiled schema takes some twenty times that.
    """

    def __init__(self, max_entries: int = 256, max_bytes: int = 4 << 20) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, tuple[CompiledSchema | SchemaError, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def compile(self, schema: object) -> CompiledSchema:
        """Return the compiled schema.

        Raises:
            SchemaError: It is too large, malformed, or cannot be checked in bounded time.
        """
        try:
            text = orjson.dumps(schema)
        except orjson.JSONEncodeError as error:
            raise SchemaError(f"cannot be written as JSON: {error}") from None
        if len(text) > MAX_SCHEMA_BYTES:
            raise SchemaError(f"{len(text)} bytes, at most {MAX_SCHEMA_BYTES} are checked")
        key = hashlib.sha256(text).digest()
        known = self._kept.get(key)
        if known is None:
            known = (_compile(schema), len(text))
            self._keep(key, known)
        else:
            self._kept.move_to_end(key)
        if isinstance(known[0], SchemaError):
            raise known[0]
        return known[0]

    def _keep(self, key: bytes, entry: tuple[CompiledSchema | SchemaError, int]) -> None:
        self._kept[key] = entry
        self._bytes += entry[1]
        while len(self._kept) > self._max_entries or self._bytes > self._max_bytes:
            _, (_, size) = self._kept.popitem(last=False)
            self._bytes -= size


def _compile(schema: object) -> CompiledSchema | SchemaError:
    try:
        return CompiledSchema(schema)
    except SchemaError as error:
        return error
