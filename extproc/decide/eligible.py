"""Who may serve a request at all: filters before any preference, each with the reason for what it excluded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extproc.errors import ModelNotFoundError, NoInstanceError
from extproc.facts.request import RequestFacts
from extproc.fleet.snapshot import FleetSnapshot, FleetTable, Ints, Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The instances that may serve.

    Attributes:
        rows: Rows of the snapshot, ascending; at least one.
        models: Models that they serve; all of the fleet's for a request without a model.
        rewrites_model: True when the client asked for an alias, so that the body's model must be replaced.
    """

    rows: Ints
    models: tuple[str, ...]
    rewrites_model: bool


def eligible(facts: RequestFacts, snapshot: FleetSnapshot) -> Candidates:
    """Find the instances that serve the wanted model, are in the allowed subset and take new requests.

    Raises:
        ModelNotFoundError: The fleet has neither a model nor an alias of that name.
        NoInstanceError: Somebody serves the model, but nobody may take the request.
    """
    table = snapshot.table
    offer = _offer(facts.model, table)
    rows = offer.rows
    if facts.subset is not None:
        rows = np.array(
            [row for row in rows if _in_subset(table.addresses[row], facts.subset)], dtype=np.int64
        )
        if not len(rows):
            raise NoInstanceError(
                "No instance of the subset that the gateway allows serves this request.",
                reason="rejected-no-endpoints",
            )
    usable = snapshot.usable[rows]
    if np.count_nonzero(usable) < len(rows):
        rows = rows[usable]
    if not len(rows):
        raise NoInstanceError(
            "Every instance that could serve this request is draining.", reason="rejected-no-endpoints"
        )
    models = offer.models
    if len(rows) < len(offer.rows):
        models = tuple(table.models[index] for index in np.flatnonzero(table.rows_per_model(rows)))
    return Candidates(rows=rows, models=models, rewrites_model=offer.is_alias)


def _offer(model: str | None, table: FleetTable) -> Offer:
    if model is None:
        return Offer(rows=table.rows, models=table.models, is_alias=False)
    offer = table.offers.get(model)
    if offer is None:
        raise ModelNotFoundError(
            f"The model `{model[:200]}` does not exist. Known here: {', '.join(sorted(table.offers))}.",
            reason="model-not-found",
            param="model",
        )
    return offer


def _in_subset(address: str, subset: frozenset[str]) -> bool:
    return address in subset or address.rpartition(":")[0] in subset
