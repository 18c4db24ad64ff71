"""A router in given circumstances, asked once: the one that the service runs, built anew for every question about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from extproc.assembly import Core, assemble
from extproc.decide.plan import Plan
from extproc.decide.planner import PlanPolicy
from extproc.decide.witness import Witness
from extproc.errors import RoutingError
from extproc.estimate.quality.model import QualityModel
from extproc.explain.asked import SESSION, Asked
from extproc.facts.request import RequestFacts
from extproc.fleet.vllm_metrics import InstanceMetrics
from extproc.protocol import names
from extproc.server.from_settings import plan_policy
from extproc.settings import Settings

NOW_SECONDS = 100_000.0
"""The moment of every decision here: long after the start of the load book, so that the load given is the usual one."""

_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that bears on a decision.

    Attributes:
        settings: The fleet file.
        asked: The request and the load that it meets.
        learned: Parts of a state file.
        model: Fitted quality model; None for declared priors.
    """

    settings: Settings
    asked: Asked
    learned: Mapping[str, Any] = field(default_factory=dict)
    model: QualityModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What came of it.

    Attributes:
        core: The router and what it knows.
        policy: What the operator's settings say about plans; a granted wish replaces its weights.
        witness: What the decision looked at.
        facts: The request; None when it could not be understood.
        plan: None when the request was refused.
        refusal: Why it was.
    """

    core: Core
    policy: PlanPolicy
    witness: Witness
    facts: RequestFacts | None
    plan: Plan | None
    refusal: RoutingError | None


def decide(world: World) -> Decided:
    """Let the router decide.

    Raises:
        ValueError: What was learned does not fit the fleet or the model, or the load names an unknown instance.
    """
    core = assemble(world.settings, np.random.default_rng(_SEED))
    if world.model is not None:
        core.estimators.quality.replace(world.model)
    for name, (_, restore) in core.learned.items():
        if name in world.learned:
            restore(world.learned[name])
    _load(core, world.asked)
    witness, facts, plan, refusal = Witness(), None, None, None
    try:
        facts = world.asked.facts(
            max_body_bytes=world.settings.gateway.max_body_bytes, wants_words=lambda: core.router.reads_words
        )
        plan = core.router.route(facts, now=NOW_SECONDS, decision_id="explained", witness=witness)
    except RoutingError as error:
        refusal = error
    return Decided(
        core=core,
        policy=plan_policy(world.settings),
        witness=witness,
        facts=facts,
        plan=plan,
        refusal=refusal,
    )


def read_learned(file: Path) -> dict[str, Any]:
    """Read a state file of the service.

    Raises:
        ValueError: It cannot be read, or is none.
    """
    try:
        document = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ValueError(f"{file}: {error}; expected a state file of the service") from error
    if not isinstance(document, dict):
        raise ValueError(f"{file}: expected a JSON object, as the service writes it to service.state_file")
    return document


def _load(core: Core, asked: Asked) -> None:
    """Enter the load as scrapes would, the failures as Envoy would, and the session's answers as the service does."""
    router, table = core.router, core.router.book.table
    for address in (*asked.load, *asked.suspects):
        if address not in table.row_by_address:
            known = ", ".join(table.addresses[:6])
            raise ValueError(f"the fleet has no instance {address}; it has {known}{' …' * (len(table) > 6)}")
    for address in table.addresses:
        sequences, slots = asked.load.get(address, 0.0), table.max_num_seqs[table.row_by_address[address]]
        running = min(sequences, float(slots))
        metrics = InstanceMetrics(
            running=running,
            waiting=sequences - running,
            kv_usage=0.0,
            preemptions_total=0.0,
            kv_capacity_tokens=None,
        )
        router.observe(address, metrics, NOW_SECONDS)
    for address in asked.suspects:
        router.book.observe_failure(address, NOW_SECONDS)
    session = asked.headers.get(names.SESSION, "") or SESSION
    for number, model in enumerate(asked.failed):
        rows = table.rows_by_model.get(model)
        if rows is None:
            raise ValueError(f"no model {model!r} can have failed; the fleet has {', '.join(table.models)}")
        router.sessions.enter(
            session,
            decision_id=f"failed-{number}",
            model=model,
            address=table.addresses[int(rows[0])],
            now=NOW_SECONDS,
        )
        router.feedback(session, attempt=None, is_correct=False, now=NOW_SECONDS)
