"""The quality estimate in service: the fitted model, declared priors for models it does not know, and what answers
have taught since, within guard rails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from extproc.estimate.quality.coupling import WEIGHTS, Floats, tabulate
from extproc.estimate.quality.features import PromptFeatures
from extproc.estimate.quality.model import QualityModel, bounded, chances_after
from extproc.estimate.quality.priors import log_odds, prior_model
from extproc.estimate.stored import as_count, as_name, as_numbers, as_object, as_version

STATE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rails:
    """How far and how fast answers may move an estimate, all in log odds.

    Attributes:
        fitted: Most that a fitted model's own shift may reach.
        declared: The same for a model of which only a prior is declared: there is more to learn.
        common: Most that the shift of all models together may reach: the traffic is harder or easier than the data.
        step: Most that one answer moves a shift.
        fitted_spread, declared_spread, common_spread: Standard deviations believed before the first answer.
        most_samples: Answers that a shift remembers: old ones fade beyond, so that it keeps following.
    """

    fitted: float = 1.0
    declared: float = 2.5
    common: float = 0.75
    step: float = 0.25
    fitted_spread: float = 0.5
    declared_spread: float = 1.0
    common_spread: float = 0.25
    most_samples: int = 1_000


@dataclass(slots=True)
class _Shift:
    """What was learned of one model: its log odds are off by `value`, known with `variance`."""

    value: float
    variance: float
    samples: int = 0


class QualityEstimator:
    """P(correct | prompt, model), kept up to date by verdicts and feedback.

    The shift of a model is tracked by the extended Kalman filter for a logistic observation (Fahrmeir 1992): an answer
    moves it by its variance times the residual, common and own part in proportion to their variances.

    Args:
        model: The fitted model; None for one that knows no model.
        declared: Chance, in (0, 1), of each model that the fit does not know, over the traffic at large.
        rails: Bounds on what answers may do.
        max_models: Models whose answers are remembered; the one that learned least recently is forgotten first.

    Raises:
        ValueError: A declared chance is not in (0, 1).
    """

    def __init__(
        self,
        model: QualityModel | None = None,
        *,
        declared: Mapping[str, float] | None = None,
        rails: Rails | None = None,
        max_models: int = 256,
    ) -> None:
        self._model = model or prior_model()
        self._declared = {name: log_odds(chance) for name, chance in (declared or {}).items()}
        self._rails = rails or Rails()
        self._max_models = max_models
        self._common = self._unlearned_common()
        self._own: dict[str, _Shift] = {}
        self._offsets = self._all_offsets()

    @property
    def model(self) -> QualityModel:
        """The fitted model in use."""
        return self._model

    def declare(self, chances: Mapping[str, float]) -> None:
        """Replace the declared chances; what answers have taught is kept.

        Raises:
            ValueError: A chance is not in (0, 1).
        """
        self._declared = {name: log_odds(chance) for name, chance in chances.items()}
        self._offsets = self._all_offsets()

    def node_table(self, features: PromptFeatures, models: Sequence[str]) -> tuple[Floats, Floats]:
        """As `QualityModel.node_table`, with declared priors and what answers have taught."""
        fit = self._model
        odds, trust = fit.log_odds(features)
        slopes = fit.slopes_at(trust)
        rows = [fit.row(model) for model in models]
        offset = self._offsets.get
        own = np.array([offset(model, 0.0) for model in models])
        own += self._common.value
        return WEIGHTS, tabulate(bounded(odds[rows] + own), slopes[rows])

    def chances(self, features: PromptFeatures, models: Sequence[str], failed: Sequence[str] = ()) -> Floats:
        """P(correct) of each model, given that those in `failed` have answered this very question wrongly."""
        _, table = self.node_table(features, (*models, *dict.fromkeys(failed)))
        return chances_after(table, models, failed, self._model.repeat_share)

    def learn(self, model: str, features: PromptFeatures, correct: bool, failed: Sequence[str] = ()) -> None:
        """Learn from one judged answer of `model`.

        Args:
            model: The model that answered.
            features: What was asked.
            correct: The verdict.
            failed: Models that had failed on the question before: it is then likely a hard one, and a failure is less
                of a surprise. A model's second failure on one question teaches nothing.
        """
        if model not in failed:
            expected = float(self.chances(features, (model,), failed)[0])
            self.learn_against(model, expected=expected, correct=correct)

    def learn_against(self, model: str, *, expected: float, correct: bool) -> None:
        """Learn from one judged answer whose chance was said to be `expected` when it was planned.

        An `expected` that is no number from 0 to 1 teaches nothing: it has passed through hands other than ours.
        """
        if not 0.0 <= expected <= 1.0:
            return
        rails = self._rails
        own = self._own.pop(model, None) or self._unlearned(model)
        common = self._common
        information = max(expected * (1.0 - expected), 0.02)
        gain = 1.0 / (1.0 + (own.variance + common.variance) * information)
        surprise = (1.0 if correct else 0.0) - expected
        rail = rails.fitted if self._model.knows(model) else rails.declared
        for shift, limit in ((own, rail), (common, rails.common)):
            step = shift.variance * gain * surprise
            step = min(rails.step, max(-rails.step, step))
            shift.value = min(limit, max(-limit, shift.value + step))
            # The floor is what makes old answers fade.
            least = 1.0 / (0.25 * rails.most_samples)
            shift.variance = max(
                min(least, shift.variance), shift.variance * (1.0 - shift.variance * gain * information)
            )
            shift.samples += 1
        self._own[model] = own
        self._offsets[model] = self._offset(model)
        if len(self._own) > self._max_models:
            forgotten = next(iter(self._own))
            del self._own[forgotten]
            self._offsets[forgotten] = self._offset(forgotten)
            if forgotten not in self._declared:
                del self._offsets[forgotten]

    def replace(self, model: QualityModel) -> None:
        """Take over a new fit. What was learned corrected the old one, and is forgotten."""
        self._model = model
        self._common = self._unlearned_common()
        self._own = {}
        self._offsets = self._all_offsets()

    def samples(self, model: str) -> int:
        """Answers of the model that were learned from."""
        own = self._own.get(model)
        return own.samples if own else 0

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned, for `restore`."""
        return {
            "version": STATE_VERSION,
            "fit": self._model.fit_id,
            "common": _stored(self._common),
            "models": {name: _stored(shift) for name, shift in self._own.items()},
        }

    def restore(self, state: object) -> None:
        """Replace all that was learned by a copy that `state` made.

        Raises:
            ValueError: The state is malformed, of another version, or corrects another fit than the one in use; the
                text says what, and nothing changes.
        """
        found = as_version(state, STATE_VERSION, "quality state")
        if found.get("fit", "") != self._model.fit_id:
            raise ValueError("quality state: what was learned corrects another fitted model")
        common = _restored(found.get("common"), self._unlearned_common(), self._rails.common, "common")
        own: dict[str, _Shift] = {}
        for key, stored in as_object(found.get("models"), "quality state: models").items():
            name = as_name(key, "quality state: models")
            rail = self._rails.fitted if self._model.knows(name) else self._rails.declared
            own[name] = _restored(stored, self._unlearned(name), rail, f"models.{name}")
        for name in list(own)[: max(0, len(own) - self._max_models)]:
            del own[name]
        self._common, self._own = common, own
        self._offsets = self._all_offsets()

    def _all_offsets(self) -> dict[str, float]:
        return {model: self._offset(model) for model in (*self._declared, *self._own)}

    def _offset(self, model: str) -> float:
        """What to add to the fit's log odds of a model, beside what is common to all."""
        own = self._own.get(model)
        offset = own.value if own else 0.0
        if model in self._declared and not self._model.knows(model):
            offset += self._declared[model] - float(self._model.bias[-1])
        return offset

    def _unlearned(self, model: str) -> _Shift:
        rails = self._rails
        spread = rails.fitted_spread if self._model.knows(model) else rails.declared_spread
        return _Shift(0.0, spread**2)

    def _unlearned_common(self) -> _Shift:
        return _Shift(0.0, self._rails.common_spread**2)


def _stored(shift: _Shift) -> dict[str, object]:
    return {"shift": [float(f"{shift.value:.6g}"), float(f"{shift.variance:.6g}")], "samples": shift.samples}


def _restored(stored: object, unlearned: _Shift, rail: float, where: str) -> _Shift:
    found = as_object(stored, f"quality state: {where}")
    value, variance = as_numbers(found.get("shift"), 2, f"quality state: {where}.shift")
    if variance <= 0.0:
        raise ValueError(f"quality state: {where}.shift: expected a variance above 0, got {variance}")
    samples = as_count(found.get("samples"), f"quality state: {where}.samples")
    return _Shift(min(rail, max(-rail, value)), min(variance, unlearned.variance), samples)
