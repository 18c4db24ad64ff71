"""The headers by which clients say how their request is to be judged, or what is wrong with them."""

from __future__ import annotations

import difflib
import re
from typing import Final

from extproc.decide.weights import Preset, Weights
from extproc.errors import BadRequestError
from extproc.facts.wish import Wish
from extproc.protocol import names

MAX_CHARACTERS: Final = 4096
"""Longest expectation or session name."""

_LONGEST_DEADLINE: Final = 10
"""Digits: ten of them are 115 days."""

_LONGEST_WEIGHTS: Final = 200
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}")
_PRESETS: Final = tuple(preset.value for preset in Preset)
_WEIGHTS: Final = ("quality", "latency", "cost")


def checked_text(name: str, text: str) -> str:
    """Return the text of the header called `name`; empty when the client sent none.

    Raises:
        BadRequestError: It is too long to be taken seriously.
    """
    if len(text) > MAX_CHARACTERS:
        raise BadRequestError(
            f"The header `{name}` has {len(text)} characters, expected at most {MAX_CHARACTERS}.",
            reason="invalid-header",
            param=name,
        )
    return text


def refuse_unknown(name: str) -> None:
    """Refuse a header that begins like ours and is none: a typing error would go unnoticed, and its wish unheard.

    Raises:
        BadRequestError: `name` is not empty.
    """
    if not name:
        return
    near = difflib.get_close_matches(name, names.CLIENT_HEADERS, n=1, cutoff=0.8)
    known = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(names.CLIENT_HEADERS)}."
    raise BadRequestError(
        f"The header `{name[:60]}` is not known; {known}", reason="invalid-header", param=name[:60]
    )


def wish(preset: str, weights: str) -> Wish | None:
    """Return the weights that the client wishes for; None when both headers are absent.

    Weights are `quality=0.6,latency=0.3,cost=0.1`: each of the three once, in any order and scale, at least 0; latency at
    least one hundredth of their sum.

    Raises:
        BadRequestError: Both headers are there, or the one that is cannot be understood.
    """
    if preset and weights:
        raise _invalid(names.WEIGHTS, f"stands beside `{names.PRESET}`, expected only one of the two")
    if preset:
        if preset not in _PRESETS:
            raise _invalid(names.PRESET, f"must be one of {', '.join(_PRESETS)}, got {preset[:40]!r}")
        return Wish(preset=preset)
    return _weights(weights) if weights else None


def _weights(text: str) -> Wish:
    given: dict[str, float] = {}
    for part in text[:_LONGEST_WEIGHTS].split(","):
        name, _, number = part.strip(" ").partition("=")
        if name in given or name not in _WEIGHTS or not _DECIMAL.fullmatch(number):
            raise _invalid(
                names.WEIGHTS,
                f"must be like `quality=0.6,latency=0.3,cost=0.1`, each of the three once, got {text[:80]!r}",
            )
        given[name] = float(number)
    if len(given) < len(_WEIGHTS) or len(text) > _LONGEST_WEIGHTS:
        raise _invalid(
            names.WEIGHTS, f"must give {', '.join(_WEIGHTS)}, each once and nothing else, got {text[:80]!r}"
        )
    try:
        weights = Weights.of(**given)
    except ValueError as error:
        raise _invalid(names.WEIGHTS, f"cannot be used: {error}") from error
    return Wish(quality=weights.quality, latency=weights.latency, cost=weights.cost)


def _invalid(name: str, problem: str) -> BadRequestError:
    return BadRequestError(f"The header `{name}` {problem}.", reason="invalid-header", param=name)


def deadline_seconds(text: str) -> float | None:
    """Return the deadline in seconds; None when the client set none.

    Raises:
        BadRequestError: It is no whole number of milliseconds above 0.
    """
    if not text:
        return None
    if not text.isdecimal() or len(text) > _LONGEST_DEADLINE or int(text) == 0:
        raise BadRequestError(
            f"The header `{names.DEADLINE}` must be a whole number of milliseconds above 0, got {text[:40]!r}.",
            reason="invalid-header",
            param=names.DEADLINE,
        )
    return int(text) / 1000
