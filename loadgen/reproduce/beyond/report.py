"""What the runs say: findings, tables and charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from loadgen.reproduce.beyond.arms import ARMS, OURS, OWN, SECONDS_PER_USD, THRIFTY
from loadgen.reproduce.beyond.charts import EQUAL_SUCCESS, all_charts
from loadgen.reproduce.beyond.frontier import (
    Comparison,
    Frontiers,
    Reading,
    against_best,
    at_share,
    compare_points,
    mean_ratio,
)
from loadgen.reproduce.beyond.measure import Measured
from loadgen.reproduce.document import number_text
from loadgen.reproduce.findings import Finding, StudyReport, Table, Verdict
from loadgen.virtual.summary import Figure

BASELINES: Sequence[str] = tuple(arm for arm in ARMS if arm not in OWN)
STACKED: Sequence[str] = tuple(arm for arm in ARMS if arm.startswith("stacked"))

FAST: Sequence[str] = ("laar", "stacked_laar")
"""Baselines that keep up under load: the others save GPU time by letting requests wait for small models."""

MOST_WORSE = 1.03
"""Ratio up to which ours counts as never worse."""

AIM = 0.7
"""Ratio over all requests that is aimed at under high load."""

ALL, TTCA = "all_seconds", "ttca_seconds"

Loads = Mapping[float, Frontiers]


def write_report(
    loads: Loads, *, key: str, title: str, requests: int, seeds: int, is_recorded: bool
) -> StudyReport:
    """Make the report of the runs; `loads` ascends by rate."""
    shown = dict.fromkeys((min(loads), high_rates(loads)[0]))
    return StudyReport(
        key=key,
        title=title,
        setting=_setting(loads, requests, seeds),
        findings=tuple(_findings(loads)),
        tables=(_ratio_table(loads), _equal_table(loads), *(_points_table(loads, rate) for rate in shown)),
        charts=all_charts(loads, high_rates(loads)[0]),
        is_recorded=is_recorded,
    )


def high_rates(loads: Loads) -> tuple[float, ...]:
    """The rates that count as high load: the upper two fifths, at least one."""
    rates = sorted(loads)
    return tuple(rates[-max(1, len(rates) * 2 // 5) :])


def _setting(loads: Loads, requests: int, seeds: int) -> str:
    rates = ", ".join(f"{rate:g}" for rate in loads)
    return (
        "Five models from 2B to 70B, each with two instances of 8K context and 128 sequences and two of 64K and 16, "
        "36 GPUs in all. Of the requests 64 % are English (GSM and CRUX with recorded answers), 20 % Japanese or Chinese, "
        "16 % ask for a fact in 4K to 48K tokens; wrong answers hang together. Verification is perfect. "
        f"Poisson arrivals at {rates} requests/s, {requests} requests per run, {seeds} seed(s). "
        "The baselines know the speeds and every prompt's exact tokens, and expect answers by model and kind of text; the plan "
        "estimates all of it. "
        "The stacked arms choose the model, then the pool, then the instance, and go down their list of models after a wrong "
        "answer; pools + LAAR chooses model and instance together within the pool. Giving up early makes any policy "
        "fast, so arms are compared at equal final success, each knob swept: retry caps 1 to 5, and for the plan what a "
        "correct answer is worth. Where money is weighed, a dollar counts as "
        f"{SECONDS_PER_USD:g} seconds. Intervals are over questions and seeds."
    )


def _findings(loads: Loads) -> list[Finding]:
    high = high_rates(loads)
    found = []
    for name, arms, metric, rates in (
        ("laar_high_load", ["laar"], ALL, high),
        ("laar_our_chances_high_load", ["laar_fitted"], ALL, high),
        ("stacked_high_load", STACKED, ALL, high),
        ("laar_average", ["laar"], ALL, tuple(loads)),
        ("stacked_average", STACKED, ALL, tuple(loads)),
        ("laar_average_ttca", ["laar"], TTCA, tuple(loads)),
        ("stacked_average_ttca", STACKED, TTCA, tuple(loads)),
    ):
        found.append(_beats(loads, name, arms, metric, rates))
    found += [_never_worse(loads, ALL), _never_worse(loads, TTCA)]
    for metric, what in (
        ("usd", "Money per correct answer"),
        ("gpu_seconds", "GPU time per correct answer"),
    ):
        found += [_cheaper(loads, metric, what, OURS), _cheaper(loads, metric, what, THRIFTY)]
    found.append(_cheaper(loads, "gpu_seconds", "GPU time per correct answer", THRIFTY, FAST))
    found.append(_thrift(loads))
    return found


def _beats(loads: Loads, name: str, arms: Sequence[str], metric: str, rates: Sequence[float]) -> Finding:
    """Ours against the best of some baselines, averaged over rates and successes."""
    comparisons = [one for rate in rates for one in against_best(loads[rate], OURS, arms, metric)]
    ratio = mean_ratio(comparisons).figure()
    what = "mean time over all requests" if metric == ALL else "mean TTCA over solved requests"
    whom = "the best stacked baseline" if len(arms) > 1 else ARMS[arms[0]].title
    where = "at all loads" if len(rates) == len(loads) else f"at {_rates(rates)} requests/s"
    aims = metric == ALL and len(rates) < len(loads)
    verdict, reason = _judge(ratio, aims=aims)
    return Finding(
        key=f"against_{name}",
        claim=f"At equal final success the fused plan has less {what} than {whom}, {where}.",
        published="",
        ours=ratio,
        unit="x",
        verdict=verdict,
        reason=f"{reason} Mean of {len(comparisons)} comparisons.",
    )


def _judge(ratio: Figure, *, aims: bool) -> tuple[Verdict, str]:
    if not ratio.high < 1.0:
        reason = "The interval holds 1." if ratio.low <= 1.0 else "It has more."
        return Verdict.FAILS, reason
    if aims and ratio.value > AIM:
        return Verdict.CONDITIONAL, f"Less, but not the {AIM:g} that is aimed at."
    return Verdict.HOLDS, "The interval excludes 1."


def _never_worse(loads: Loads, metric: str) -> Finding:
    found = [(rate, one) for rate in loads for one in against_best(loads[rate], OURS, BASELINES, metric)]
    name = "all" if metric == ALL else "ttca"
    what = "mean time over all requests" if metric == ALL else "mean TTCA over solved requests"
    claim = (
        f"At no load and no success is the fused plan more than 3 % worse in {what} than the best baseline."
    )
    if not found:
        return _missing(f"never_worse_{name}", claim)
    rate, worst = max(found, key=lambda pair: pair[1].ratio.value)
    figure = worst.ratio.figure()
    exceeding = [one for _, one in found if one.ratio.value > MOST_WORSE]
    verdict = Verdict.HOLDS
    if exceeding:
        sure = [one for one in exceeding if one.ratio.figure().low > MOST_WORSE]
        verdict = Verdict.FAILS if sure else Verdict.CONDITIONAL
    return Finding(
        key=f"never_worse_{name}",
        claim=claim,
        published="",
        ours=figure,
        unit="x",
        verdict=verdict,
        reason=(
            f"Worst at {rate:g} requests/s and success {worst.success:.3f}, against {ARMS[worst.arm].title}; "
            f"more than 3 % worse in {len(exceeding)} of {len(found)} comparisons.{_aside(metric)}"
        ),
    )


def _aside(metric: str) -> str:
    if metric == ALL:
        return ""
    return " This mean leaves out the time spent on requests that stay unsolved, which is what the plan saves first."


def _cheaper(
    loads: Loads, metric: str, what: str, ours: str, baselines: Sequence[str] = ("laar", *STACKED)
) -> Finding:
    rate = high_rates(loads)[0]
    comparisons = [
        Comparison(
            arm=arm, knob=0.0, success=EQUAL_SUCCESS, ratio=_equal_ratio(loads[rate], ours, arm, metric)
        )
        for arm in baselines
    ]
    known = [one for one in comparisons if math.isfinite(one.ratio.value)]
    whom = "LAAR and the stacked baselines"
    key = f"cheaper_{metric}" if ours == OURS else f"thrifty_{metric}"
    if baselines is FAST:
        whom, key = " and ".join(ARMS[arm].title for arm in baselines), f"{key}_fast"
    claim = f"{what} is less with the {ARMS[ours].title} than with {whom} ({rate:g} requests/s, success {EQUAL_SUCCESS:g})."
    if not known:
        return _missing(key, claim)
    worst = max(known, key=lambda one: one.ratio.value)
    figure = worst.ratio.figure()
    slower = _equal_ratio(loads[rate], worst.arm, ours, ALL).value
    return Finding(
        key=key,
        claim=claim,
        published="",
        ours=figure,
        unit="x",
        verdict=Verdict.HOLDS if figure.high < 1.0 else Verdict.FAILS,
        reason=f"The closest baseline is {ARMS[worst.arm].title}, whose requests take {slower:.2f} times as long.",
    )


def _thrift(loads: Loads) -> Finding:
    """What weighing money costs in time."""
    rate = high_rates(loads)[0]
    time = _equal_ratio(loads[rate], THRIFTY, OURS, ALL)
    usd, gpu = (_equal_ratio(loads[rate], THRIFTY, OURS, metric).value for metric in ("usd", "gpu_seconds"))
    claim = (
        f"With a dollar weighed as {SECONDS_PER_USD:g} seconds the plan saves money at no more than 3 % of its time "
        f"({rate:g} requests/s, success {EQUAL_SUCCESS:g})."
    )
    if not math.isfinite(time.value):
        return _missing("thrift", claim)
    figure = time.figure()
    verdict = Verdict.HOLDS if figure.value <= MOST_WORSE else Verdict.CONDITIONAL
    return Finding(
        key="thrift",
        claim=claim,
        published="",
        ours=figure,
        unit="x",
        verdict=verdict,
        reason=f"Its time over the plan's that weighs time alone; {usd:.2f} of its dollars and {gpu:.2f} of its GPU time.",
    )


def _missing(key: str, claim: str) -> Finding:
    return Finding(
        key=key,
        claim=claim,
        published="",
        ours=None,
        unit="x",
        verdict=Verdict.NOT_REPRODUCED,
        reason="No success is reached by both sides in this run.",
    )


def _equal_ratio(frontiers: Frontiers, ours: str, arm: str, metric: str) -> Reading:
    mine = at_share(frontiers[ours], metric, EQUAL_SUCCESS)
    theirs = at_share(frontiers[arm], metric, EQUAL_SUCCESS)
    return Reading(mine.value / theirs.value, mine.resamples / theirs.resamples)


def _ratio_table(loads: Loads) -> Table:
    rows = []
    for rate, frontiers in loads.items():
        for arm in BASELINES:
            cells = []
            for metric in (ALL, TTCA):
                found = compare_points(frontiers[OURS], arm, frontiers[arm], metric)
                worst = max((one.ratio.value for one in found), default=math.nan)
                cells += [_cell(mean_ratio(found).figure()), number_text(worst)]
            rows.append((f"{ARMS[arm].title}, {rate:g}/s", *cells))
    return Table(
        title="The fused plan's time over each baseline's, at the baseline's success",
        columns=(
            "baseline, requests/s",
            "all requests: mean ratio",
            "worst",
            "TTCA, solved: mean ratio",
            "worst",
        ),
        rows=tuple(rows),
        note="Geometric mean over the baseline's retry caps whose success the plan reaches; below 1 the plan needs less.",
    )


def _equal_table(loads: Loads) -> Table:
    rows = []
    for rate, frontiers in loads.items():
        for arm, points in frontiers.items():
            at = {
                metric: at_share(points, metric, EQUAL_SUCCESS).figure()
                for metric in (ALL, TTCA, "attempts", "usd", "gpu_seconds")
            }
            within = best_within(points)
            rows.append(
                (
                    f"{ARMS[arm].title}, {rate:g}/s",
                    _cell(at[ALL]),
                    _cell(at[TTCA]),
                    number_text(at["attempts"].value),
                    number_text(1000 * at["usd"].value),
                    number_text(at["gpu_seconds"].value),
                    *within,
                )
            )
    return Table(
        title=f"What each arm needs for a final success of {EQUAL_SUCCESS:g}, and its best success within a deadline",
        columns=(
            "arm, requests/s",
            "mean time, all (s)",
            "TTCA, solved (s)",
            "tries",
            "$ / 1000 correct",
            "GPU-s / correct",
            "within 5 s",
            "within 10 s",
            "within 30 s",
        ),
        rows=tuple(rows),
        note="Each column is read off its own frontier: the least that the arm needs of it. Success within a deadline is over all requests.",
    )


def best_within(points: Sequence[Measured]) -> tuple[str, ...]:
    """The best success within each deadline that an arm has at any value of its knob."""
    return tuple(
        f"{max(point.values[f'within_{limit}'] for point in points):.3f}" for limit in ("5", "10", "30")
    )


def _points_table(loads: Loads, rate: float) -> Table:
    rows = []
    for arm, points in loads[rate].items():
        for point in points:
            of = point.values
            rows.append(
                (
                    ARMS[arm].title,
                    f"{point.knob:g}",
                    f"{of['success']:.3f}",
                    f"{of['first']:.3f}",
                    _cell(point.figure(TTCA)),
                    _cell(point.figure(ALL)),
                    number_text(of["attempts"]),
                    number_text(1000 * of["usd"]),
                    number_text(of["gpu_seconds"]),
                    f"{of['within_10']:.3f}",
                    f"{point.busy_share:.2f}",
                )
            )
    return Table(
        title=f"Every point at {rate:g} requests/s",
        columns=(
            "arm",
            "knob",
            "success",
            "first",
            "TTCA, solved (s)",
            "mean, all (s)",
            "tries",
            "$ / 1000 correct",
            "GPU-s / correct",
            "within 10 s",
            "busy",
        ),
        rows=tuple(rows),
        note="Knob: retry cap; for the plan, seconds that a correct answer is worth. Busy: mean share of the time that engines compute.",
    )


def _cell(figure: Figure) -> str:
    if not math.isfinite(figure.value):
        return "not reached"
    if not math.isfinite(figure.low):
        return number_text(figure.value)
    return f"{number_text(figure.value)} [{number_text(figure.low)}, {number_text(figure.high)}]"


def _rates(rates: Sequence[float]) -> str:
    return " and ".join(f"{rate:g}" for rate in rates)
