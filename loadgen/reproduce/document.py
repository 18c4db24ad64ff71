"""Findings for machines, and how their values are written."""

from __future__ import annotations

import math
from typing import Any

from loadgen.reproduce.findings import Finding
from loadgen.reproduce.run import Reproduction


def as_document(found: Reproduction) -> dict[str, Any]:
    """The content of `summary.json`; figures that are not finite are null."""
    return {
        "seed": found.seed,
        "is_quick": found.is_quick,
        "is_recorded": found.is_recorded,
        "seconds": round(found.seconds, 1),
        "studies": [
            {
                "key": report.key,
                "title": report.title,
                "is_recorded": report.is_recorded,
                "seconds": round(report.seconds, 1),
                "command": found.command(report.key),
            }
            for report in found.reports
        ],
        "failed": [
            {"key": failure.key, "title": failure.title, "error": failure.error} for failure in found.failed
        ],
        "findings": [
            {
                "study": report.key,
                "key": finding.key,
                "claim": finding.claim,
                "published": finding.published,
                "ours": _number(finding.ours.value) if finding.ours else None,
                "interval": [_number(finding.ours.low), _number(finding.ours.high)] if finding.ours else None,
                "unit": finding.unit,
                "verdict": str(finding.verdict),
                "reason": finding.reason,
                "command": found.command(report.key),
                "seed": found.seed,
            }
            for report in found.reports
            for finding in report.findings
        ],
    }


def value_text(finding: Finding) -> str:
    """What was measured, with unit and interval; a dash when nothing was."""
    ours = finding.ours
    if ours is None or not math.isfinite(ours.value):
        return "-"
    unit = f" {finding.unit}" if finding.unit else ""
    value = f"{number_text(ours.value)}{unit}"
    if not (math.isfinite(ours.low) and math.isfinite(ours.high)) or ours.low == ours.high:
        return value
    return f"{value} [{number_text(ours.low)}, {number_text(ours.high)}]"


def number_text(value: float) -> str:
    """A number with three digits that count, thousands apart."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 or value == 0 else f"{value:.2g}"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
