"""How many tokens an answer may take before it is hardly ever right: what a verified attempt may be cut at.

Wrong answers are long: models that have lost their way write on, some until a limit cuts them. So each model's judged
answers are kept as a life table with two ends, right and wrong (competing risks; Aalen and Johansen 1978). For a limit
of T tokens it tells the share of the right answers that end within T, and the tokens that an answer then takes on
average. Answers that were cut count as at risk up to their limit.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from extproc.estimate.output_length import EDGES, MOST_TOKENS
from extproc.estimate.stored import as_name, as_numbers, as_object, as_version

Floats = npt.NDArray[np.float64]

STATE_VERSION = 1

FORGETTING = 0.999
"""What an answer still weighs after the next one of its model: about 1,000 count."""

FEWEST_ANSWERS = 100.0
"""Judged answers of a model below which nothing is said of its limits."""

FEWEST_RIGHT = 20.0
"""Right answers below which nothing is said either: which of them are long would be anybody's guess."""

LIMITS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
"""Quantiles of the answers' lengths that may be limits."""

_WIDTHS: Floats = np.diff(np.array(EDGES, dtype=np.float64), prepend=0.0)


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """Limits that an attempt by one model may be given; the last one is none at all.

    Attributes:
        tokens: Output tokens, ascending; the last is past every answer; shape (limits,).
        right_share: Share of the right answers that end within each, in [0, 1]; the last is 1.
        mean_share: Mean tokens of an answer under each limit over those under none, in (0, 1]; the last is 1.
        cuts: `tokens` without the last, shape (limits - 1,).
        right_within_cuts: `right_share` of these.
        saved_by_cuts: 1 less `mean_share` of these.
    """

    tokens: npt.NDArray[np.int64]
    right_share: Floats
    mean_share: Floats
    # Every decision asks for these.
    cuts: npt.NDArray[np.int64] = field(init=False, repr=False, compare=False)
    right_within_cuts: Floats = field(init=False, repr=False, compare=False)
    saved_by_cuts: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cuts", self.tokens[:-1])
        object.__setattr__(self, "right_within_cuts", self.right_share[:-1])
        object.__setattr__(self, "saved_by_cuts", 1.0 - self.mean_share[:-1])


class _Ends:
    """Weighted counts of a model's judged answers by bin of their length."""

    __slots__ = ("cut", "right", "wrong")

    def __init__(self, right: Floats, wrong: Floats, cut: Floats) -> None:
        self.right = right
        self.wrong = wrong
        self.cut = cut

    @classmethod
    def none(cls) -> _Ends:
        return cls(np.zeros(len(EDGES)), np.zeros(len(EDGES)), np.zeros(len(EDGES)))

    def add(self, bin_index: int, *, is_correct: bool, was_cut: bool) -> None:
        self.right *= FORGETTING
        self.wrong *= FORGETTING
        self.cut *= FORGETTING
        (self.cut if was_cut else self.right if is_correct else self.wrong)[bin_index] += 1.0

    def limits(self) -> AnswerLimits | None:
        """Read the table; None when it holds too little."""
        ended = self.right + self.wrong
        if float((ended + self.cut).sum()) < FEWEST_ANSWERS or float(self.right.sum()) < FEWEST_RIGHT:
            return None
        at_risk = (ended + self.cut)[::-1].cumsum()[::-1]
        # A cut answer has left the bin that it was cut in after half of the risk (the actuarial estimate).
        exposed = np.maximum(at_risk - 0.5 * self.cut, 1e-9)
        surviving = np.concatenate(([1.0], np.cumprod(1.0 - np.minimum(1.0, ended / exposed))))
        right = np.cumsum(surviving[:-1] * np.minimum(1.0, self.right / exposed))
        tokens = np.cumsum(0.5 * (surviving[:-1] + surviving[1:]) * _WIDTHS)
        ended_share = 1.0 - surviving[1:]
        last = int(np.flatnonzero(at_risk)[-1])
        found = set(ended_share.searchsorted(np.multiply(LIMITS, ended_share[last])).tolist())
        chosen = sorted(index for index in found if index < last)
        if not chosen:
            return None
        edges = np.array([*(EDGES[index] for index in chosen), MOST_TOKENS], dtype=np.int64)
        picked = [*chosen, last]
        return AnswerLimits(edges, right[picked] / right[last], tokens[picked] / tokens[last])


class AnswerLimitEstimator:
    """Limits by model, learned online from verdicts.

    Args:
        max_models: Models that are remembered; the one that learned least recently is forgotten first.
    """

    def __init__(self, *, max_models: int = 256) -> None:
        self._max_models = max_models
        self._models: dict[str, _Ends] = {}
        self._limits: dict[str, AnswerLimits | None] = {}

    def limits(self, model: str) -> AnswerLimits | None:
        """Limits that an attempt by `model` may be given; None when too little is known of it."""
        found = self._models.get(model)
        if found is None:
            return None
        if model not in self._limits:
            self._limits[model] = found.limits()
        return self._limits[model]

    def learn(self, model: str, completion_tokens: int, *, is_correct: bool, was_cut: bool) -> None:
        """Learn from one judged answer.

        Args:
            model: Who answered.
            completion_tokens: Tokens of the answer; impossible figures teach nothing.
            is_correct: The verdict.
            was_cut: True when a limit ended the answer, whoever set it: what it would have become is not known.
        """
        if not 0 < completion_tokens <= MOST_TOKENS:
            return
        ends = self._models.pop(model, None) or _Ends.none()
        self._models[model] = ends
        bin_index = min(bisect.bisect_left(EDGES, completion_tokens), len(EDGES) - 1)
        ends.add(bin_index, is_correct=is_correct, was_cut=was_cut)
        self._limits.pop(model, None)
        if len(self._models) > self._max_models:
            forgotten = next(iter(self._models))
            del self._models[forgotten]
            self._limits.pop(forgotten, None)

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned, for `restore`."""
        return {
            "version": STATE_VERSION,
            "models": {
                model: {name: [float(f"{count:.6g}") for count in getattr(ends, name)] for name in _ENDS}
                for model, ends in self._models.items()
            },
        }

    def restore(self, state: object) -> None:
        """Replace all that was learned by a copy that `state` made.

        Raises:
            ValueError: The state is malformed or of another version; the text says what, and nothing changes.
        """
        found = as_version(state, STATE_VERSION, "answer limits")
        models: dict[str, _Ends] = {}
        for key, stored in as_object(found.get("models"), "answer limits: models").items():
            model = as_name(key, "answer limits: models")
            where = f"answer limits: models.{model}"
            ends = as_object(stored, where)
            counts = [np.array(as_numbers(ends.get(name), len(EDGES), f"{where}.{name}")) for name in _ENDS]
            if min(float(one.min()) for one in counts) < 0.0:
                raise ValueError(f"{where}: expected counts of at least 0")
            models[model] = _Ends(*counts)
        for model in list(models)[: max(0, len(models) - self._max_models)]:
            del models[model]
        self._models, self._limits = models, {}


_ENDS = ("right", "wrong", "cut")
