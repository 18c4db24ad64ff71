"""Writes a tree as YAML for people: comments where the reader wonders, short leaves on one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

_WIDTH = 118
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def write_yaml(tree: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """Write a tree with comments.

    Args:
        tree: Dictionaries, lists and scalars.
        comments: Comment by the end of a path. A path is made of keys joined by dots; an item of a list stands for
            itself by its `name` (`http_filters[ttca.decide].typed_config`), or by its index. A comment stands before
            the first place whose path ends so.

    Raises:
        KeyError: A comment's path is nowhere in the tree.
    """
    return "\n".join(_block(tree, "", 0, _placed(tree, comments))) + "\n"


def _placed(tree: Mapping[str, Any], comments: Mapping[str, str]) -> dict[str, str]:
    """Find the whole path of each comment's place."""
    paths = list(_paths(tree, ""))
    placed: dict[str, str] = {}
    for end, comment in comments.items():
        place = next((path for path in paths if path == end or path.endswith("." + end)), None)
        if place is None:
            raise KeyError(f"there is no place for the comment on {end}")
        placed[place] = comment
    return placed


def _paths(value: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - any part of the tree
    for here, item in _children(value, path):
        yield here
        if _is_tree(item):
            yield from _paths(item, here)


def _children(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (f"{path}.{key}" if path else key), item
        return
    for index, item in enumerate(value):
        yield f"{path}[{item.get('name', index) if isinstance(item, Mapping) else index}]", item


def _block(value: Any, path: str, depth: int, comments: Mapping[str, str]) -> Iterator[str]:  # noqa: ANN401
    pad = "  " * depth
    if isinstance(value, Mapping):
        for key, (here, item) in zip(value, _children(value, path), strict=True):
            yield from _comment(here, pad, comments)
            yield from _entry(f"{pad}{_scalar(key)}:", item, here, depth, comments)
        return
    for here, item in _children(value, path):
        yield from _comment(here, pad, comments)
        lines = list(_block(item, here, depth + 1, comments)) if _is_tree(item) else [f"{pad}  {_flow(item)}"]
        # The dash belongs to the first line that is no comment.
        first = next(position for position, line in enumerate(lines) if not line.lstrip().startswith("#"))
        yield from (line[2:] for line in lines[:first])
        yield f"{pad}- {lines[first][len(pad) + 2 :]}"
        yield from lines[first + 1 :]


def _entry(head: str, item: Any, path: str, depth: int, comments: Mapping[str, str]) -> Iterator[str]:  # noqa: ANN401
    line = f"{head} {_flow(item)}"
    is_commented = any(place.startswith((f"{path}.", f"{path}[")) for place in comments)
    if not _is_tree(item) or (len(line) <= _WIDTH and _reads_on_one_line(item) and not is_commented):
        yield line
    else:
        yield head
        yield from _block(item, path, depth + 1, comments)


def _comment(path: str, pad: str, comments: Mapping[str, str]) -> Iterator[str]:
    for line in wrap(comments.get(path, ""), _WIDTH - len(pad) - 2):
        yield f"{pad}# {line}"


def _is_tree(item: Any) -> bool:  # noqa: ANN401
    return isinstance(item, Mapping | list) and bool(item)


def _reads_on_one_line(item: Any) -> bool:  # noqa: ANN401
    """Tell whether an item is at most a mapping of scalars, a list of such, or a chain of single keys."""
    match item:
        case Mapping() if len(item) == 1:
            return all(_reads_on_one_line(value) for value in item.values())
        case Mapping():
            return not any(_is_tree(value) for value in item.values())
        case list():
            return all(
                not _is_tree(value) or (isinstance(value, Mapping) and _reads_on_one_line(value))
                for value in item
            )
        case _:
            return True


def _flow(item: Any) -> str:  # noqa: ANN401
    if isinstance(item, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(value)}" for key, value in item.items()) + "}"
    if isinstance(item, list):
        return "[" + ", ".join(_flow(value) for value in item) + "]"
    return _scalar(item)


def _scalar(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _RESERVED
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        # YAML 1.1 takes 1e-05 for a text and 1.0e-05 for a number.
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    return json.dumps(value)
