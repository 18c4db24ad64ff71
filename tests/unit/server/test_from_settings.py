from __future__ import annotations

from pathlib import Path

import pytest

from extproc.decide.order import Policy
from extproc.decide.planner import Verification
from extproc.decide.route_balance import QualityNorm
from extproc.decide.weights import PRESETS, Preset, Range, Reference, Weights
from extproc.server.from_settings import (
    changes_needing_restart,
    declared_quality,
    judge_spec,
    largest_verified_bytes,
    output_provision,
    plan_policy,
    scrape_timing,
    verify_policy,
)
from extproc.settings import Settings
from extproc.settings.load import parse_settings
from extproc.settings.schema import PolicyName
from extproc.settings.verification import VerificationMode

TEXT = """
version: 1
pools: [{name: only}]
clusters:
  - {name: c, model: m, pool: only, max_model_len: 8192, max_num_seqs: 4, quality_prior: 0.7,
     price_usd_per_mtok: {input: 1, output: 1}, instances: ["127.0.0.1:18101"]}
  - {name: d, model: n, pool: only, max_model_len: 8192, max_num_seqs: 4,
     price_usd_per_mtok: {input: 1, output: 1}, instances: ["127.0.0.1:18102"]}
policy: {name: first_correct}
budgets: {max_attempts: 2, deadline_seconds: 9, output_quantile: 0.8, max_output_tokens: 77}
objective: {correct_answer_worth_seconds: 33, congestion_weight: 2, seconds_per_usd: 5}
verification: {mode: always, max_answer_bytes: 2048, min_mean_logprob: -1.5,
  judge: {url: "http://127.0.0.1:1/judge", kind: http, bearer_token_variable: JUDGE_TOKEN}}
scrape: {interval_seconds: 2, timeout_seconds: 1, jitter: 0.1}
"""


def settings(text: str = TEXT) -> Settings:
    return parse_settings(text, Path("fleet.yaml"))


def test_every_name_of_the_file_is_one_of_the_core() -> None:
    """The fleet file and the core spell policies and verification modes alike."""
    assert {name.value for name in PolicyName} == {policy.value for policy in Policy}
    assert {mode.value for mode in VerificationMode} == {mode.value for mode in Verification}


def test_figures_reach_the_parts_that_obey_them() -> None:
    """Plans, budgets, verification and scraping get what the file says."""
    given = settings()
    policy = plan_policy(given)

    assert (Policy.FIRST_CORRECT, 2, 9.0) == (policy.policy, policy.max_attempts, policy.deadline_seconds)
    assert (33.0, 2.0, 5.0) == (
        policy.objective.worth_seconds,
        policy.objective.congestion_weight,
        policy.objective.seconds_per_usd,
    )
    assert (Verification.ALWAYS, True) == (policy.verification, policy.is_judged)
    assert (0.8, 77) == (output_provision(given).quantile, output_provision(given).max_tokens)
    assert {"m": 0.7} == declared_quality(given.fleet())
    assert (2.0, 1.0, 0.1) == (
        scrape_timing(given).interval_seconds,
        scrape_timing(given).timeout_seconds,
        scrape_timing(given).jitter,
    )
    confidence = verify_policy(given).confidence
    assert confidence is not None
    assert -1.5 == confidence.min_mean


def test_the_judges_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret stands in no file; without the variable none is sent."""
    judge = settings().verification.judge
    assert judge is not None
    assert () == judge_spec(judge).headers

    monkeypatch.setenv("JUDGE_TOKEN", "secret")
    assert (("authorization", "Bearer secret"),) == judge_spec(judge).headers
    assert "secret" not in repr(judge_spec(judge))


def test_an_answer_held_back_stays_well_below_envoys_limit() -> None:
    """At most half of the body limit, however much the file asks for."""
    small = (
        TEXT.replace("max_answer_bytes: 2048", "max_answer_bytes: 9000000")
        + "gateway: {max_body_bytes: 1000000}\n"
    )

    assert 2048 == largest_verified_bytes(settings())
    assert 500_000 == largest_verified_bytes(settings(small))


def test_what_the_service_cannot_take_over_is_named() -> None:
    """Its admin address and state file need a restart; a threshold or an instance does not."""
    moved = settings(TEXT + "service: {admin: '127.0.0.1:7003', state_file: /tmp/other.json}\n")

    assert [
        "service.admin: 127.0.0.1:9090 → 127.0.0.1:7003",
        "service.state_file: out/run/state.json → /tmp/other.json",
    ] == (changes_needing_restart(settings(), moved))
    assert [] == changes_needing_restart(
        settings(), settings(TEXT.replace("127.0.0.1:18102", "127.0.0.1:18109"))
    )


def test_a_preset_is_put_in_seconds_by_the_fleets_own_prices() -> None:
    """Seconds that stand beside it go before it; without any, a correct answer is worth a minute and money nothing."""
    plain = TEXT.replace(
        "objective: {correct_answer_worth_seconds: 33, congestion_weight: 2, seconds_per_usd: 5}", ""
    )
    preset = plan_policy(settings(plain + "objective: {preset: quality, seconds_per_usd: 5}\n"))
    # 1,000 + 300 tokens at a dollar per million; 1,000 / 16,000 + 300 * 0.00865 seconds.
    cost = plan_policy(settings(plain + "objective: {preset: cost}\n")).objective
    silent = plan_policy(settings(plain))

    assert (60.0, 1.0, 0.0) == (
        silent.objective.worth_seconds,
        silent.objective.congestion_weight,
        silent.objective.seconds_per_usd,
    )
    assert pytest.approx((480.0, 5.0)) == (preset.objective.worth_seconds, preset.objective.seconds_per_usd)
    assert pytest.approx(8 * (0.0625 + 2.595) / 0.0013) == cost.seconds_per_usd
    assert PRESETS[Preset.QUALITY] == preset.weights
    assert PRESETS[Preset.BALANCED] == silent.weights


def test_own_weights_go_before_a_preset() -> None:
    """The score gets them as they are, the objective in seconds of a reference that may be stated."""
    text = TEXT.replace(
        "{correct_answer_worth_seconds: 33, congestion_weight: 2, seconds_per_usd: 5}",
        "{preset: cost, weights: {quality: 2, latency: 1, cost: 1}, reference_seconds: 10, reference_usd: 0.01}",
    ).replace("{name: first_correct}", "{name: route_balance, quality_norm: minmax}")
    policy = plan_policy(settings(text))

    assert Weights.of(quality=2, latency=1, cost=1) == policy.weights
    assert (20.0, 1000.0) == pytest.approx((policy.objective.worth_seconds, policy.objective.seconds_per_usd))
    assert (Policy.ROUTE_BALANCE, QualityNorm.MINMAX) == (policy.policy, policy.quality_norm)


def test_what_clients_may_wish_for_is_handed_on() -> None:
    """Nothing by default; else the presets, the ranges and the reference that makes seconds of them."""
    silent = plan_policy(settings()).overrides
    text = (
        TEXT.replace("seconds_per_usd: 5", "reference_seconds: 10, reference_usd: 0.01")
        + "overrides: {presets: [cost, quality], weights: {cost: {max: 0.5}}}\n"
    )
    allowed = plan_policy(settings(text)).overrides

    assert (frozenset(), None) == (silent.presets, silent.ranges)
    assert {"cost", "quality"} == allowed.presets
    assert {"quality": Range(0, 1), "latency": Range(0, 1), "cost": Range(0, 0.5)} == allowed.ranges
    assert Reference(seconds=10.0, usd=0.01) == allowed.reference
