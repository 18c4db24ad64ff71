"""Evaluates the latency estimates: `python -m loadgen.latency_eval`.

Writes `out/eval/latency.json` and `docs/latency-estimates.md`. Without the data folder only the studies on simulated
engines run, and the document, which would lack its better half, is left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadgen.data import data_folder
from loadgen.latency_eval import studies
from loadgen.latency_eval.compute import measure
from loadgen.latency_eval.report import render

_ROOT = Path(__file__).resolve().parents[2]


def evaluate(folder: Path | None, seed: int) -> dict[str, Any]:
    """All studies; those on recorded data only when there is a data folder."""
    result: dict[str, Any] = {}
    if folder is not None:
        result["recorded"] = studies.recorded(folder, seed)
        result["crossed"] = studies.crossed(folder, seed)
        result["points"] = studies.points(folder, seed)
    result["simulated"] = studies.simulated(seed)
    result["wrong priors"] = studies.wrong_priors(seed)
    result["changes"] = studies.changes(seed)
    result["routing"] = studies.routing(seed)
    result["compute"] = measure()
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the evaluation; the exit status is 0."""
    parser = argparse.ArgumentParser(prog="python -m loadgen.latency_eval", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of arrivals, lengths, orders and intervals")
    parser.add_argument("--out", type=Path, default=_ROOT / "out" / "eval" / "latency.json")
    parser.add_argument("--doc", type=Path, default=_ROOT / "docs" / "latency-estimates.md")
    options = parser.parse_args(arguments)
    folder = data_folder(os.environ)
    started = time.perf_counter()
    result = evaluate(folder, options.seed)
    seconds = time.perf_counter() - started
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps({"seed": options.seed, "seconds": seconds, **result}, indent=1), encoding="utf-8"
    )
    print(f"{options.out} ({seconds:.0f} s)")
    if folder is None:
        print("no data folder: recorded latencies were not evaluated, the document is left as it is")
    else:
        options.doc.write_text(render(result, seed=options.seed, seconds=seconds), encoding="utf-8")
        print(options.doc)
    return 0


if __name__ == "__main__":
    sys.exit(main())
