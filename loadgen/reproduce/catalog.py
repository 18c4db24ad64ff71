"""The studies that `python -m loadgen reproduce` runs, in the order of the report."""

from __future__ import annotations

from collections.abc import Sequence

from loadgen.reproduce import agreement, beyond, dual_pool, laar, route_balance
from loadgen.reproduce.study import Study

STUDIES: tuple[Study, ...] = (
    beyond.STUDY,
    dual_pool.STUDY,
    laar.STUDY,
    route_balance.STUDY,
    agreement.STUDY,
)


def choose(keys: Sequence[str], studies: Sequence[Study] = STUDIES) -> tuple[Study, ...]:
    """The studies of these keys in the order of the report; all for no key.

    Raises:
        ValueError: No study has that key.
    """
    known = [study.key for study in studies]
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ValueError(f"no study is called {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    return tuple(study for study in studies if not keys or study.key in keys)
