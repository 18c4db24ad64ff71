"""What is wrong with a fleet file: each mistake with its place, what stands there and what was expected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake.

    Attributes:
        file: The file as the caller named it.
        line: Line, from 1; None when the mistake has no place in the text.
        column: Column, from 1; None when the mistake has no place in the text.
        path: Place in the tree, such as `clusters[2].max_model_len`; empty for the file as a whole.
        message: What stands there and what was expected.
        hint: What to do about it; empty when the message says it all.
    """

    file: Path
    line: int | None
    column: int | None
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = str(self.file)
        if self.line is not None:
            place += f":{self.line}:{self.column}"
        return f"{place} {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class SettingsError(Exception):
    """The fleet file cannot be used; nothing of it was.

    Attributes:
        problems: Every mistake found, in the order of the file; never empty.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(_lines(problems)))
        self.problems = problems

    def in_one_line(self, most: int = 10) -> str:
        """Tell of the first `most` mistakes in one line, for a log; a file that is no fleet file may have thousands."""
        told = [
            f"{problem} ({problem.hint})" if problem.hint else str(problem)
            for problem in self.problems[:most]
        ]
        left = len(self.problems) - len(told)
        return "; ".join([*told, f"and {left} more: run `ttca check`"] if left else told)


def _lines(problems: tuple[Problem, ...]) -> list[str]:
    lines: list[str] = []
    for problem in problems:
        lines.append(str(problem))
        if problem.hint:
            lines.append(f"    hint: {problem.hint}")
    return lines


def path_text(path: tuple[str | int, ...]) -> str:
    """Write a path as `clusters[2].max_model_len`.

    >>> path_text(("clusters", 2, "max_model_len"))
    'clusters[2].max_model_len'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
