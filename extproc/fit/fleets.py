"""The fleets that estimates are held against: models that an operator might run side by side, with their costs.

Costs are relative within a fleet: active parameters in billions for open models, dollars per million output tokens as
listed when the outcomes were recorded for hosted ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class FleetOfModels:
    """Models with their costs, and the data sets that hold outcomes of all of them.

    Attributes:
        name: Short name.
        costs: Cost by model.
        inside: Sets on which an estimate is fitted and asked by questions held out.
        across: Sets of which one at a time is held out whole.
        by_group: True when the tasks of the single set in `across` are held out one at a time instead.
    """

    name: str
    costs: Mapping[str, float]
    inside: tuple[str, ...]
    across: tuple[str, ...] = ()
    by_group: bool = False


def _fleet(
    name: str,
    costs: Mapping[str, float],
    inside: tuple[str, ...],
    across: tuple[str, ...] = (),
    *,
    by_group: bool = False,
) -> FleetOfModels:
    return FleetOfModels(name, MappingProxyType(dict(costs)), inside, across, by_group)


_LLAMA_31 = {"Meta-Llama-3.1-8B-Instruct": 8.0, "Meta-Llama-3.1-70B-Instruct": 70.0}
_LLAMA_3 = {"Meta-Llama-3-8B-Instruct": 8.0, "Meta-Llama-3-70B-Instruct": 70.0}
_LLAMA_31_LARGE = {**_LLAMA_31, "Meta-Llama-3.1-405B-Instruct@hyperbolic": 405.0}
_ZEROEVAL = ("zeroeval_gsm", "zeroeval_crux", "zeroeval_numersense")

FLEETS: Final = (
    _fleet("Llama 3.1, 2 sizes", _LLAMA_31, ("mmlu_pro",), ("mmlu_pro", "zeroeval_gsm", "zeroeval_crux")),
    _fleet("Llama 3.1, 3 sizes", _LLAMA_31_LARGE, ("zeroeval_gsm", "zeroeval_crux")),
    _fleet("Llama 3, 2 sizes", _LLAMA_3, ("zeroeval_numersense",), _ZEROEVAL),
    _fleet(
        "Qwen 2.5",
        {f"Qwen2.5-{size}B-Instruct": float(size) for size in (3, 7, 32, 72)},
        ("zeroeval_crux",),
    ),
    _fleet(
        "Mistral",
        {"Mixtral-8x7B-Instruct-v0.1": 13.0, "Mistral-Nemo-Instruct-2407": 12.0, "Mistral-Large-2": 123.0},
        ("zeroeval_gsm",),
    ),
    _fleet(
        "Mistral and Mixtral",
        {"Mistral-7B-Instruct-v0.2": 7.0, "Mixtral-8x7B-Instruct-v0.1": 13.0},
        ("mmlu_pro",),
    ),
    _fleet(
        "Gemma 2 (gsm)",
        {"gemma-2-2b-it": 2.0, "gemma-2-9b-it": 9.0, "gemma-2-27b-it@together": 27.0},
        ("zeroeval_gsm",),
    ),
    _fleet(
        "Gemma 2 (crux)",
        {"gemma-2-2b-it": 2.0, "gemma-2-9b-it": 9.0, "gemma-2-27b-it": 27.0},
        ("zeroeval_crux",),
    ),
    _fleet(
        "mixed open, with a specialist",
        {
            "Mistral-7B-Instruct-v0.2": 7.0,
            "Phi-3-mini-4k-instruct": 3.8,
            "mathstral-7B": 7.0,
            "Meta-Llama-3.1-8B-Instruct": 8.0,
            "jamba-1.5-large": 94.0,
            "Meta-Llama-3.1-70B-Instruct": 70.0,
        },
        ("mmlu_pro",),
        ("mmlu_pro",),
        by_group=True,
    ),
    _fleet(
        "hosted",
        {"gpt-3.5-turbo-0125": 1.5, "gpt-4o-mini-2024-07-18": 0.6, "gpt-4o-2024-05-13": 15.0},
        _ZEROEVAL,
        _ZEROEVAL,
    ),
    _fleet(
        "prices far apart",
        {"Mixtral-8x7B-Instruct-v0.1": 0.6, "gpt-4-1106-preview": 30.0},
        ("routellm_gsm8k", "routellm_mmlu"),
        ("routellm_gsm8k", "routellm_mmlu"),
    ),
    _fleet(
        "mixed tasks",
        {
            "mistral-7b-instruct-v0.3": 7.0,
            "qwen2.5-7b-instruct": 7.0,
            "llama-3.1-8b-instruct": 8.0,
            "gemma-2-9b-it": 9.0,
            "llama-3.3-nemotron-super-49b-v1": 49.0,
            "llama-3.1-nemotron-51b-instruct": 51.0,
        },
        ("ulab_llmrouter",),
        ("ulab_llmrouter",),
        by_group=True,
    ),
    _fleet(
        "Llama 2 chat, open questions",
        {f"llama-2-{size}b-chat-hf": float(size) for size in (7, 13, 70)},
        ("alpaca_eval",),
    ),
)
