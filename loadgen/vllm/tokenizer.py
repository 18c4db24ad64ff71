"""How many tokens a text has, to within a few per cent of Llama 3's tokenizer, without a vocabulary.

Each byte costs a share of a token that depends on its class alone (letter, digit, lead byte of a script). The
costs are least-squares fits of relative error to Llama 3 counts of the shared token data: ASCII classes to English,
chat and source code; the lead bytes to the other languages. Median absolute error there: English 8 %, Python 2 %,
German 13 %, Chinese 7 %, Japanese 5 %, Korean 4 %; rare scripts are off by a factor of up to 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ASCII_COSTS = (
    (b" \t", 0.4234),
    (b"\r\n", 0.5117),
    (b"abcdefghijklmnopqrstuvwxyz", 0.1380),
    (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 0.5730),
    (b"0123456789", 0.9217),
)
_PUNCTUATION_COST = 0.3851
_LEAD_BYTE_COSTS = (
    # First lead byte of the range, its script, tokens per character.
    (0xC0, 2.3534),  # Latin with diacritics
    (0xCA, 0.3473),  # Greek
    (0xD0, 0.2829),  # Cyrillic
    (0xD4, 0.2711),  # Hebrew, Arabic
    (0xE0, 0.5740),  # Indic scripts, Thai
    (0xE1, 1.8537),  # Georgian, Ethiopic, Latin with two diacritics
    (0xE2, 3.0266),  # punctuation, symbols
    (0xE3, 0.7181),  # Chinese, Japanese
    (0xEA, 0.6893),  # Korean
    (0xEE, 3.1646),  # full-width forms
    (0xF0, 1.8459),  # emoji, rare ideographs
)


def _costs() -> NDArray[np.float64]:
    costs = np.full(256, _PUNCTUATION_COST)
    costs[0x80:0xC0] = 0.0
    for characters, cost in _ASCII_COSTS:
        costs[list(characters)] = cost
    for first, cost in _LEAD_BYTE_COSTS:
        costs[first:] = cost
    costs.flags.writeable = False
    return costs


_COSTS = _costs()


def count_tokens(text: str) -> int:
    """Tokens of a text; 0 for the empty one.

    >>> count_tokens("The quick brown fox jumps over the lazy dog.")
    9
    """
    if not text:
        return 0
    counts = np.bincount(np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8), minlength=256)
    return max(1, round(float(counts @ _COSTS)))
