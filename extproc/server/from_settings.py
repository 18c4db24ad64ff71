"""What the settings say, in the words of the parts that obey them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from extproc.decide.budget import OutputProvision
from extproc.decide.first_correct import DEFAULT_OBJECTIVE, Objective
from extproc.decide.order import Policy
from extproc.decide.planner import PlanPolicy, Verification
from extproc.decide.route_balance import QualityNorm
from extproc.decide.weights import (
    PRESETS,
    Overrides,
    Preset,
    Range,
    Reference,
    Weights,
    derived_reference_usd,
)
from extproc.fleet.topology import Fleet
from extproc.gateway.restart import changes_needing_envoy_restart
from extproc.protocol import names
from extproc.server.scraper import ScrapeTiming
from extproc.settings import Settings
from extproc.settings.verification import JudgeSettings
from extproc.verify.confidence import ConfidenceSpec
from extproc.verify.policy import JudgeKind, JudgeSpec, VerifyPolicy


def plan_policy(settings: Settings) -> PlanPolicy:
    """What the settings say about plans."""
    budgets = settings.budgets
    return PlanPolicy(
        policy=Policy(settings.policy.name.value),
        max_attempts=budgets.max_attempts,
        request_timeout_seconds=budgets.request_timeout_seconds,
        per_try_timeout_seconds=budgets.per_try_timeout_seconds,
        union_cluster=names.UNION_CLUSTER,
        objective=objective(settings),
        weights=weights(settings),
        quality_norm=QualityNorm(settings.policy.quality_norm.value),
        overrides=overrides(settings),
        deadline_seconds=budgets.deadline_seconds,
        verification=Verification(settings.verification.mode.value),
        is_judged=settings.verification.judge is not None,
    )


def weights(settings: Settings) -> Weights:
    """What the settings say about weights; balanced when they say nothing."""
    section = settings.objective
    if section.weights is not None:
        given = section.weights
        return Weights.of(quality=given.quality, latency=given.latency, cost=given.cost)
    return PRESETS[Preset(section.preset.value) if section.preset is not None else Preset.BALANCED]


def reference(settings: Settings) -> Reference:
    """Seconds and dollars that weigh the same."""
    section = settings.objective
    usd = section.reference_usd
    return Reference(
        seconds=section.reference_seconds,
        usd=derived_reference_usd(settings.fleet(), section.reference_seconds) if usd is None else usd,
    )


def objective(settings: Settings) -> Objective:
    """What the settings say about the objective: what is given in seconds goes before a preset or weights."""
    section = settings.objective
    found = replace(DEFAULT_OBJECTIVE, congestion_weight=section.congestion_weight)
    if section.preset is not None or section.weights is not None:
        found = reference(settings).objective(weights(settings), congestion_weight=section.congestion_weight)
    worth, per_usd = section.correct_answer_worth_seconds, section.seconds_per_usd
    return replace(
        found,
        worth_seconds=found.worth_seconds if worth is None else worth,
        seconds_per_usd=found.seconds_per_usd if per_usd is None else per_usd,
    )


def overrides(settings: Settings) -> Overrides:
    """What the settings say about clients who wish to weigh otherwise."""
    allowed = settings.overrides
    ranges = None
    if allowed.weights is not None:
        sections = {
            "quality": allowed.weights.quality,
            "latency": allowed.weights.latency,
            "cost": allowed.weights.cost,
        }
        ranges = {name: Range(section.min, section.max) for name, section in sections.items()}
    return Overrides(
        presets=frozenset(preset.value for preset in allowed.presets),
        ranges=ranges,
        reference=reference(settings),
    )


def output_provision(settings: Settings) -> OutputProvision:
    """What the settings say about outputs that the client did not limit."""
    return OutputProvision(
        quantile=settings.budgets.output_quantile, max_tokens=settings.budgets.max_output_tokens
    )


def verify_policy(settings: Settings) -> VerifyPolicy:
    """What the settings say about verification."""
    verification = settings.verification
    least = verification.min_mean_logprob
    return VerifyPolicy(
        confidence=None if least is None else ConfidenceSpec(min_mean=least),
        own_limit_is_failure=verification.own_limit_is_failure,
        refusal_is_failure=verification.refusal_is_failure,
        max_answer_bytes=largest_verified_bytes(settings),
        judge=None if verification.judge is None else judge_spec(verification.judge),
    )


def judge_spec(judge: JudgeSettings) -> JudgeSpec:
    """What the settings say about the external judge; its token comes from the environment, never from a file."""
    token = os.environ.get(judge.bearer_token_variable, "") if judge.bearer_token_variable else ""
    return JudgeSpec(
        kind=JudgeKind(judge.kind.value),
        url=judge.url,
        model=judge.model,
        timeout_seconds=judge.timeout_seconds,
        headers=(("authorization", f"Bearer {token}"),) if token else (),
    )


def largest_verified_bytes(settings: Settings) -> int:
    """Largest answer that is held back: Envoy 1.40 crashes when an upstream filter buffers close to its body limit."""
    return min(settings.verification.max_answer_bytes, settings.gateway.max_body_bytes // 2)


def declared_quality(fleet: Fleet) -> dict[str, float]:
    """Chance of each model for which some cluster of the fleet declares one."""
    return {c.model: c.quality_prior for c in fleet.clusters if c.quality_prior is not None}


def model_directory(settings: Settings) -> Path | None:
    """Where the fitted quality model is; None for none."""
    directory = settings.quality.model_directory
    return None if directory is None else Path(directory)


def outcome_log(settings: Settings) -> tuple[Path | None, int]:
    """Where judged answers are written, None for nowhere, and how many bytes they may take."""
    path = settings.quality.outcome_log
    return (None if path is None else Path(path)), settings.quality.outcome_log_max_bytes


def scrape_timing(settings: Settings) -> ScrapeTiming:
    """What the settings say about scraping."""
    return ScrapeTiming(
        interval_seconds=settings.scrape.interval_seconds,
        timeout_seconds=settings.scrape.timeout_seconds,
        jitter=settings.scrape.jitter,
    )


def changes_needing_restart(old: Settings, new: Settings) -> list[str]:
    """Say, a line each, what neither a running Envoy nor a running service can take over."""
    fields = [
        name for name in ("admin", "state_file") if getattr(old.service, name) != getattr(new.service, name)
    ]
    return [
        *changes_needing_envoy_restart(old, new),
        *(f"service.{name}: {getattr(old.service, name)} → {getattr(new.service, name)}" for name in fields),
    ]
