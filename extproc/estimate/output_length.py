"""How long an answer will be when the client states no limit: quantiles learned by model and kind of text."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from extproc.estimate.stored import as_count, as_name, as_numbers, as_object, as_version
from extproc.facts.text import Category, TextProfile

STATE_VERSION = 1

DEFAULT_QUANTILE = 0.9

FORGETTING = 0.998
"""What an observation still weighs after the next one of its model and kind: about 500 count."""

PARENT_WEIGHT = 20.0
"""Observations that the next broader level (model, all models, prior) counts for."""

MOST_QUANTILES = 16
"""Quantiles that are kept ready."""

MOST_TOKENS = 1_000_000
"""Longer answers are taken for nonsense."""

CODE_SYMBOLS_SHARE = 0.16
"""Share of symbols and runs of spaces from which on a text is called code or data; prose has a tenth."""

# Bin b holds lengths in (EDGES[b - 1], EDGES[b]]: four bins to a doubling.
EDGES: tuple[int, ...] = tuple(sorted({math.ceil(2 ** (step / 4)) for step in range(81)}))

# Quantiles of output tokens of two public services, weighted alike: one hour of Azure's chat trace (November 2023,
# 19,366 requests, none above 1,000 tokens) and Mooncake's conversation trace (12,031 requests, none above 2,000).
PRIOR_QUANTILES: tuple[tuple[float, int], ...] = (
    (0.01, 3),
    (0.05, 18),
    (0.10, 43),
    (0.25, 91),
    (0.50, 246),
    (0.75, 414),
    (0.90, 522),
    (0.95, 610),
    (0.99, 922),
    (0.999, 2000),
)

Floats = npt.NDArray[np.float64]

_FLOORS: Floats = np.array((0, *EDGES[:-1]), dtype=np.float64)
_WIDTHS: Floats = np.array(EDGES, dtype=np.float64) - _FLOORS


class TextKind(StrEnum):
    """What a prompt mostly is, as far as it bears on the length of its answer."""

    CODE = "code"
    ENGLISH = "english"
    LATIN = "latin"
    CJK = "cjk"
    OTHER = "other"


_KINDS = {
    Category.ENGLISH: TextKind.ENGLISH,
    Category.LATIN: TextKind.LATIN,
    Category.ACCENTED: TextKind.LATIN,
    Category.HAN: TextKind.CJK,
    Category.KANA: TextKind.CJK,
    Category.HANGUL: TextKind.CJK,
}
_MARKS = frozenset({Category.SYMBOLS, Category.BLANK})
_NO_WORDS = frozenset(
    {Category.SYMBOLS, Category.BLANK, Category.DIGITS, Category.CAPITALS, Category.PUNCTUATION}
)


def _check_quantile(quantile: float) -> None:
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile: expected a number between 0 and 1, got {quantile}")


def kind_of(text: TextProfile) -> TextKind:
    """What a prompt mostly is; OTHER for an empty one."""
    total = marks = 0
    for category, size in text.bytes_by_category:
        total += size
        if category in _MARKS:
            marks += size
    if total and marks >= CODE_SYMBOLS_SHARE * total:
        return TextKind.CODE
    for category, _ in text.bytes_by_category:
        if category not in _NO_WORDS:
            return _KINDS.get(category, TextKind.OTHER)
    return TextKind.OTHER


class _Lengths:
    """Weighted counts of finished and cut answers by bin."""

    __slots__ = ("cut", "ended")

    def __init__(self, ended: Floats | None = None, cut: Floats | None = None) -> None:
        self.ended: Floats = np.zeros(len(EDGES)) if ended is None else ended
        self.cut: Floats = np.zeros(len(EDGES)) if cut is None else cut

    def add(self, bin_index: int, *, was_cut: bool) -> None:
        self.ended *= FORGETTING
        self.cut *= FORGETTING
        (self.cut if was_cut else self.ended)[bin_index] += 1.0

    def hazards(self, parent: Floats) -> Floats:
        """Chance to end within a bin given that it was reached (Kaplan and Meier 1958), the parent's mixed in.

        A cut answer was at risk in all bins below its own. The parent counts as `PARENT_WEIGHT` answers.
        """
        leaving = self.ended + self.cut
        at_risk = leaving[::-1].cumsum()[::-1] - self.cut
        survival = np.concatenate(([1.0], np.cumprod(1.0 - parent)[:-1]))
        weight = PARENT_WEIGHT * survival
        hazards: Floats = (self.ended + weight * parent) / np.maximum(at_risk + weight, 1e-12)
        return np.where(at_risk + weight > 1e-9, np.clip(hazards, 0.0, 1.0), 1.0)


class _Curve:
    """Share of answers that end within each bin or before, and what was read off it.

    Attributes:
        learned: Answers that had been learned from.
    """

    __slots__ = ("_mean", "_middle", "_quantiles", "_shares", "learned")

    def __init__(self, shares: Floats, learned: int) -> None:
        self.learned = learned
        self._shares: list[float] = shares.tolist()
        surviving = 1.0 - shares
        self._middle: Floats = 0.5 * (np.concatenate(([1.0], surviving[:-1])) + surviving)
        self._mean = max(1.0, float(_WIDTHS @ self._middle))
        self._quantiles: dict[float, int] = {}

    def quantile(self, wanted: float) -> int:
        found = self._quantiles.get(wanted)
        if found is None:
            found = self._read(wanted)
            if len(self._quantiles) < MOST_QUANTILES:
                self._quantiles[wanted] = found
        return found

    def _read(self, wanted: float) -> int:
        shares = self._shares
        index = min(bisect.bisect_left(shares, wanted), len(EDGES) - 1)
        below, above = (shares[index - 1] if index else 0.0), shares[index]
        low, high = (EDGES[index - 1] if index else 0), EDGES[index]
        part = 1.0 if above <= below else min(1.0, (wanted - below) / (above - below))
        return max(1, math.ceil(low + part * (high - low)))

    def mean(self, at_most: int | None) -> float:
        if at_most is None or at_most >= EDGES[-1]:
            return self._mean
        return max(1.0, float(np.minimum(np.maximum(at_most - _FLOORS, 0.0), _WIDTHS) @ self._middle))


class OutputLengthEstimator:
    """Quantiles of output length by model and kind of prompt, calibrated online from `usage.completion_tokens`.

    Three levels of counts (a model's kind, the model, all models) above a prior from public traces; each level
    counts as a few observations of the next finer one, so that a new model starts from the fleet's lengths.

    Args:
        max_models: Models that are remembered; the one that learned least recently is forgotten first.

    Raises:
        ValueError: `max_models` is below 1.
    """

    def __init__(self, *, max_models: int = 256) -> None:
        if max_models < 1:
            raise ValueError(f"max_models: expected at least 1, got {max_models}")
        self._max_models = max_models
        self._fleet = _Lengths()
        self._models: dict[str, dict[str, _Lengths]] = {}
        self._learned = 0
        self._cache: dict[tuple[str, str], _Curve] = {}

    def predict(self, model: str, text: TextProfile, quantile: float | None = None) -> int:
        """Length in tokens that a share `quantile` of answers stays within; None means `DEFAULT_QUANTILE`.

        Raises:
            ValueError: `quantile` is not strictly between 0 and 1.
        """
        return self.predict_each((model,), text, quantile)[0]

    def predict_each(
        self, models: Iterable[str], text: TextProfile, quantile: float | None = None
    ) -> list[int]:
        """As `predict`, for several models.

        Raises:
            ValueError: `quantile` is not strictly between 0 and 1.
        """
        wanted = DEFAULT_QUANTILE if quantile is None else quantile
        _check_quantile(wanted)
        kind = str(kind_of(text))
        return [self._curve(model, kind).quantile(wanted) for model in models]

    def expected(self, model: str, text: TextProfile, at_most: int | None = None) -> float:
        """Mean length in tokens under a limit of `at_most` tokens; None for no limit. At least 1.

        The mean, not the median, is what answers cost: a few that do not end can take more than all others together.
        """
        return self._curve(model, str(kind_of(text))).mean(at_most)

    def expected_and_upper(
        self, models: Iterable[str], text: TextProfile, quantile: float, at_most: int | None = None
    ) -> list[tuple[float, int]]:
        """`expected` and `predict` of several models in one pass.

        Raises:
            ValueError: `quantile` is not strictly between 0 and 1.
        """
        _check_quantile(quantile)
        kind = str(kind_of(text))
        curves = [self._curve(model, kind) for model in models]
        return [(curve.mean(at_most), curve.quantile(quantile)) for curve in curves]

    def learn(self, model: str, text: TextProfile, completion_tokens: int, *, was_cut: bool) -> None:
        """Learn the length of one answer; one that was cut by a limit is known to be at least that long."""
        if not 0 <= completion_tokens <= MOST_TOKENS:
            return
        bin_index = min(bisect.bisect_left(EDGES, completion_tokens), len(EDGES) - 1)
        levels = self._models.pop(model, None) or {}
        self._models[model] = levels
        if len(self._models) > self._max_models:
            del self._models[next(iter(self._models))]
            self._cache.clear()
        for name in (str(kind_of(text)), ""):
            levels.setdefault(name, _Lengths()).add(bin_index, was_cut=was_cut)
        self._fleet.add(bin_index, was_cut=was_cut)
        self._learned += 1

    def _curve(self, model: str, kind: str) -> _Curve:
        """Lengths of a model's answers to a kind of text; read anew when enough was learned since."""
        levels = self._models.get(model)
        key = (model, kind) if levels is not None else ("", "")
        cached = self._cache.get(key)
        if cached is not None and self._learned - cached.learned <= min(32, self._learned // 16):
            return cached
        hazards = self._fleet.hazards(_PRIOR_HAZARDS)
        for name in ("", kind):
            if levels is not None and name in levels:
                hazards = levels[name].hazards(hazards)
        curve = self._cache[key] = _Curve(1.0 - (1.0 - hazards).cumprod(), self._learned)
        return curve

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned, for `restore`."""
        return {
            "version": STATE_VERSION,
            "edges": list(EDGES),
            "learned": self._learned,
            "fleet": _stored(self._fleet),
            "models": {
                model: {name: _stored(lengths) for name, lengths in levels.items()}
                for model, levels in self._models.items()
            },
        }

    def restore(self, state: object) -> None:
        """Replace all that was learned by a copy that `state` made.

        Raises:
            ValueError: The state is malformed or of another version; the text says what, and nothing changes.
        """
        found = as_version(state, STATE_VERSION, "output state")
        if found.get("edges") != list(EDGES):
            raise ValueError("output state: edges differ from this release's bins")
        learned = as_count(found.get("learned"), "output state: learned")
        fleet = _restored(found.get("fleet"), "output state: fleet")
        names = {"", *TextKind}
        models: dict[str, dict[str, _Lengths]] = {}
        for key, levels in as_object(found.get("models"), "output state: models").items():
            model = as_name(key, "output state: models")
            where = f"output state: models.{model}"
            stored = as_object(levels, where)
            if not names.issuperset(stored):
                raise ValueError(f"{where}: unknown kind of text")
            models[model] = {str(name): _restored(item, f"{where}.{name}") for name, item in stored.items()}
        for model in list(models)[: max(0, len(models) - self._max_models)]:
            del models[model]
        self._fleet, self._models, self._learned, self._cache = fleet, models, learned, {}


def _stored(lengths: _Lengths) -> dict[str, object]:
    return {
        "ended": [float(f"{count:.6g}") for count in lengths.ended],
        "cut": [float(f"{count:.6g}") for count in lengths.cut],
    }


def _restored(state: object, where: str) -> _Lengths:
    stored = as_object(state, where)
    ended = np.array(as_numbers(stored.get("ended"), len(EDGES), f"{where}.ended"))
    cut = np.array(as_numbers(stored.get("cut"), len(EDGES), f"{where}.cut"))
    if min(ended.min(), cut.min()) < 0 or max(ended.sum(), cut.sum()) > 1.0 / (1.0 - FORGETTING) + 1.0:
        raise ValueError(f"{where}: expected counts from 0 to {1.0 / (1.0 - FORGETTING):.0f} in sum")
    return _Lengths(ended, cut)


def _prior_hazards() -> Floats:
    """Hazards by bin of the prior quantiles, interpolated on the logarithm of the length."""
    shares = [0.0, *(share for share, _ in PRIOR_QUANTILES), 1.0]
    logs = [0.0, *(math.log(length) for _, length in PRIOR_QUANTILES), math.log(8 * PRIOR_QUANTILES[-1][1])]
    cumulative = np.interp(np.log(np.array(EDGES, dtype=float)), logs, shares)
    before = np.concatenate(([0.0], cumulative[:-1]))
    return np.where(before < 1.0, (cumulative - before) / np.maximum(1.0 - before, 1e-12), 1.0)


_PRIOR_HAZARDS = _prior_hazards()
