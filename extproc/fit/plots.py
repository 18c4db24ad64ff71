"""Draws calibration before and after failures. Needs matplotlib, which the service itself does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypedDict


class CalibrationBin(TypedDict):
    """As `evaluate.calibration_after_failures` writes it."""

    predicted: float
    observed: float
    count: int


class Calibration(TypedDict):
    """A curve and its expected calibration error."""

    error: float
    bins: Sequence[CalibrationBin]


_TITLES: Final = ("before any failure", "after one model failed", "after two models failed")
_STYLES: Final = {"coupled": ("#1b6ca8", "one latent difficulty"), "independent": ("#c8553d", "independence")}


def draw_calibration(curves: Mapping[str, Calibration], path: Path) -> bool:
    """Draw predicted against observed as SVG; False when matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    for failures, (axes, title) in enumerate(zip(figure.subplots(1, 3, sharey=True), _TITLES, strict=True)):
        axes.plot((0, 1), (0, 1), color="#999999", linewidth=1, linestyle="--")
        for kind, (colour, label) in _STYLES.items():
            curve = curves.get(f"after {failures}, {kind}")
            if curve is None:
                continue
            axes.plot(
                [each["predicted"] for each in curve["bins"]],
                [each["observed"] for each in curve["bins"]],
                color=colour,
                marker="o",
                markersize=4,
                label=f"{label} (error {curve['error']:.3f})",
            )
        axes.set(title=title, xlabel="predicted chance", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        if len(axes.lines) > 1:
            axes.legend(loc="upper left", fontsize=8, frameon=False)
    figure.supylabel("share that was right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    return True
