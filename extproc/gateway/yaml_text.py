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
    remaining = dict(comments)
    text = "\n".join(_block(tree, "", 0, remaining)) + "\n"
    if remaining:
        raise KeyError(f"comments without a place: {sorted(remaining)}")
    return text


def _block(value: Any, path: str, depth: int, comments: dict[str, str]) -> Iterator[str]:  # noqa: ANN401
    pad = "  " * depth
    if isinstance(value, Mapping):
        for key, item in value.items():
            here = f"{path}.{key}" if path else key
            yield from _comment(here, pad, comments)
            yield from _entry(f"{pad}{_scalar(key)}:", item, here, depth, comments)
        return
    for index, item in enumerate(value):
        here = f"{path}[{item.get('name', index) if isinstance(item, Mapping) else index}]"
        yield from _comment(here, pad, comments)
        lines = list(_block(item, here, depth + 1, comments)) if _is_tree(item) else [f"{pad}  {_flow(item)}"]
        first = next(position for position, line in enumerate(lines) if not line.lstrip().startswith("#"))
        yield from (line[2:] for line in lines[:first])
        yield f"{pad}- {lines[first][len(pad) + 2 :]}"
        yield from lines[first + 1 :]


def _entry(head: str, item: Any, path: str, depth: int, comments: dict[str, str]) -> Iterator[str]:  # noqa: ANN401
    line = f"{head} {_flow(item)}"
    fits = len(line) <= _WIDTH and _reads_on_one_line(item) and not _has_comment_below(item, path, comments)
    if fits or not _is_tree(item):
        yield line
    else:
        yield head
        yield from _block(item, path, depth + 1, comments)


def _has_comment_below(item: Any, path: str, comments: Mapping[str, str]) -> bool:  # noqa: ANN401
    if not isinstance(item, Mapping):
        return False
    return any(_matches(f"{path}.{key}", end) for key in item for end in comments)


def _comment(path: str, pad: str, comments: dict[str, str]) -> Iterator[str]:
    for end in [end for end in comments if _matches(path, end)]:
        for line in wrap(comments.pop(end), _WIDTH - len(pad) - 2):
            yield f"{pad}# {line}"


def _matches(path: str, end: str) -> bool:
    return path == end or path.endswith("." + end)


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
    return json.dumps(value)
