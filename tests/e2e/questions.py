"""Questions with known answers, and a fleet that weighs quality: model-a is quick and often wrong, model-b mostly right."""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import chat


def weighing_quality(
    document: dict[str, Any], *, small: float = 0.005, large: float = 0.05
) -> dict[str, Any]:
    """Let a fleet document weigh quality; `small` and `large` are seconds per token of model-a and model-b."""
    document["policy"] = {"name": "first_correct"}
    for cluster in document["clusters"]:
        is_small = cluster["model"] == "model-a"
        cluster["quality_prior"] = 0.6 if is_small else 0.9
        base = small if is_small else large
        cluster["speed"] = {"iteration_base_seconds": base, "iteration_per_sequence_seconds": base / 20}
    return document


def question(*, right: str = "", tokens: int = 20, **fields: Any) -> dict[str, Any]:
    """A question that the models named in `right` answer with 42 and all others with 41."""
    answers = {model: "42" if model in right.split() else "41" for model in ("model-a", "model-b")}
    return chat(temperature=0, **fields, ttca_sim={"output_tokens": tokens, "answers": answers})
