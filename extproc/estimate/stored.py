"""Checks on learned state that comes back from a file: each names what it expected and what it got."""

from __future__ import annotations

import math
from collections.abc import Mapping


def as_object(value: object, where: str) -> Mapping[object, object]:
    """Take `value` as an object.

    Raises:
        ValueError: It is not one.
    """
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"{where}: expected an object, got {type(value).__name__}")


def as_name(value: object, where: str) -> str:
    """Take `value` as a string.

    Raises:
        ValueError: It is not one.
    """
    if isinstance(value, str):
        return value
    raise ValueError(f"{where}: expected a name, got {value!r:.40}")


def as_count(value: object, where: str) -> int:
    """Take `value` as a non-negative integer.

    Raises:
        ValueError: It is not one.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"{where}: expected a non-negative integer, got {value!r:.40}")


def as_number(value: object, where: str) -> float:
    """Take `value` as a finite number.

    Raises:
        ValueError: It is not one.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        number = float(value)
        if math.isfinite(number):
            return number
    raise ValueError(f"{where}: expected a finite number, got {value!r:.40}")


def as_numbers(value: object, count: int, where: str) -> list[float]:
    """Take `value` as a list of `count` finite numbers.

    Raises:
        ValueError: It is not one.
    """
    if isinstance(value, list) and len(value) == count:
        return [as_number(item, where) for item in value]
    got = f"{len(value)}" if isinstance(value, list) else type(value).__name__
    raise ValueError(f"{where}: expected {count} numbers, got {got}")


def as_version(state: object, version: int, where: str) -> Mapping[object, object]:
    """Take `state` as an object of the given version.

    Raises:
        ValueError: It is not one.
    """
    found = as_object(state, where)
    if found.get("version") == version:
        return found
    raise ValueError(f"{where}: expected version {version}, got {found.get('version')!r:.40}")
