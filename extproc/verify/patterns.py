"""Regular expressions of strangers, matched by RE2: time linear in the text whatever the pattern.

RE2 has no back-references and no look-around, which is what buys the bound. Its time is at most the size of the
compiled program times the bytes of the text, so that a search can be priced before it is made.
"""

from __future__ import annotations

import re
from typing import Final

import re2

from extproc.verify.work import WorkBudget

MAX_PATTERN_CHARS: Final = 1_024
MAX_PROGRAM_SIZE: Final = 5_000
"""Largest compiled pattern in RE2's instructions; `\\w{1,50}` has some hundred, `\\p{L}+` some six hundred."""

_MEMORY_BYTES: Final = 1 << 20
"""Memory of one compiled pattern with its state cache; RE2 slows down to its worst case instead of growing."""

_STEPS_PER_BUDGET_STEP: Final = 200
"""Instructions times bytes that RE2 gets through in two microseconds, at worst."""

_ECMA_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)", re.DOTALL)


class PatternError(ValueError):
    """A pattern that is no regular expression, or none that can be matched in bounded time."""


class Pattern:
    """A compiled pattern; `search` and `fullmatch` take any text, lone surrogates included."""

    __slots__ = ("_compiled", "_program_size")

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN_CHARS:
            raise PatternError(f"it has {len(text)} characters, at most {MAX_PATTERN_CHARS} are allowed")
        options = re2.Options()
        options.max_mem = _MEMORY_BYTES
        options.log_errors = False
        options.never_capture = True
        try:
            self._compiled = re2.compile(text.encode(), options)
        except (re2.error, UnicodeEncodeError) as error:
            raise PatternError(_explain(error)) from None
        self._program_size: int = self._compiled.programsize
        if self._program_size > MAX_PROGRAM_SIZE:
            raise PatternError("it is too large when its repetitions are written out")

    def search(self, text: str, work: WorkBudget) -> bool:
        """Tell whether the pattern matches anywhere in the text.

        Raises:
            WorkExceededError: The search could take longer than the budget allows.
        """
        return self._compiled.search(self._priced(text, work)) is not None

    def fullmatch(self, text: str, work: WorkBudget) -> bool:
        """Tell whether the pattern matches the whole text.

        Raises:
            WorkExceededError: The search could take longer than the budget allows.
        """
        return self._compiled.fullmatch(self._priced(text, work)) is not None

    def _priced(self, text: str, work: WorkBudget) -> bytes:
        encoded = text.encode(errors="replace")
        work.charge(1 + self._program_size * len(encoded) // _STEPS_PER_BUDGET_STEP)
        return encoded


def schema_pattern(text: str) -> Pattern:
    r"""Compile a pattern as JSON Schema writes it: ECMAScript's `\u0041` becomes RE2's form.

    Raises:
        PatternError: RE2 has no such pattern.
    """
    return Pattern(_ECMA_ESCAPE.sub(_translate_escape, text))


def _translate_escape(match: re.Match[str]) -> str:
    code = match.group(1)
    return f"\\x{{{code}}}" if code else match.group()


def _explain(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
