"""What would change a decision: the same router asked again, with one thing otherwise each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from extproc.decide.order import Policy
from extproc.decide.plan import Plan
from extproc.decide.policies import POLICIES, ByForecast
from extproc.decide.weights import Preset
from extproc.explain.records import Change
from extproc.explain.world import Decided, World, decide
from extproc.facts.request import Api
from extproc.protocol import names
from extproc.settings import Settings

RIVALS = (Policy.FIRST_CORRECT, Policy.ROUTE_BALANCE, Policy.LAAR, Policy.LEAST_WORK)
"""Policies that are asked for comparison."""

MOST_SEQUENCES = 4
"""Slots' worth of sequences on the first instance up to which a turning point is looked for."""


def changes(world: World, decided: Decided) -> tuple[Change, ...]:
    """Ask again with one thing otherwise; empty for requests that were refused."""
    plan = decided.plan
    if plan is None or decided.facts is None or plan.budget is None:
        return ()
    found = [
        Change(what=what, plan=_difference(plan, decide(other))) for what, other in _others(world, decided)
    ]
    turning = _turning_point(world, plan)
    if turning is not None:
        found.append(turning)
    return tuple(found)


def _others(world: World, decided: Decided) -> Iterator[tuple[str, World]]:
    plan, asked, settings = decided.plan, world.asked, world.settings
    if plan is None or decided.facts is None:
        return
    first = plan.attempts[0]
    yield (
        f"{first.address} fails",
        replace(world, asked=replace(asked, suspects=(*asked.suspects, first.address))),
    )
    is_question = decided.facts.api is not Api.EMBEDDINGS
    if is_question and first.chance is not None and first.model not in asked.failed:
        yield (
            f"{first.model} answered wrongly, and the client asks again",
            replace(world, asked=replace(asked, failed=(*asked.failed, first.model))),
        )
    may_verify = (
        not plan.is_verified and not decided.facts.stream and settings.verification.mode.value != "off"
    )
    if is_question and may_verify:
        headers = {**asked.headers, names.EXPECT: "regex:."}
        yield "the client says what it expects", replace(world, asked=replace(asked, headers=headers))
    rule = POLICIES[decided.policy.policy]
    if isinstance(rule, ByForecast) and rule.takes_weights:
        plain = {
            name: value for name, value in asked.headers.items() if name not in (names.PRESET, names.WEIGHTS)
        }
        unwished = replace(asked, headers=plain)
        for preset in Preset:
            edited = _edited(settings, "objective", {"preset": preset.value, **_UNSET})
            yield f"preset {preset.value}", replace(world, settings=edited, asked=unwished)
    for policy in RIVALS:
        if policy is not decided.policy.policy:
            edited = _edited(settings, "policy", {"name": policy.value})
            yield f"policy {policy.value}", replace(world, settings=edited)


_UNSET: dict[str, object] = {"weights": None, "correct_answer_worth_seconds": None, "seconds_per_usd": None}


def _edited(settings: Settings, section: str, changed: dict[str, object]) -> Settings:
    tree = settings.model_dump()
    tree[section] = {**tree[section], **changed}
    return Settings.model_validate(tree)


def _difference(plan: Plan, other: Decided) -> str:
    """The other plan in a line; empty when it goes the same way."""
    if other.plan is None:
        return f"refused: {other.refusal.reason}" if other.refusal is not None else "refused"
    if _course(plan) == _course(other.plan):
        return ""
    return _line(other.plan)


def _course(plan: Plan) -> tuple[object, ...]:
    return (tuple(attempt.address for attempt in plan.attempts), plan.is_verified)


def _line(plan: Plan) -> str:
    """Instances in order, each new model named; stand-ins of a plan that nobody verifies are left out."""
    shown = plan.attempts if plan.is_verified else plan.attempts[:1]
    parts: list[str] = []
    model = ""
    for attempt in shown:
        parts.append(attempt.address if attempt.model == model else f"{attempt.model} on {attempt.address}")
        model = attempt.model
    return " > ".join(parts) + (", verified" if plan.is_verified else "")


def _turning_point(world: World, plan: Plan) -> Change | None:
    """The least load of the first instance at which somebody else goes first, by bisection; None when there is none."""
    first = plan.attempts[0]
    slots = next(cluster.max_num_seqs for cluster in world.settings.clusters if cluster.name == first.cluster)
    present = world.asked.load.get(first.address, 0.0)

    def at(sequences: float) -> Plan | None:
        load = {**world.asked.load, first.address: sequences}
        return decide(replace(world, asked=replace(world.asked, load=load))).plan

    def moves(other: Plan | None) -> bool:
        return other is None or other.attempts[0].address != first.address

    low, high = 0, MOST_SEQUENCES * slots
    if not moves(at(present + high)):
        return Change(what=f"{first.address} gets up to {high} more sequences", plan="")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if moves(at(present + middle)) else (middle, high)
    other = at(present + high)
    return Change(
        what=f"{first.address} gets {high} more sequence{'s' * (high > 1)}",
        plan=_line(other) if other is not None else "refused",
    )
