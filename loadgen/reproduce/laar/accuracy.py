"""The study's accuracy tables: who answers how often, by length and language.

The shapes are measured (`curves`); which measured model stands for which role, and how far its curve is stretched, was chosen
so that the published facts come out: the ranking of the models is not the same everywhere, Phi-3-mini beats larger models at
8K to 16K, Swallow collapses past 32K, Chinese collapses at lengths at which English is fine. None of this is evidence for these facts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from loadgen.reproduce.laar.curves import Measurements
from loadgen.reproduce.laar.hardware import MODELS

LENGTHS: Sequence[int] = (4_096, 8_192, 16_384, 32_768, 65_536)
"""Prompt tokens."""

CHINESE_STRETCH = 0.5
"""In Chinese a model's curve falls at half the length: assumed, for the published collapse."""

LEAST_CHANCE, MOST_CHANCE = 0.01, 0.98


class Language(StrEnum):
    """Language of a question."""

    ENGLISH = "EN"
    JAPANESE = "JA"
    CHINESE = "ZH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Whose measurements stand for a model.

    Attributes:
        source: Name of its curve.
        stretch: Length at which the model is what its source is at length 1, as a rule the ratio of their windows.
        japanese, chinese: Shares of the measured losses outside English that it has.
        why: Reason of these figures, in a few words.
    """

    source: str
    stretch: float
    japanese: float
    chinese: float
    why: str


ROLES: Mapping[str, Role] = MappingProxyType(
    {
        "granite-3.1-2b": Role(
            source="mpt-7b-storywriter",
            stretch=2.0,
            japanese=0.5,
            chinese=0.5,
            why="weak everywhere, falls slowly; windows 128K over 64K; trained on twelve languages",
        ),
        "phi-3-mini": Role(
            source="babilong",
            stretch=1.0,
            japanese=1.0,
            chinese=1.0,
            why="its own measurement (BABILong qa1); mostly English",
        ),
        "llama-3.1-swallow-8b": Role(
            source="mpt-30b-chat",
            stretch=8.0,
            japanese=0.0,
            chinese=1.0,
            why="collapses at its window of 8K, stretched to the published 64K; trained further on Japanese",
        ),
        "granite-3.1-8b": Role(
            source="longchat-7b-16k",
            stretch=4.0,
            japanese=0.5,
            chinese=0.5,
            why="sound up to its window of 16K, stretched to 64K, half of its own; trained on twelve languages",
        ),
        "phi-3-medium": Role(
            source="chatglm2-6b",
            stretch=4.0,
            japanese=1.0,
            chinese=1.0,
            why="falls early, so that the smaller Phi-3 passes it; windows 128K over 32K; mostly English",
        ),
    }
)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One setting: all questions of one length in one language."""

    length: int
    language: Language

    @property
    def name(self) -> str:
        """Such as `16K JA`."""
        return f"{self.length // 1024}K {self.language}"


CELLS: Sequence[Cell] = tuple(Cell(length, language) for length in LENGTHS for language in Language)


def chance(measured: Measurements, model: str, cell: Cell) -> float:
    """P(a model answers a question of a cell correctly)."""
    role = ROLES[model]
    tokens, shift = cell.length / role.stretch, 0.0
    if cell.language is Language.JAPANESE:
        shift = role.japanese * measured.japanese
    elif cell.language is Language.CHINESE:
        tokens, shift = tokens / CHINESE_STRETCH, role.chinese * measured.chinese
    log_odds = measured.curves[role.source].log_odds(tokens) + shift
    return min(MOST_CHANCE, max(LEAST_CHANCE, 1.0 / (1.0 + math.exp(-log_odds))))


def accuracy_table(measured: Measurements) -> Mapping[Cell, Mapping[str, float]]:
    """P(correct) by cell and model."""
    return {cell: {model: chance(measured, model, cell) for model in MODELS} for cell in CELLS}
