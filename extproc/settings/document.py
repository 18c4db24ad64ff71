"""A YAML text as plain values, and where in the text each of them stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; both numbers count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Defect:
    """A mistake in the YAML itself, before any meaning."""

    path: Path
    mark: Mark
    message: str
    hint: str = ""


@dataclass(slots=True)
class Document:
    """A parsed text.

    Attributes:
        values: What the text says, as dictionaries, lists and scalars.
        marks: Where each value stands; for the entry of a mapping, where its key stands.
        defects: Mistakes in the YAML itself, in the order of the text.
    """

    values: Any = None
    marks: dict[Path, Mark] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)

    def mark(self, path: Path) -> Mark | None:
        """Find where a path stands, or the nearest of its ancestors that stands anywhere."""
        for length in range(len(path), -1, -1):
            found = self.marks.get(path[:length])
            if found is not None:
                return found
        return None


def parse_document(text: str) -> Document:
    """Parse a YAML text; mistakes are collected, not raised."""
    document = Document()
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            document.values = _value(loader, node, (), document, ancestors=())
    except yaml.MarkedYAMLError as error:
        document.defects.append(_defect(error))
    except RecursionError:
        document.defects.append(Defect((), Mark(1, 1), "not YAML: lists or mappings nested too deeply"))
    except Exception as error:  # noqa: BLE001 - whatever PyYAML stumbles over is a mistake of the text
        document.defects.append(Defect((), Mark(1, 1), f"not YAML: {type(error).__name__}: {error}"))
    finally:
        loader.dispose()
    return document


def _value(
    loader: yaml.SafeLoader, node: yaml.Node, path: Path, document: Document, ancestors: tuple[yaml.Node, ...]
) -> Any:  # noqa: ANN401 - the text decides
    document.marks.setdefault(path, _mark(node))
    if node in ancestors:
        document.defects.append(Defect(path, _mark(node), "a YAML alias that contains itself"))
        return None
    match node:
        case yaml.MappingNode():
            return _mapping(loader, node, path, document, (*ancestors, node))
        case yaml.SequenceNode():
            return [
                _value(loader, item, (*path, index), document, (*ancestors, node))
                for index, item in enumerate(node.value)
            ]
        case _:
            return _scalar(loader, node)


def _scalar(loader: yaml.SafeLoader, node: yaml.Node) -> Any:  # noqa: ANN401 - the text decides
    """Make a scalar; what PyYAML's constructors raise for a value that does not fit its tag names no place."""
    try:
        return loader.construct_object(node)
    except (yaml.MarkedYAMLError, RecursionError):
        raise
    except Exception as error:
        kind = node.tag.rpartition(":")[2]
        raise yaml.MarkedYAMLError(
            problem=f"{str(node.value)[:40]!r} is no {kind} that can be read", problem_mark=node.start_mark
        ) from error


def _mapping(
    loader: yaml.SafeLoader,
    node: yaml.MappingNode,
    path: Path,
    document: Document,
    ancestors: tuple[yaml.Node, ...],
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        mark = _mark(key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            document.defects.append(Defect(path, mark, "got a list or mapping as a key, expected a name"))
            continue
        key = key_node.value
        here = (*path, key)
        if key in values:
            first = document.marks[here].line
            hint = f"its first occurrence is on line {first}; keep one of them"
            document.defects.append(Defect(here, mark, f"got the key {key!r} twice, expected it once", hint))
            continue
        document.marks[here] = mark
        values[key] = _value(loader, value_node, here, document, ancestors)
    return values


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _defect(error: yaml.MarkedYAMLError) -> Defect:
    mark = error.problem_mark or error.context_mark
    message = "not YAML: " + ", ".join(part for part in (error.context, error.problem) if part)
    place = Mark(mark.line + 1, mark.column + 1) if mark is not None else Mark(1, 1)
    tab = mark is not None and "\\t" in str(error.problem)
    return Defect((), place, message, "indent with spaces, not tabs" if tab else "")
