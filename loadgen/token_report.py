"""Renders the evaluation of the token estimates as markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]

_INTRODUCTION = """# Token estimates, measured

`python -m loadgen.token_eval --seed {seed}` writes this file; it took {seconds} s.

{tested} texts with known token counts in four vocabularies (o200k, cl100k, llama3, llama2) stand for four models.
The service's priors are fitted on the other {fitted} texts, and the two halves share no language except English and
Python, of which they hold different texts. (The priors that ship are fitted on both halves.) The texts are short:
nine in ten are below 900 bytes. Counts are of the bare text, without chat templates.

* **error**: mean absolute percentage error of the expected count, with its 95 % bootstrap interval
* **under**: share of texts whose expected count lies below the true one
* **upper under**: the same for the conservative count, the one held against context limits; this service aims at 2.5 %
* **slack**: how far the conservative count lies above the true one on average

The paper's ratios (arXiv 2604.08075) and its authors' code get each text's category from this service's own profile,
since the paper leaves open where it comes from.
"""

_LIMITS = """## Where it fails

* Short English questions are overestimated, by about a tenth below 40 tokens: their words are plainer than those of
  the texts that the figures come from.
* Before calibration, base64 is underestimated by about a third and random letters by a quarter; long numbers are
  overestimated by half, and runs of one character many times over. None of these is in the tables.
* Within one category, languages differ (`rare` spans Armenian, which o200k knows, and Ethiopic, which it spells byte
  by byte). The expected count is then right on average only, and the conservative count pays for it.
* The conservative count is calibrated over a model's whole traffic: languages that are a small part of it can exceed
  their share of misses.
* Code is measured on short Python functions only; texts of other source files may not be copied into the data.
* The long prompts are made of many short texts, whose errors cancel; real long documents are more of one piece.
* Spreads, noise and step sizes were set by hand with both halves in sight; the figures by category and the weights
  that tell English from other languages were fitted on one half only.
* No vocabulary of Qwen, DeepSeek, Gemma or Mistral is in the data.
"""


def render(result: Result) -> str:
    """The whole document."""
    introduction = _INTRODUCTION.format(
        seed=result["seed"],
        seconds=result["seconds"],
        **{key: f"{n:,}" for key, n in result["samples"].items()},
    )
    sections = [
        introduction,
        _accuracy("## Before any usage is seen", result["cold"]),
        _accuracy("## Online: each text is predicted, then learned", result["online"]),
        _groups(result["online"]),
        _convergence(result["convergence"]),
        _misroutes(result["misroutes"]),
        _figures(result["bytes_per_token"]),
        _outputs(result["output_lengths"]),
        _LIMITS,
    ]
    return "\n".join(sections)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table; the first column is left-aligned, the others right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %"


def _interval(value: Mapping[str, float]) -> str:
    return f"{100 * value['mean']:.1f} % ({100 * value['low']:.1f} to {100 * value['high']:.1f})"


def _accuracy(title: str, streams: Result) -> str:
    rows = []
    for name, part in streams.items():
        cells = {"all": part["all"], **part["vocabularies"]}
        rows += [
            [
                f"**{name}**" if key == "all" else name,
                f"**{key}**" if key == "all" else key,
                _interval(cell["mape"]),
                percent(cell["under_rate"]["mean"]),
                _interval(cell["upper_under_rate"]),
                percent(cell["upper_slack"]["mean"]),
            ]
            for key, cell in cells.items()
        ]
    return f"{title}\n\n" + table(("estimator", "vocabulary", "error", "under", "upper under", "slack"), rows)


def _groups(streams: Result) -> str:
    names = list(streams)
    header = [
        "text",
        "counts",
        *(f"error, {name}" for name in names),
        *(f"upper under, {name}" for name in names),
    ]
    rows = [
        [
            group,
            str(cell["texts"]),
            *(percent(streams[name]["groups"][group]["mape"]["mean"]) for name in names),
            *(percent(streams[name]["groups"][group]["upper_under_rate"]["mean"]) for name in names),
        ]
        for group, cell in streams[names[0]]["groups"].items()
    ]
    return "### The same by kind of text, over the four vocabularies\n\n" + table(header, rows)


def _convergence(groups: Result) -> str:
    names = list(next(iter(groups.values()), {}))
    header = ["text", *(f"sum, {name}" for name in names), *(f"per text, {name}" for name in names)]
    rows = [
        [group, *(percent(cell[name][0]) for name in names), *(percent(cell[name][1]) for name in names)]
        for group, cell in groups.items()
    ]
    return (
        "## After 50 texts of one kind\n\nThe paper claims 3.5 % after 50 observations of a category and does not say of "
        "what. *sum* is the error of the tokens of all further texts together, *per text* the mean error of each; "
        "means over the vocabularies and 10 random orders.\n\n" + table(header, rows)
    )


def _misroutes(estimators: Result) -> str:
    rows = []
    for name, cell in estimators.items():
        for key in ("expected", "upper"):
            short, long = cell[key]["false_short"], cell[key]["false_long"]
            rows.append([name, key, percent(short), percent(long), percent(short + long)])
    count = next(iter(estimators.values()))["documents"]
    return (
        f"## Routing around 8,192 tokens\n\n{count} prompts of 4 to 240 kB (log-uniform), made of the texts above, half of "
        "one kind and half of three, in each vocabulary, after the online stream. *false short*: over the limit, taken "
        "for under it, so the instance would reject it; *false long*: the reverse.\n\n"
        + table(("estimator", "routed by", "false short", "false long", "misrouted"), rows)
    )


def _figures(categories: Result) -> str:
    names = list(next(iter(categories.values())))
    rows = [
        [category, *("" if cell[name] is None else f"{cell[name]:.2f}" for name in names)]
        for category, cell in categories.items()
    ]
    return (
        "## Bytes per token by category\n\nFitted on all texts, by vocabulary, and the prior that ships. Categories are of "
        "characters, not of texts, and a text's count is the sum over them.\n\n"
        + table(("category", *names), rows)
    )


def _outputs(traces: Result) -> str:
    rows = []
    for name, cell in traces.items():
        for quantile, part in cell["quantiles"].items():
            coverage, provided = percent(part["coverage"]), f"{part['mean_provided']:.0f}"
            rows.append([name, f"{cell['answers']:,}", quantile, coverage, provided])
    return (
        "## Output length\n\nEach answer's quantile is predicted from the answers before it, from a cold start; the prior that it starts "
        "from was taken from the first two streams.\n\n"
        + table(("stream", "answers", "quantile", "answers within it", "mean tokens provided"), rows)
    )
