"""Writes prompt text of a wanted size in tokens, by kind of text. The same key always gives the same text."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

from loadgen.workload import words

BYTES_PER_TOKEN: Mapping[str, float] = MappingProxyType(
    {
        "prose": 4.7,
        "code": 4.3,
        "json": 3.8,
        "zh": 3.4,
        "ja": 4.0,
        "greek": 4.0,
        "ukrainian": 6.1,
        "hindi": 5.1,
        "korean": 4.1,
        "thai": 6.3,
    }
)
"""UTF-8 bytes per token of real text of each kind: total bytes over total tokens of a 128k-entry vocabulary
(Llama 3), measured on published texts: chat questions, source files, the declaration of human rights."""

OTHER = tuple(words.OTHER_SCRIPTS)
"""The languages that a share of `other` is divided among."""

MIXES: Mapping[str, tuple[tuple[str, float], ...]] = MappingProxyType(
    {
        "azure_conv": (("prose", 0.7), ("code", 0.12), ("json", 0.05), ("zh", 0.05), ("ja", 0.03), ("other", 0.05)),
        "mooncake_conversation": (
            ("zh", 0.55), ("prose", 0.25), ("code", 0.12), ("json", 0.04), ("ja", 0.02), ("other", 0.02),
        ),
        "lmcache_miniswe": (("code", 0.6), ("prose", 0.25), ("json", 0.15)),
        "lmcache_taubench": (("prose", 0.6), ("json", 0.4)),
    }
)  # fmt: skip
"""Share of conversations by kind of text. Assumed from what each service does: the traces carry no text."""

_CORPUS_BYTES = 120_000


@dataclass(frozen=True, slots=True)
class _Corpus:
    """Running text of one kind that begins a unit (line or sentence) at each offset in `starts`."""

    text: str
    starts: tuple[int, ...]
    bytes_per_character: float


class TextSource:
    """Text by kind, size and key; one source per seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._corpora: dict[str, _Corpus] = {}

    def prepare(self, kind: str) -> None:
        """Do the work of a kind's first text now, not in the middle of a run.

        Raises:
            ValueError: `kind` is not known.
        """
        if kind not in self._corpora:
            self._corpora[kind] = _corpus(kind, self._seed)

    def text(self, kind: str, tokens: int, key: str) -> str:
        """Text of about `tokens` tokens, by `BYTES_PER_TOKEN`; equal arguments give equal text.

        Raises:
            ValueError: `kind` is not known.
        """
        self.prepare(kind)
        corpus = self._corpora[kind]
        characters = max(1, round(tokens * BYTES_PER_TOKEN[kind] / corpus.bytes_per_character))
        start = random.Random(f"{self._seed}/{kind}/{key}").choice(corpus.starts)
        if start + characters <= len(corpus.text):
            return corpus.text[start : start + characters]
        rotated = corpus.text[start:] + corpus.text[:start]
        whole, rest = divmod(characters, len(rotated))
        return rotated * whole + rotated[:rest]


def draw_kind(mix: tuple[tuple[str, float], ...], key: str) -> str:
    """Draw a kind of text from `mix`; equal keys draw equal kinds, and `other` becomes one of its languages.

    Raises:
        ValueError: The shares are negative or do not sum to 1.
    """
    total = sum(share for _, share in mix)
    if any(share < 0 for _, share in mix) or abs(total - 1) > 1e-6:
        raise ValueError(f"the shares of a mix must be non-negative and sum to 1, not {total:g}")
    rng = random.Random(key)
    bounds = list(accumulate(share for _, share in mix))
    kind = mix[min(bisect_right(bounds, rng.random()), len(mix) - 1)][0]
    return rng.choice(OTHER) if kind == "other" else kind


def _corpus(kind: str, seed: int) -> _Corpus:
    if kind not in BYTES_PER_TOKEN:
        raise ValueError(f"unknown kind of text {kind!r}; known: {', '.join(BYTES_PER_TOKEN)}, other")
    unit = _writer(kind, random.Random(f"{seed}/{kind}"))
    units: list[str] = []
    size = 0
    while size < _CORPUS_BYTES:
        units.append(unit())
        size += len(units[-1].encode())
    text = "".join(units)
    starts = tuple(accumulate((len(part) for part in units[:-1]), initial=0))
    return _Corpus(text, starts, size / len(text))


def _writer(kind: str, rng: random.Random) -> Callable[[], str]:
    match kind:
        case "prose":
            return lambda: _sentence(rng, words.PROSE, " ", ". ")
        case "code":
            return lambda: _line(rng, words.CODE_LINES)
        case "json":
            return lambda: _line(rng, words.JSON_LINES)
        case "zh":
            return lambda: _sentence(rng, words.CHINESE, "", "。")
        case "ja":
            return lambda: _sentence(rng, words.JAPANESE, "", "。")
        case "thai":
            return lambda: _sentence(rng, words.OTHER_SCRIPTS[kind], "", " ")
        case _:
            return lambda: _sentence(rng, words.OTHER_SCRIPTS[kind], " ", ". ")


def _sentence(rng: random.Random, vocabulary: list[str], between: str, end: str) -> str:
    """One sentence with the digits, names and commas that real prompts have, and plain word lists lack."""
    chosen = rng.choices(vocabulary, k=rng.randint(6, 18))
    for _ in range(rng.randint(0, 1)):
        chosen.insert(rng.randint(1, len(chosen)), str(rng.randint(2, 999)))
    pause = "\uff0c" if end == "。" else ","
    chosen[rng.randint(0, len(chosen) - 1)] += pause
    if rng.random() < 0.15:
        chosen.insert(rng.randint(1, len(chosen)), rng.choice(words.NAMES).upper())
    text = between.join(chosen)
    return text[0].upper() + text[1:] + (end.rstrip() + "\n" if rng.random() < 0.1 else end)


def _line(rng: random.Random, templates: tuple[str, ...]) -> str:
    a, b, c, d = rng.choices(words.NAMES, k=4)
    template = rng.choice(templates)
    return (
        template.format(
            a=a,
            b=b,
            c=c,
            d=d,
            A=a.title(),
            B=b.title(),
            C=c.title(),
            n=rng.randint(1, 99),
            m=rng.randint(1, 9999),
        )
        + "\n"
    )
