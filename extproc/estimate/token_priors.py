"""What a token costs in bytes before a model has reported any usage: figures by category, with their spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from extproc.facts.text import Category

TEMPLATE_MESSAGE = "template_message"
"""What a chat template adds for each message: role and delimiters."""

TEMPLATE_REQUEST = "template_request"
"""What a chat template adds once: the opening of the answer, a default system prompt."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of one kind of unit before a model's usage is seen.

    Attributes:
        tokens_per_unit: Tokens per UTF-8 byte; for templates, per message or request.
        spread: Relative standard deviation between vocabularies, their common factor aside.
        noise: Relative standard deviation between texts of one vocabulary.
        least: Smallest tokens per unit that will ever be learned.
        most: Largest tokens per unit that will ever be learned.
    """

    tokens_per_unit: float
    spread: float
    noise: float
    least: float = 1 / 12
    most: float = 2.0


# Means over four vocabularies (o200k, cl100k, llama3, llama2) of a non-negative least-squares fit of token counts on
# bytes by category, each count weighted by its inverse: 4,669 texts in 180 languages and Python, counted with npm
# gpt-tokenizer 4.0.0, llama3-tokenizer-js 1.2.0 and llama-tokenizer-js 1.2.2, and 1,062 files of Python's standard
# library, npm, C headers and XML, counted the same way. `python -m loadgen.token_eval` prints the fit on the former.
PRIORS: Mapping[str, Prior] = MappingProxyType(
    {
        Category.ENGLISH: Prior(0.170, 0.08, 0.10),
        Category.LATIN: Prior(0.420, 0.15, 0.13),
        Category.ACCENTED: Prior(0.850, 0.20, 0.20),
        Category.CAPITALS: Prior(0.520, 0.25, 0.20),
        Category.DIGITS: Prior(1.000, 0.30, 0.20),
        Category.SYMBOLS: Prior(0.470, 0.25, 0.15),
        Category.BLANK: Prior(0.160, 0.50, 0.50, 1 / 100),
        Category.PUNCTUATION: Prior(0.400, 0.50, 0.30),
        Category.CYRILLIC: Prior(0.300, 0.30, 0.15),
        Category.GREEK: Prior(0.400, 0.45, 0.10),
        Category.ARABIC: Prior(0.400, 0.45, 0.15),
        Category.DEVANAGARI: Prior(0.300, 0.50, 0.10),
        Category.INDIC: Prior(0.430, 0.50, 0.12),
        Category.THAI: Prior(0.260, 0.45, 0.08),
        Category.HAN: Prior(0.390, 0.30, 0.10),
        Category.KANA: Prior(0.280, 0.25, 0.08),
        Category.HANGUL: Prior(0.400, 0.45, 0.08),
        Category.EMOJI: Prior(0.750, 0.40, 0.25),
        Category.RARE: Prior(0.750, 0.45, 0.30),
        TEMPLATE_MESSAGE: Prior(5.0, 0.40, 0.20, 0.0, 16.0),
        TEMPLATE_REQUEST: Prior(4.0, 2.00, 0.20, 0.0, 64.0),
    }
)
