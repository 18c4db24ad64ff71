"""What `ttca fit` says when it is done: whether the fit is worth serving, by questions that it had not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extproc.estimate.quality.model import QualityModel

_SURE: Final = 2.0
"""Standard errors of the gain beyond which it is no chance."""

_TOO_FEW: Final = "so few questions that none could be held out: nothing is known of how good it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFit:
    """A model that was fitted and written.

    Attributes:
        model: The model.
        questions: Rows that it was fitted to.
        metrics: Figures on questions held out, as the manifest has them; empty when there were too few.
    """

    model: QualityModel
    questions: int
    metrics: Mapping[str, float]


def tell(fit: WrittenFit, directory: Path) -> str:
    """Say where the model is, for whom, and whether it beats what is known without looking at a prompt."""
    lines = [
        f"Wrote {directory}: a model of {', '.join(fit.model.names)}, fitted to {fit.questions:,} questions."
    ]
    if fit.metrics:
        lines += [_figures(fit.metrics), _judgement(fit.metrics)]
    else:
        lines.append(f"It was fitted to {_TOO_FEW}.")
    lines.append(f"To serve it: quality: {{model_directory: {directory}}} in the fleet file.")
    return "\n".join(lines)


def _figures(metrics: Mapping[str, float]) -> str:
    return (
        f"On {metrics['questions']:,.0f} questions held out: log loss {metrics['log_loss']:.4f}, against "
        f"{metrics['log_loss_of_prior']:.4f} of the prior (each model's share of right answers, whatever is asked); "
        f"calibration error {metrics['calibration_error']:.1%}."
    )


def _judgement(metrics: Mapping[str, float]) -> str:
    gain = metrics["log_loss_of_prior"] - metrics["log_loss"]
    error = metrics["log_loss_gain_error"]
    told = f"{abs(gain):.4f} ± {error:.4f}"
    if gain > _SURE * error:
        return f"The fit beats the prior, by {told} (standard error)."
    if gain < -_SURE * error:
        return f"The fit is worse than the prior, by {told} (standard error): do not serve it; more questions may help."
    return (
        f"The fit is neither better nor worse than the prior ({told}, standard error): prompts tell it nothing that is "
        "sure about who is right. More questions may help; serving it gains nothing."
    )
