"""Who may serve a request at all: filters before any preference, each with the reason for what it excluded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extproc.errors import ModelNotFoundError, NoInstanceError
from extproc.facts.request import RequestFacts
from extproc.fleet.snapshot import FleetSnapshot, FleetTable, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The instances that may serve.

    Attributes:
        rows: Rows of the snapshot, ascending; at least one.
        rewrites_model: True when the client asked for an alias, so that the body's model must be replaced.
    """

    rows: Ints
    rewrites_model: bool


def eligible(facts: RequestFacts, snapshot: FleetSnapshot) -> Candidates:
    """Find the instances that serve the wanted model, are in the allowed subset and take new requests.

    Raises:
        ModelNotFoundError: The fleet has neither a model nor an alias of that name.
        NoInstanceError: Somebody serves the model, but nobody may take the request.
    """
    table = snapshot.table
    rows, rewrites_model = _rows_for_model(facts.model, table)
    if facts.subset is not None:
        rows = np.array(
            [row for row in rows if _in_subset(table.addresses[row], facts.subset)], dtype=np.int64
        )
        if not len(rows):
            raise NoInstanceError(
                "No instance of the subset that the gateway allows serves this request.",
                reason="rejected-no-endpoints",
            )
    rows = rows[snapshot.usable[rows]]
    if not len(rows):
        raise NoInstanceError(
            "Every instance that could serve this request is draining.", reason="rejected-no-endpoints"
        )
    return Candidates(rows=rows, rewrites_model=rewrites_model)


def _rows_for_model(model: str | None, table: FleetTable) -> tuple[Ints, bool]:
    if model is None:
        return np.arange(len(table), dtype=np.int64), False
    rows = table.rows_by_model.get(model)
    if rows is not None:
        return rows, False
    models = table.fleet.aliases.get(model)
    if models is None:
        known = sorted({*table.models, *table.fleet.aliases})
        raise ModelNotFoundError(
            f"The model `{model[:200]}` does not exist. Known here: {', '.join(known)}.",
            reason="model-not-found",
            param="model",
        )
    return np.sort(np.concatenate([table.rows_by_model[name] for name in models])), True


def _in_subset(address: str, subset: frozenset[str]) -> bool:
    return address in subset or address.rpartition(":")[0] in subset
