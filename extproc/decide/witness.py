"""What a decision looked at on its way, noted for whoever explains it; requests that nobody explains carry no witness."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.decide.eligible import Candidates
from extproc.decide.first_correct import Ranking
from extproc.decide.plan import TokenBudget
from extproc.decide.policies import Case
from extproc.decide.pools import PoolChoice
from extproc.fleet.snapshot import FleetSnapshot, Floats


@dataclass(slots=True)
class Witness:
    """Filled by the router as it decides; what was not reached stays None.

    Attributes:
        snapshot: The fleet's load.
        candidates: Who may serve at all.
        budget: Tokens that the request may need.
        pool: The chosen pool.
        work_seconds: Predicted work by row of the fleet; None for policies that forecast.
        case: What a forecasting policy saw.
        ranking: What it made of that.
    """

    snapshot: FleetSnapshot | None = None
    candidates: Candidates | None = None
    budget: TokenBudget | None = None
    pool: PoolChoice | None = None
    work_seconds: Floats | None = None
    case: Case | None = None
    ranking: Ranking | None = None
