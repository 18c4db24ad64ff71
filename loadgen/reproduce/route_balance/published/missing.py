"""Headlines that nothing here can be held against."""

from __future__ import annotations

from loadgen.reproduce.findings import Finding, Verdict


def not_reproduced(key: str, claim: str, published: str, reason: str) -> Finding:
    """A headline without a figure of ours; the reason is what is lacking."""
    return Finding(
        key=key,
        claim=claim,
        published=published,
        ours=None,
        unit="",
        verdict=Verdict.NOT_REPRODUCED,
        reason=reason,
    )


def missing_parts() -> list[Finding]:
    """Parts of RouteBalance that cannot be taken away here."""
    return [
        not_reproduced(
            "arm_2", "Arm 2 of the isolation.", "not known", "the sources at hand do not say what it changes"
        ),
        not_reproduced(
            "offline_matching",
            "Matching a batch optimally instead of greedily changes few choices and little quality.",
            "15.6 % differ, quality -0.002",
            "no matching is implemented here; batches of one or two leave little to match",
        ),
        not_reproduced(
            "budget",
            "The budget filter exhausts fewer budgets.",
            "-6.3 points, quality +0.015 at 16 requests/s",
            "budgets cut answers, and the recorded outcomes do not say what a cut answer is worth",
        ),
    ]
