"""Texts with their token counts in four vocabularies: what the token estimates are held against."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from extproc.facts.text import Category, TextProfile, profile_text

VOCABULARIES = ("o200k", "cl100k", "llama3", "llama2")

_WORDLESS = frozenset(
    {Category.SYMBOLS, Category.BLANK, Category.DIGITS, Category.PUNCTUATION, Category.CAPITALS}
)
_LATIN = frozenset({Category.ENGLISH, Category.LATIN, Category.ACCENTED})
_GROUP_NAMES = {
    "mmlu_pro": "exam questions",
    "crux_code": "Python code",
    "en": "English prose",
    "ja": "Japanese",
    "zh": "Chinese",
    "kor": "Korean",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One text, counted.

    Attributes:
        group: What kind of text it is, from its source and language, not from its characters.
        text: The text itself.
        profile: What the service sees of it.
        tokens: Count by vocabulary; a vocabulary that was not counted is missing.
        is_held_out: True for the half of languages, and of English texts and code, that priors are not fitted on.
    """

    group: str
    text: str
    profile: TextProfile
    tokens: dict[str, int]
    is_held_out: bool


def read_samples(folder: Path) -> list[Sample]:
    """Read the counted texts of a data folder.

    Raises:
        FileNotFoundError: The folder has no `tokens`.
    """
    with gzip.open(folder / "tokens" / "texts.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts: dict[str, str] = {row["text_id"]: row["text"] for row in map(json.loads, lines)}
    samples = []
    with gzip.open(folder / "tokens" / "byte_token_counts.csv.gz", "rt", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            if row["has_text"] != "1":
                continue
            text = texts[row["text_id"]]
            profile = profile_text([text])
            language = row["language"]
            unit = row["text_id"] if language in {"en", "py"} else language
            samples.append(
                Sample(
                    group=_group(row["kind"], language, profile),
                    text=text,
                    profile=profile,
                    tokens={name: int(row[name]) for name in VOCABULARIES if row[name]},
                    is_held_out=bool(zlib.crc32(unit.encode()) & 1),
                )
            )
    return samples


def _group(kind: str, language: str, profile: TextProfile) -> str:
    """Name a text's group: by source, by language, else by the script that most of its words are in."""
    name = _GROUP_NAMES.get(kind) or _GROUP_NAMES.get(language)
    if name:
        return name
    for category, _ in profile.bytes_by_category:
        if category in _LATIN:
            return "other Latin"
        if category not in _WORDLESS:
            return str(category)
    return "other Latin"
