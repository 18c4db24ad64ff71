"""Builders shared by the unit tests: each makes a small valid thing that a test bends to its case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from extproc.decide.planner import PlanPolicy
from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.forecast import Estimators
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import Category, TextProfile
from extproc.fleet.snapshot import FleetTable
from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed
from extproc.router import Router
from extproc.sessions.book import SessionBook
from tests.unit.routing import POLICY, PROVISION


@pytest.fixture
def make_cluster() -> Callable[..., Cluster]:
    """A cluster of two idle instances with round figures: W = 10 ms, H = 1 ms, 1000 prompt tokens per second."""

    def make(name: str = "a-short", **changes: Any) -> Cluster:
        port = 1000 + sum(name.encode()) % 1000 * 10
        values: dict[str, Any] = {
            "model": "a",
            "pool": "short",
            "max_model_len": 8192,
            "max_num_seqs": 4,
            "price": Price(input_usd_per_mtok=0.1, output_usd_per_mtok=0.2),
            "speed": Speed(
                iteration_base_seconds=0.01,
                iteration_per_sequence_seconds=0.001,
                prefill_tokens_per_second=1000.0,
            ),
            "instances": tuple(Instance(address=f"10.0.0.1:{port + i}") for i in range(2)),
        }
        return Cluster(name=name, **{**values, **changes})

    return make


@pytest.fixture
def make_fleet(make_cluster: Callable[..., Cluster]) -> Callable[..., Fleet]:
    """A fleet of a short and a long cluster of one model `a`, with the alias `auto`."""

    def make(*clusters: Cluster, **changes: Any) -> Fleet:
        chosen = clusters or (
            make_cluster("a-short"),
            make_cluster("a-long", pool="long", max_model_len=65536),
        )
        values: dict[str, Any] = {
            "pools": (
                Pool(name="short", threshold_tokens=8192, spill_at=0.9),
                Pool(name="long", threshold_tokens=None, spill_at=0.9),
            ),
            "aliases": {"auto": tuple(dict.fromkeys(cluster.model for cluster in chosen))},
        }
        return Fleet(clusters=chosen, **{**values, **changes})

    return make


@pytest.fixture
def make_facts() -> Callable[..., RequestFacts]:
    """A plain chat request to `auto` with 400 bytes of text."""

    def make(**changes: Any) -> RequestFacts:
        category = next(iter(Category))
        values: dict[str, Any] = {
            "api": Api.CHAT_COMPLETIONS,
            "model": "auto",
            "text": TextProfile(((category, 400),)),
            "messages": 1,
            "body_bytes": 500,
            "request_id": "request-1",
        }
        return RequestFacts(**{**values, **changes})

    return make


@pytest.fixture
def make_router(make_fleet: Callable[..., Fleet]) -> Callable[..., Router]:
    """A router of two short and two long instances of model a, by any policy."""

    def make(policy: PlanPolicy = POLICY, fleet: Fleet | None = None) -> Router:
        fleet = fleet or make_fleet()
        return Router(
            fleet,
            policy,
            output_provision=PROVISION,
            prompts=PromptTokenEstimator(),
            estimators=Estimators(
                quality=QualityEstimator(),
                latency=LatencyEstimator(FleetTable.of(fleet)),
                outputs=OutputLengthEstimator(),
                limits=AnswerLimitEstimator(),
            ),
            sessions=SessionBook(),
            rng=np.random.default_rng(1),
        )

    return make


@pytest.fixture
def router(make_router: Callable[..., Router]) -> Router:
    """One that chooses by predicted work."""
    return make_router()
