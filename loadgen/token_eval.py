"""Evaluates the token estimates on counted texts: `python -m loadgen.token_eval`.

Writes `out/eval/tokens.json` and `docs/token-estimates.md`. Priors are fitted on one half of the languages, English
texts and code, and everything is measured on the other half.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from extproc.estimate.token_priors import PRIORS
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.text import Category
from loadgen.data import data_folder
from loadgen.token_fit import fit_priors, fit_tokens_per_byte
from loadgen.token_report import render
from loadgen.token_rivals import FixedRatio, OurEstimate, PaperRatio, ShippedRatio, TokenEstimator
from loadgen.token_samples import VOCABULARIES, Sample, read_samples
from loadgen.token_trials import (
    Stream,
    converge,
    documents,
    interval,
    misroutes,
    output_coverage,
    stream,
)

QUANTILES = (0.5, 0.9, 0.95)
OURS = "this service"


def evaluate(samples: Sequence[Sample], seed: int) -> dict[str, object]:
    """Run every trial on the held-out half of the samples; the result is JSON-able."""
    fitting = [sample for sample in samples if not sample.is_held_out]
    testing = [sample for sample in samples if sample.is_held_out]
    priors = fit_priors(fitting)

    def ours() -> TokenEstimator:
        return OurEstimate(PromptTokenEstimator(priors=priors))

    makers: dict[str, Callable[[], TokenEstimator]] = {
        "4 bytes/token": FixedRatio,
        "paper": PaperRatio,
        "authors' code": ShippedRatio,
        OURS: ours,
    }
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(testing)).tolist()
    cold = {name: _streams(makers[name], testing, order, learn=False)[0] for name in ("4 bytes/token", OURS)}
    online, taught = {}, {}
    for name, make in makers.items():
        online[name], taught[name] = _streams(make, testing, order, learn=True)
    made = documents(testing, rng)
    return {
        "samples": {"fitted": len(fitting), "tested": len(testing)},
        "cold": _tables(cold, seed),
        "online": _tables(online, seed),
        "convergence": converge(makers, testing, rng),
        "misroutes": {
            name: {
                "documents": len(made),
                "expected": asdict(misroutes(by_vocabulary, made, upper=False)),
                "upper": asdict(misroutes(by_vocabulary, made, upper=True)),
            }
            for name, by_vocabulary in taught.items()
        },
        "bytes_per_token": _figures(fit_tokens_per_byte(samples)),
    }


def _streams(
    make: Callable[[], TokenEstimator], samples: Sequence[Sample], order: Sequence[int], *, learn: bool
) -> tuple[dict[str, Stream], dict[str, TokenEstimator]]:
    """One stream per vocabulary, each with an estimator of its own, and the estimators as they ended."""
    estimators = {vocabulary: make() for vocabulary in VOCABULARIES}
    streams = {
        vocabulary: stream(estimator, samples, order, vocabulary, learn=learn)
        for vocabulary, estimator in estimators.items()
    }
    return streams, estimators


def _tables(streams: Mapping[str, Mapping[str, Stream]], seed: int) -> dict[str, object]:
    """Accuracy by estimator: per vocabulary, and per group over all vocabularies."""
    tables: dict[str, object] = {}
    for name, by_vocabulary in streams.items():
        parts = list(by_vocabulary.values())
        pooled = Stream(
            expected=np.concatenate([part.expected for part in parts]),
            upper=np.concatenate([part.upper for part in parts]),
            true=np.concatenate([part.true for part in parts]),
            groups=np.concatenate([part.groups for part in parts]),
        )
        by_group = {str(group): _selected(pooled, group) for group in np.unique(pooled.groups)}
        tables[name] = {
            "vocabularies": {key: _accuracy(part, seed) for key, part in by_vocabulary.items()},
            "groups": {key: _accuracy(part, seed) for key, part in by_group.items()},
            "all": _accuracy(pooled, seed),
        }
    return tables


def _selected(whole: Stream, group: object) -> Stream:
    mask = whole.groups == group
    return Stream(
        expected=whole.expected[mask],
        upper=whole.upper[mask],
        true=whole.true[mask],
        groups=whole.groups[mask],
    )


def _accuracy(part: Stream, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    return {
        "texts": len(part.true),
        "mape": asdict(interval(part.error(), rng)),
        "under_rate": asdict(interval(part.is_under(), rng)),
        "upper_under_rate": asdict(interval(part.is_upper_under(), rng)),
        "upper_slack": asdict(interval(part.slack(), rng)),
    }


def _figures(fits: Mapping[str, Mapping[Category, float]]) -> dict[str, object]:
    """Bytes per token: fitted by vocabulary on all texts, and what the service ships."""
    return {
        str(category): {
            **{
                name: round(1.0 / fit[category], 2) if category in fit else None for name, fit in fits.items()
            },
            "prior": round(1.0 / PRIORS[category].tokens_per_unit, 2),
        }
        for category in Category
    }


def output_lengths(folder: Path) -> dict[str, object]:
    """Coverage of the output-length quantiles on recorded streams, each from a cold start."""
    traces: dict[str, list[int]] = {}
    with gzip.open(folder / "traffic" / "azure_conv.csv.gz", "rt", encoding="utf-8") as table:
        traces["Azure chat, one hour"] = [int(row["output_tokens"]) for row in csv.DictReader(table)]
    with gzip.open(folder / "traffic" / "mooncake_conversation.jsonl.gz", "rt", encoding="utf-8") as lines:
        traces["Mooncake conversation"] = [json.loads(line)["output_tokens"] for line in lines]
    with gzip.open(folder / "latency" / "llmservingsim_requests.csv.gz", "rt", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            traces.setdefault(f"ShareGPT on {row['model']}", []).append(int(row["output_tokens"]))
    return {
        name: {
            "answers": len(lengths),
            "quantiles": {
                str(quantile): {"coverage": round(share, 4), "mean_provided": round(mean, 1)}
                for quantile, (share, mean) in output_coverage(lengths, QUANTILES).items()
            },
        }
        for name, lengths in traces.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate and write both files; exit status 1 when there is no data to evaluate on."""
    parser = argparse.ArgumentParser(prog="python -m loadgen.token_eval", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/eval/tokens.json"))
    parser.add_argument("--doc", type=Path, default=Path("docs/token-estimates.md"))
    options = parser.parse_args(arguments)
    folder = data_folder(os.environ)
    if folder is None:
        print("No recorded data: set TTCA_DATA or place it in ../shared/data. Nothing was evaluated.")
        return 1
    started = time.monotonic()
    result = evaluate(read_samples(folder), options.seed)
    result["output_lengths"] = output_lengths(folder)
    result["seed"] = options.seed
    result["seconds"] = round(time.monotonic() - started, 1)
    text = render(result)
    for path, content in ((options.out, json.dumps(result, indent=1) + "\n"), (options.doc, text)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    print(text)
    print(f"Wrote {options.out} and {options.doc}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
