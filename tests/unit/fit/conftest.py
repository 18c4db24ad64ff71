"""Made-up outcomes: questions of two kinds whose difficulty all models share, and one model good at one kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from extproc.fit.table import OutcomeTable, describe_prompt

KINDS = {
    "rivers": ("river", "delta", "current", "bank", "flood", "stream", "bridge", "lake"),
    "proofs": ("lemma", "prime", "theorem", "integer", "proof", "axiom", "finite", "group"),
    "meals": ("onion", "butter", "oven", "spice", "flour", "salt", "knife", "plate"),
}


@pytest.fixture
def make_table() -> Callable[..., OutcomeTable]:
    """Models `weak`, `strong` and `specialist`, right more often in this order; the last one excels at proofs."""

    def make(rows: int = 240, seed: int = 0, slope: float = 2.0) -> OutcomeTable:
        rng = np.random.default_rng(seed)
        kinds = [list(KINDS)[index % len(KINDS)] for index in range(rows)]
        prompts = ["Tell me about " + " ".join(rng.choice(KINDS[kind], 6)) + "?" for kind in kinds]
        skill = np.array([-1.0, 0.7, 0.0]) + np.array(
            [[0.0, 0.0, 2.5 if kind == "proofs" else -1.0] for kind in kinds]
        )
        easiness = slope * rng.normal(size=(rows, 1))
        right = rng.random((rows, 3)) < 1.0 / (1.0 + np.exp(-skill * 1.5 - easiness))
        return OutcomeTable(
            name="made up",
            models=("weak", "strong", "specialist"),
            prompts=tuple(describe_prompt(prompt) for prompt in prompts),
            groups=tuple(kinds),
            keys=tuple(f"{seed}:{index}" for index in range(rows)),
            outcomes=right.astype(float),
        )

    return make
