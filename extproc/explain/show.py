"""An explanation for a terminal, in 100 columns. Pure: from records to rich renderables."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from extproc.explain.records import CandidateView, Explanation, Interval, PlanView

WIDTH = 100


def show(explanation: Explanation) -> RenderableType:
    """Draw everything: the request, the candidates, who was left out, the plan, and what would change it."""
    parts: list[RenderableType] = []
    if explanation.about:
        parts += [Text(explanation.about, style="bold"), Text()]
    parts += [_line("request" if index == 0 else "", line) for index, line in enumerate(explanation.request)]
    parts.append(_line("policy", f"{explanation.policy}: {explanation.rule}"))
    if explanation.pool:
        parts.append(_line("pool", explanation.pool))
    parts.append(_line("estimates", explanation.knowledge))
    if explanation.refusal:
        parts += [Text(), _line("refused", explanation.refusal, style="red")]
    if explanation.candidates:
        parts += [Text(), _candidates(explanation.candidates)]
        if explanation.left_out:
            parts.append(Text(f"… and {explanation.left_out} more, all behind these", style="dim"))
        scores = _scores(explanation)
        if scores is not None:
            parts += [Text(), scores]
    if explanation.exclusions:
        parts += [Text(), _exclusions(explanation)]
    if explanation.plan is not None:
        parts += [Text(), _attempts(explanation.plan), *_promises(explanation.plan)]
    if explanation.changes:
        parts += [Text(), _changes(explanation)]
    return Group(*parts)


def _line(name: str, text: str, *, style: str = "") -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=9, style="bold")
    table.add_column(overflow="fold")
    table.add_row(name, Text(text, style=style))
    return table


def _table(title: str, *columns: str, flexible: int) -> Table:
    """A table whose columns are right-aligned numbers but for the first two; one of them takes what room is left."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        width=WIDTH,
    )
    for index, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if index > 1 else "left",
            overflow="fold",
            ratio=1 if index == flexible else None,
            no_wrap=index != flexible,
        )
    return table


def _candidates(candidates: tuple[CandidateView, ...]) -> Table:
    table = _table(
        "Candidates: expected (interval)",
        "#",
        "instance, model",
        "load",
        "correct",
        "output tokens",
        "first token",
        "complete",
        "mUSD",
        flexible=1,
    )
    for view in candidates:
        mark = " suspect" if view.is_suspect else ""
        table.add_row(
            str(view.place or ""),
            f"{view.address}{mark}\n{view.model}",
            f"{view.sequences:.0f}",
            f"{view.chance.expected:.0%}\n{view.chance.low or 0.0:.0%}-{view.chance.high:.0%}",
            f"{view.output_tokens.expected:,.0f}\n{view.output_tokens.low or 0.0:,.0f}-{view.output_tokens.high:,.0f}",
            _seconds(view.ttft_seconds),
            _seconds(view.total_seconds),
            f"{1e3 * view.usd.expected:.3g}\n{1e3 * (view.usd.low or 0.0):.2g}-{1e3 * view.usd.high:.2g}",
        )
    return table


def _seconds(interval: Interval) -> str:
    return f"{_short(interval.expected)} s\n< {_short(interval.high)} s"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _scores(explanation: Explanation) -> Table | None:
    first = explanation.candidates[0]
    if first.score is None or not explanation.score:
        return None
    names = [term.name for term in first.terms]
    table = _table(f"Score: {explanation.score}", "#", "instance, model", *names, "score", flexible=1)
    for view in explanation.candidates:
        cells = [_signed(term.value) for term in view.terms]
        score = view.score if view.score is not None else 0.0
        table.add_row(
            str(view.place or ""),
            f"{view.address} {view.model}",
            *cells,
            _signed(score) if cells else f"{score:.4g}",
        )
    return table


def _signed(value: float) -> str:
    if abs(value) < 5e-4:
        return "0"
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"


def _exclusions(explanation: Explanation) -> Table:
    table = _table("Not weighed", "model", "instances", "why", flexible=2)
    table.columns[2].justify = "left"
    for exclusion in explanation.exclusions:
        shown = exclusion.addresses[:3]
        more = len(exclusion.addresses) - len(shown)
        table.add_row(
            exclusion.model, "\n".join(shown) + (f"\n… {more} more" if more else ""), exclusion.reason
        )
    return table


def _attempts(plan: PlanView) -> Table:
    table = _table(
        "Plan", "#", "instance, model", "correct", "made", "worth it", "complete", "mUSD", flexible=1
    )
    for number, attempt in enumerate(plan.attempts, start=1):
        worth = {True: "yes", False: "no", None: ""}[attempt.is_worth_it]
        cut = f"; cut at {attempt.max_tokens:,} tokens" if attempt.max_tokens is not None else ""
        table.add_row(
            str(number),
            f"{attempt.address} {attempt.model}\n{attempt.when}{cut}",
            "" if attempt.chance is None else f"{attempt.chance:.0%}",
            "" if attempt.reached is None else f"{attempt.reached:.0%}",
            worth,
            "" if attempt.latency_seconds is None else _seconds(attempt.latency_seconds),
            "" if attempt.usd is None else f"{1e3 * attempt.usd:.3g}",
        )
    return table


def _promises(plan: PlanView) -> list[RenderableType]:
    limit = f"{plan.timeout_seconds:g} s in all"
    if plan.per_try_timeout_seconds is not None:
        what = "raced by the next one" if plan.hedges else "given up"
        limit += f"; a try is {what} after {plan.per_try_timeout_seconds:.3g} s"
    judged = (
        "each answer is verified before the client gets it" if plan.is_verified else "answers pass unverified"
    )
    lines: list[RenderableType] = [
        _line("retries", f"at most {plan.max_retries}, {limit}; {judged}; Envoy cluster {plan.cluster}")
    ]
    if plan.chance is not None and plan.expected_seconds is not None:
        usd = f", {1e3 * plan.expected_usd:.3g} mUSD" if plan.expected_usd is not None else ""
        retries = ", retries included" if plan.is_verified and len(plan.attempts) > 1 else ""
        lines.append(
            _line(
                "promises",
                f"correct with {plan.chance:.0%}; {plan.expected_seconds:.3g} s{usd} on average{retries}",
            )
        )
    return lines


def _changes(explanation: Explanation) -> Table:
    table = _table("What would change it", "if", "then", flexible=1)
    table.columns[0].no_wrap = False
    for change in explanation.changes:
        if change.plan:
            table.add_row(change.what, change.plan)
    same = [change.what for change in explanation.changes if not change.plan]
    if same:
        table.add_row(Text("the same plan", style="dim"), Text("; ".join(same), style="dim"))
    return table
