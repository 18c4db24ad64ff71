"""Prompts of given lengths whose token counts are known: recorded texts put together, or generated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from extproc.estimate.token_priors import PRIORS, Prior
from extproc.facts.text import TextProfile, profile_text
from loadgen.planning.traffic import Ints
from loadgen.token_fit import fit_priors
from loadgen.token_samples import read_samples
from loadgen.vllm.tokenizer import count_tokens
from loadgen.workload.prompts import TextSource

VOCABULARY = "llama3"

RECORDED_MIX: Mapping[str, float] = {
    "English prose": 0.40,
    "exam questions": 0.20,
    "Python code": 0.14,
    "Chinese": 0.10,
    "Korean": 0.02,
    "other Latin": 0.09,
    "cyrillic": 0.05,
}
"""Share of the prompts by kind of text: assumed, as traces carry no text; twelve in a hundred are CJK."""

GENERATED_MIX: Mapping[str, float] = {
    "prose": 0.60,
    "code": 0.14,
    "json": 0.05,
    "zh": 0.10,
    "ja": 0.04,
    "korean": 0.02,
    "ukrainian": 0.05,
}

_PIECE_TOKENS = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """A text with its count."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """Texts by kind, how often each kind is asked, and what an estimator may know beforehand.

    Attributes:
        by_kind: Pieces of each kind.
        shares: Share of the prompts, in the order of `by_kind`; sums to 1.
        priors: Fitted on texts of other languages and on other English texts and code.
    """

    by_kind: Mapping[str, Sequence[Piece]]
    shares: tuple[float, ...]
    priors: Mapping[str, Prior]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the service sees it, and the tokens it really has."""

    kind: str
    profile: TextProfile
    tokens: int


@lru_cache(maxsize=1)
def pieces(data: Path | None) -> Pieces:
    """The texts to put together, read once per process.

    Raises:
        FileNotFoundError: The data folder has no `tokens`.
    """
    if data is None:
        source = TextSource(1)
        texts = {
            kind: [source.text(kind, _PIECE_TOKENS, str(number)) for number in range(200)]
            for kind in GENERATED_MIX
        }
        counted = {kind: [Piece(text, count_tokens(text)) for text in found] for kind, found in texts.items()}
        return Pieces(counted, tuple(GENERATED_MIX.values()), PRIORS)
    samples = read_samples(data)
    held_out = [sample for sample in samples if sample.is_held_out and VOCABULARY in sample.tokens]
    by_kind = {
        kind: [Piece(s.text, s.tokens[VOCABULARY]) for s in held_out if s.group == kind]
        for kind in RECORDED_MIX
    }
    priors = fit_priors([sample for sample in samples if not sample.is_held_out])
    return Pieces(by_kind, tuple(RECORDED_MIX.values()), priors)


def prompts(prompt_tokens: Ints, found: Pieces, rng: np.random.Generator) -> list[Prompt]:
    """Put prompts of about these lengths together; each is of one kind.

    The last piece is cut to what is missing, at the share of its tokens, so a count is off by a few tokens at most.
    """
    kinds = tuple(found.by_kind)
    chosen = rng.choice(len(kinds), len(prompt_tokens), p=found.shares)
    made = []
    for index, wanted in zip(chosen.tolist(), prompt_tokens.tolist(), strict=True):
        members = found.by_kind[kinds[index]]
        parts: list[str] = []
        left = wanted
        while left > 0:
            piece = members[int(rng.integers(len(members)))]
            is_whole = piece.tokens <= left
            parts.append(
                piece.text if is_whole else piece.text[: max(1, len(piece.text) * left // piece.tokens)]
            )
            left -= piece.tokens
        made.append(Prompt(kinds[index], profile_text(["\n".join(parts)]), wanted))
    return made
