"""The studies' figures as `docs/latency-estimates.md`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from loadgen.latency_eval.studies import WINDOWS
from loadgen.token_report import table

Result = Mapping[str, Any]

_HEAD = """# Latency estimates, measured

`python -m loadgen.latency_eval --seed {seed}` writes this file; it took {seconds:.0f} s.

What the service predicts for a request on an instance is its time to the first token and to the last one, each with
quantiles, from what the load book knows at the decision. The form and its learning are described in
[ADR 12](adr/0012-latency.md). Everything here is *prequential*: a request is predicted when it arrives, and learned
from when it has ended, in the order in which a router would have seen it; nothing of the future is used but, where
said, the length of the answer.

* **error**: median of |predicted - measured| / measured, with its 95 % bootstrap interval (blocks of 25 requests in a
  row; whole engines for loads), and the mean (MAPE)
* **within**: share of measured times within the 90 % interval, and **ratio**: its upper end over its lower one (median)
* **static prior**: the speeds of the example fleet file (A100, by model size), in the form of `extproc/estimate/work.py`
* **RouteBalance**: T = TPOT · (d / b + L), with d and b dead-reckoned; TPOT is static (the prior at the running batch)
  or learned by least squares on the running batch, which stands for the paper's trees. It has no time to the first token.
"""

_LIMITS = """## Where it fails

* **Bursts that end before they teach.** Outcomes come with the last token. LLMServingSim's 300 requests arrive within
  29 s, and the first one ends after 16 to 47 s: from a cold start there is little or nothing to learn from, and the
  figures of *recorded traffic* for these three engines are those of a prior for other hardware, where this form, which
  adds parts for load, is as wrong as the static one or more so. It is also a shape that no law of the load at arrival
  can fit: who comes first meets an empty engine that then fills, who comes last a full one that then empties, so that
  decoding takes *less* time the more there is at arrival. A regression whose slope may turn negative (RouteBalance,
  learned) fits such a run better; no engine behaves so, and ours may not.
* **Prefix caches.** aibrix's prompts share some 20,000 tokens. Whether the instance has them cached decides between
  0.07 s and 1.9 s, and the estimator is not told. Its intervals become wide (`ps_*`), as they should.
* **Overload without steady state.** aibrix's runs of 100 s at two and more times the capacity pile up a backlog as
  long as the run. Intervals cover about 76 to 89 % instead of 90 %, since each run is busier than what was learned
  before. It was not recorded who served whom, so that the mean load of the eight replicas is all that is known.
* **Loads at which lengths differ from the usual.** How much prefill there is beside a decoding follows from the
  cluster's mean lengths; closed loops and static batches that change lengths with every load do not fit that. On static
  batches the regression of RouteBalance, which has no prior to overcome, is better once it has seen five loads.
* **Intervals of totals under load hold less often than they say**, on simulated engines at 20 requests/s about 85 %
  instead of 90 %: requests that overlap share their fate, so that a wave of load is over before
  the spread has widened.
* **Learned H is not all H.** It is fitted on the mean of the load at the start and at the end of a request, which
  removes most, not all, of the regression dilution; where context lengths grow with load, part of their cost goes to W.
"""


def render(result: Result, *, seed: int, seconds: float) -> str:
    """The document."""
    sections = [_HEAD.format(seed=seed, seconds=seconds)]
    if "recorded" in result:
        sections += [
            _scores(
                "## Recorded traffic, from a cold start",
                "Lengths of answers are taken as known. Rows are in bold where the median is the best.",
                result["recorded"],
            ),
            _scores(
                "## Recorded bursts, learned on one half",
                "The same three engines, learned on every other request (three passes) and judged on those between.",
                result["crossed"],
            ),
            _points(result["points"]),
        ]
    sections += [
        _simulated(result["simulated"]),
        _wrong(result["wrong priors"]),
        _changes(result["changes"]),
        _routing(result["routing"]),
        _compute(result["compute"]),
        _LIMITS,
    ]
    return "\n".join(sections)


def _percent(value: float, digits: int = 0) -> str:
    return "" if math.isnan(value) else f"{100 * value:.{digits}f} %"


def _error(cell: Result) -> str:
    if math.isnan(cell["median"]):
        return ""
    return f"{100 * cell['median']:.0f} % ({100 * cell['low']:.0f} to {100 * cell['high']:.0f})"


def _scores(title: str, text: str, traces: Result) -> str:
    rows = []
    for trace, found in traces.items():
        predictors = found["predictors"]
        for name, cell in predictors.items():
            errors = []
            for figure in ("ttft", "total"):
                medians = [other[figure]["median"] for other in predictors.values()]
                shown = _error(cell[figure])
                is_best = cell[figure]["median"] == min(m for m in medians if not math.isnan(m))
                errors.append(f"**{shown}**" if is_best else shown)
            ttft, total = cell["ttft"], cell["total"]
            width = "" if math.isnan(total["width"]) else f"{total['width']:.1f}"
            rows.append(
                [
                    trace if name == next(iter(predictors)) else "",
                    name,
                    errors[0],
                    _percent(ttft["mean"]),
                    _percent(ttft["coverage"]),
                    errors[1],
                    _percent(total["mean"]),
                    _percent(total["coverage"]),
                    width,
                ]
            )
    header = ("trace", "form", "TTFT error", "MAPE", "within", "total error", "MAPE", "within", "ratio")
    return f"{title}\n\n{text}\n\n" + table(header, rows)


def _points(result: Result) -> str:
    rows = []
    for study, found in result.items():
        for name, cell in found["predictors"].items():
            is_first = name == next(iter(found["predictors"]))
            rows.append(
                [
                    f"{study}: {found['groups']} engines, {found['loads']} loads" if is_first else "",
                    name,
                    *(
                        _error(cell[when][figure])
                        for when in ("first", "later")
                        for figure in ("ttft", "total")
                    ),
                ]
            )
    header = ("source", "form", "TTFT, first five", "total, first five", "TTFT, later", "total, later")
    return (
        "## Published loads\n\nMean latencies by lengths and concurrency: aiconfigurator's closed loops on vLLM and "
        "Splitwise's static batches. Loads come in random order (five orders), each predicted before it is learned; "
        "each engine starts at the same prior, that of an 8B model on an A100.\n\n" + table(header, rows)
    )


def _simulated(result: Result) -> str:
    rows = []
    for load, cases in result.items():
        for case, found in cases.items():
            for name, cell in found["predictors"].items():
                ttft, total = cell["ttft"], cell["total"]
                rows.append(
                    [
                        load,
                        case,
                        name,
                        _error(ttft),
                        _percent(ttft["coverage"]),
                        _error(total),
                        _percent(total["coverage"]),
                    ]
                )
    header = ("load", "case", "form", "TTFT error", "within", "total error", "within")
    return (
        "## Simulated engines\n\nFour instances of the simulated engine (W 8 ms, H 0.65 ms, 16,000 tokens/s, 64 slots), "
        "Poisson arrivals, log-normal lengths, the fewest sequences first; the declared speeds are right. *Unknown "
        "length*: predicted with the usual length, intervals with its spread. *Not streamed*: only totals are "
        "learned, the times to the first token never seen.\n\n" + table(header, rows)
    )


def _wrong(result: Result) -> str:
    rows = [
        [prior, name, *(_percent(error, 1) for error in found[name])]
        for prior, found in result.items()
        for name in ("static", "learned")
    ]
    speeds = [
        [prior, *(f"{found['speed'][name]:.2f}" for name in ("W", "H", "1/R"))]
        for prior, found in result.items()
    ]
    windows = [f"{start + 1} to {end}" for start, end in WINDOWS]
    return (
        "## From a wrong prior\n\nThe same engines at 10 requests/s, when the fleet file states a fraction or a "
        "multiple of their times: median error of the total by number of the request.\n\n"
        + table(("declared", "", *windows), rows)
        + "\nThe speeds as learned at the end, over the true ones:\n\n"
        + table(("declared", "W", "H", "1/R"), speeds)
    )


def _changes(result: Result) -> str:
    uneven, slowed = result["uneven"], result["slowed"]
    windows = [f"{start + 1} to {end}" for start, end in WINDOWS[:-1]]
    rows = [
        ["learned", *(_percent(error, 1) for error in slowed["windows"])],
        ["static", *(_percent(error, 1) for error in slowed["static windows"])],
    ]
    return (
        "## Instances that differ, engines that change\n\nOne of four instances takes 1.5 times as long as its cluster: "
        f"its factor was learned as {uneven['learned factor']:.2f}, and over the later half of 1,000 requests the "
        f"median error of totals is {_percent(uneven['slow instance, later half'], 1)} on it and "
        f"{_percent(uneven['other instances, later half'], 1)} on the others.\n\nAll instances take 1.5 times as long "
        f"from one request to the next (before: {_percent(slowed['before'], 1)}); requests since:\n\n"
        + table(("", *windows), rows)
    )


def _routing(result: Result) -> str:
    rows = [
        [
            name,
            f"{fmean(cell['mean']):.2f} s ({min(cell['mean']):.2f} to {max(cell['mean']):.2f})",
            f"{fmean(cell['p95']):.1f} s",
        ]
        for name, cell in result.items()
    ]
    return (
        "## What it is worth to a router\n\nTwo clusters of two simulated instances, one half as fast as the other, "
        "at 12 requests/s. Each request goes where its predicted total and the delay that it causes others are least. "
        "Means over five seeds (least to greatest).\n\n" + table(("speeds", "mean latency", "p95"), rows)
    )


def _compute(result: Result) -> str:
    rows = [[size, f"{cell['predict']:.0f} µs", f"{cell['learn']:.0f} µs"] for size, cell in result.items()]
    return (
        "## Compute\n\nOne prediction on all instances, a quarter of them full, and one lesson; best of seven means of "
        "300, on one core.\n\n" + table(("instances", "predict", "learn"), rows)
    )
