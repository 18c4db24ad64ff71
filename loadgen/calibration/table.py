"""The results as Markdown, and their place in the document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loadgen.calibration.studies import StudyResult

BEGIN = "<!-- calibration: written by `python -m loadgen.calibration`, do not edit -->"
END = "<!-- calibration: end -->"

_COLUMNS = (
    "engine", "W ms", "H ms", "A ns", "R tokens/s", "fitted on", "held out", "TTFT", "TPOT", "E2E",
    "running ±", "waiting ±",
)  # fmt: skip


def to_markdown(sections: Sequence[tuple[str, Sequence[StudyResult]]]) -> str:
    """One table per study; errors are the held-out medians of |simulated - measured| / measured."""
    parts = []
    for title, results in sections:
        with_load = any(result.load_errors is not None for result in results)
        columns = _COLUMNS if with_load else _COLUMNS[:-2]
        lines = [
            f"### {title}",
            "",
            f"| {' | '.join(columns)} |",
            f"| --- |{' ---: |' * (len(columns) - 1)}",
            *(f"| {' | '.join(_cells(result))} |" for result in results),
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def write_between_markers(path: Path, text: str) -> None:
    """Replace what stands between the markers of a document.

    Raises:
        ValueError: When the document does not have both markers, in order.
    """
    document = path.read_text(encoding="utf-8")
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {BEGIN!r} and {END!r}")
    path.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


def _cells(result: StudyResult) -> list[str]:
    speed, errors = result.speed, result.errors
    cells = [
        result.label,
        f"{speed.base_seconds * 1e3:.2f}",
        f"{speed.per_sequence_seconds * 1e3:.4f}",
        f"{speed.per_context_token_seconds * 1e9:.1f}",
        f"{speed.prefill_tokens_per_second:.0f}",
        str(result.fitted_on),
        str(result.held_out),
        f"{errors.ttft:.1%}",
        f"{errors.tpot:.1%}",
        f"{errors.e2e:.1%}",
    ]
    if result.load_errors is not None:
        cells.extend(f"{error:.1f}" for error in result.load_errors)
    return cells
