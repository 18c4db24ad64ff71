"""Best quality and least price, RouteBalance's against its rivals'."""

from __future__ import annotations

from typing import Final

from loadgen.reproduce.findings import Finding
from loadgen.reproduce.route_balance.experiment import CALM, Swept
from loadgen.reproduce.route_balance.families import AVENGERS_SQ, BEST_ROUTE_SQ, ROUTE_BALANCE
from loadgen.reproduce.route_balance.measured import Floats, figure
from loadgen.reproduce.route_balance.verdicts import judge_effect, judge_range

_BOUNDED_BY_THE_LARGEST: Final = (
    "outcomes here are right or wrong, the paper's are judge scores; a rival swept far enough sends everything to "
    "the largest model, so its best quality is bounded by that model and not by its rule"
)


def quality_and_price(swept: Swept) -> list[Finding]:
    """Best quality and least price at 12 requests per second."""
    return [
        _quality_over(
            swept,
            BEST_ROUTE_SQ,
            key="quality_over_best_route",
            published="0.013 [0.005, 0.022]",
            span=(0.005, 0.022),
        ),
        _quality_over(swept, AVENGERS_SQ, key="quality_over_avengers", published="0.043", span=(0.02, 0.065)),
        _least_price_ties_avengers(swept),
        _best_route_least_price(swept),
    ]


def _quality_over(
    swept: Swept, rival: str, *, key: str, published: str, span: tuple[float, float]
) -> Finding:
    ours = figure(_best_quality(swept, ROUTE_BALANCE) - _best_quality(swept, rival))
    return Finding(
        key=key,
        claim=f"RouteBalance's best quality at 12 requests/s exceeds {rival.removesuffix(' SQ')}'s.",
        published=published,
        ours=ours,
        unit="",
        verdict=judge_effect(ours, span, none=0.0),
        reason=_BOUNDED_BY_THE_LARGEST,
    )


def _least_price_ties_avengers(swept: Swept) -> Finding:
    own_usd = _least_usd(swept, ROUTE_BALANCE)
    ours = figure(own_usd / _least_usd(swept, AVENGERS_SQ))
    return Finding(
        key="least_price_ties_avengers",
        claim="RouteBalance's least price equals Avengers-Pro's.",
        published="1.00 x (1.67e-5 USD each)",
        ours=ours,
        unit="x",
        verdict=judge_range(ours, 0.97, 1.03),
        reason=f"ours is {own_usd[0] * 1e5:.2f}e-5 USD per request: longer prompts and answers; a tie counts within 3 %",
    )


def _best_route_least_price(swept: Swept) -> Finding:
    ours = figure(_least_usd(swept, BEST_ROUTE_SQ) / _least_usd(swept, ROUTE_BALANCE))
    return Finding(
        key="best_route_least_price",
        claim="BEST-Route's least price is well above RouteBalance's.",
        published="1.60 x (2.68e-5 over 1.67e-5 USD)",
        ours=ours,
        unit="x",
        verdict=judge_effect(ours, (1.3, 1.9)),
        reason="a high confidence threshold sends nearly everything to the smallest model, whose price nothing undercuts",
    )


def _best_quality(swept: Swept, label: str) -> Floats:
    """Of the point of a family that has the most as measured."""
    found = swept.found
    return max(
        (found.quality(arm, CALM) for arm in swept.families[label]), key=lambda quality: float(quality[0])
    )


def _least_usd(swept: Swept, label: str) -> Floats:
    """Of the point of a family that has the least as measured."""
    return min((swept.found.usd(arm, CALM) for arm in swept.families[label]), key=lambda usd: float(usd[0]))
