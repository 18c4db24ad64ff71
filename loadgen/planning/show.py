"""A plan as a table, as JSON and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadgen.planning.advise import BASELINE, ONE_POOL, Advice, Check, Option
from loadgen.planning.slo import MISS_SHARE

_NONE = "-"


def title(advice: Advice, option: Option) -> str:
    """What a fleet is, in words."""
    if option.name == BASELINE:
        return f"one pool, {advice.request.baseline_seqs} sequences"
    if option.name == ONE_POOL:
        return f"one pool, {advice.request.max_num_seqs} sequences"
    return f"two pools, split at {option.threshold or 0:,}"


def print_plan(advice: Advice, console: Console) -> None:
    """Print every fleet that was tried, and what is recommended."""
    request = advice.request
    table = Table(title=f"{request.rate:.4g} requests/s on {request.hardware.name}")
    for heading in ("fleet", "instances", "GPUs", "saved", "saved", "USD a year", "formula"):
        table.add_column(heading, justify="left" if heading == "fleet" else "right")
    table.columns[3].header = f"vs {request.baseline_seqs} seqs"
    table.columns[4].header = f"vs {request.max_num_seqs} seqs"
    for option in advice.options.values():
        is_best = option is advice.best
        table.add_row(*_cells(advice, option), style="bold green" if is_best else None)
    console.print(table)
    for line in verdict(advice):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _cells(advice: Advice, option: Option) -> tuple[str, ...]:
    hardware = advice.request.hardware
    count = option.instances
    if count is None:
        return (title(advice, option), "none is enough", *(_NONE,) * 5)
    pools = " + ".join(str(pool.instances) for pool in option.pools)
    usd = hardware.usd_per_year(count)
    return (
        title(advice, option),
        f"{pools} = {count}" if len(option.pools) > 1 else pools,
        str(count * hardware.gpus),
        _per_cent(advice.savings(option.name, BASELINE)),
        _per_cent(advice.savings(option.name, ONE_POOL)),
        f"{usd:,.0f}" if usd else _NONE,
        _per_cent(option.closed_savings),
    )


def verdict(advice: Advice) -> list[str]:
    """What to do, and how sure that is."""
    best, request = advice.best, advice.request
    if best is None:
        reasons = {option.reason for option in advice.options.values() if option.reason}
        return ["No fleet keeps this SLO on this hardware: " + "; ".join(sorted(reasons))]
    lines = [f"Recommended: {title(advice, best)}, {best.instances} instances."]
    saved = _saved_text(advice, best)
    if saved:
        lines.append(saved)
    if best.name == ONE_POOL:
        lines.append("Two pools do not pay on this traffic: no split takes fewer instances.")
    if best.rejected_share:
        lines.append(
            f"{100 * best.rejected_share:.2f} % of the requests exceed {request.context_tokens:,} tokens: no pool "
            "holds them, and they are not planned for."
        )
    low, high = best.spread
    if low != high:
        lines.append(f"Over {request.seeds} draws of the traffic it took {low} to {high}; the most counts.")
    beyond = request.beyond_reach_share
    if beyond:
        lines.append(
            f"{100 * beyond:.2f} % of the prompts take longer than {request.slo.ttft_seconds:g} s on an idle instance: "
            "no fleet of this hardware is faster, so they are held against twice their idle time."
        )
    if advice.check is not None:
        lines.append(_check_text(advice.check, is_reachable=beyond <= MISS_SHARE))
    if request.slices > 1:
        lines.append(f"The load was simulated as {request.slices} equal slices; sizes are multiples of that.")
    return lines


def _check_text(check: Check, *, is_reachable: bool) -> str:
    if check.holds:
        told = "the SLO holds."
    elif is_reachable:
        told = "the SLO does NOT hold over all pools together: add instances."
    else:
        told = "as it stands the SLO cannot hold over all requests, see above."
    return (
        f"Run once more on {check.requests:,} other requests, with spillover: TTFT P50 {check.ttft_p50:.3f} s, "
        f"P99 {check.ttft_p99:.3f} s; TPOT P50 {1e3 * check.tpot_p50:.1f} ms, P99 {1e3 * check.tpot_p99:.1f} ms; "
        f"{check.preemptions_per_mille:.1f} preemptions per mille; {told}"
    )


def _saved_text(advice: Advice, best: Option) -> str:
    hardware = advice.request.hardware
    told = []
    for against in (BASELINE, ONE_POOL):
        other = advice.options[against]
        if other.instances is None or best.instances is None or other is best:
            continue
        fewer = other.instances - best.instances
        usd = hardware.usd_per_year(fewer)
        money = f", {usd:,.0f} USD a year" if usd else ""
        told.append(f"{fewer * hardware.gpus} GPUs{money} against {title(advice, other)}")
    return f"It saves {' and '.join(told)}." if told else ""


def _per_cent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.1f} %"


def as_document(advice: Advice) -> dict[str, Any]:
    """The plan as JSON-able data; times in seconds, shares from 0 to 1."""
    request, hardware = advice.request, advice.request.hardware
    check = advice.check
    return {
        "rate": request.rate,
        "slo": {"ttft_p99_seconds": request.slo.ttft_seconds, "tpot_p99_seconds": request.slo.tpot_seconds},
        "hardware": {
            "name": hardware.name,
            "gpus": hardware.gpus,
            "kv_blocks": hardware.kv_blocks,
            "usd_per_gpu_hour": hardware.usd_per_gpu_hour,
        },
        "seed": request.seed,
        "seeds": request.seeds,
        "slices": request.slices,
        "beyond_reach_share": request.beyond_reach_share,
        "recommended": advice.best.name if advice.best else None,
        "options": {name: _option_document(advice, option) for name, option in advice.options.items()},
        "check": None
        if check is None
        else {
            "requests": check.requests,
            "ttft_p50_seconds": check.ttft_p50,
            "ttft_p99_seconds": check.ttft_p99,
            "tpot_p50_seconds": check.tpot_p50,
            "tpot_p99_seconds": check.tpot_p99,
            "preemptions_per_mille": check.preemptions_per_mille,
            "slo_holds": check.holds,
        },
        "summary": verdict(advice),
    }


def _option_document(advice: Advice, option: Option) -> dict[str, Any]:
    hardware = advice.request.hardware
    return {
        "instances": option.instances,
        "gpus": None if option.instances is None else option.instances * hardware.gpus,
        "usd_per_year": None if option.instances is None else hardware.usd_per_year(option.instances),
        "spread": list(option.spread),
        "threshold_tokens": option.threshold,
        "pools": [
            {
                "name": pool.shape.name,
                "instances": pool.instances,
                "max_model_len": pool.shape.max_model_len,
                "max_num_seqs": pool.shape.max_num_seqs,
                "request_share": share,
            }
            for pool, share in zip(option.pools, option.shares, strict=False)
        ],
        "saved_vs_baseline": advice.savings(option.name, BASELINE),
        "saved_vs_one_pool": advice.savings(option.name, ONE_POOL),
        "formula_savings": option.closed_savings,
        "rejected_share": option.rejected_share,
        "reason": option.reason,
    }


def draw(advice: Advice, path: Path) -> None:
    """Draw instances over the threshold, with the fleets of one pool as lines.

    Raises:
        ModuleNotFoundError: matplotlib is not installed (the extra `report`).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    split = [o for o in advice.options.values() if o.threshold is not None and o.instances is not None]
    names = [f"{option.threshold:,}" for option in split]
    bottom = [0] * len(split)
    for index, (label, colour) in enumerate((("short pool", "#4c9f70"), ("long pool", "#2b5d8a"))):
        counts = [option.pools[index].instances for option in split]
        bars = axes.bar(names, counts, bottom=bottom, label=label, color=colour, width=0.6)
        axes.bar_label(bars, label_type="center", color="white")
        bottom = [before + count for before, count in zip(bottom, counts, strict=True)]
    lines = ((BASELINE, "#b3452c", "--"), (ONE_POOL, "#d9902f", ":"))
    for name, colour, style in lines:
        option = advice.options[name]
        if option.instances is not None:
            axes.axhline(
                option.instances,
                color=colour,
                linestyle=style,
                linewidth=2,
                label=f"{title(advice, option)}: {option.instances}",
            )
    axes.set_xlabel("threshold of the short pool, tokens (prompt + output)")
    axes.set_ylabel("instances under the SLO")
    axes.set_title(f"{advice.request.rate:.4g} requests/s on {advice.request.hardware.name}")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
