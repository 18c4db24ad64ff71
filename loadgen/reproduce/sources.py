"""Where the recorded data that studies use was published: what to fetch when it is not on this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One published set; `publisher` names the GitHub repository and the folder within it."""

    what: str
    publisher: str
    licence: str


SOURCES: tuple[Source, ...] = (
    Source("Azure LLM inference trace 2023 (arrivals, lengths)", "Azure/AzurePublicDataset", "CC-BY-4.0"),
    Source("ZeroEval GSM and CRUX (answers by model)", "WildEval/ZeroEval, result_dirs", "Apache-2.0"),
    Source("MMLU-Pro (answers by model)", "TIGER-AI-Lab/MMLU-Pro, eval_results", "Apache-2.0"),
    Source("LLMRouter's mixed tasks (answers by model)", "ulab-uiuc/LLMRouter, data", "MIT"),
    Source("LongEval lines and topics (accuracy by length)", "DachengLi1/LongChat, longeval", "Apache-2.0"),
    Source("BABILong (accuracy by length)", "booydar/babilong, babilong_evals", "Apache-2.0"),
    Source("Needle in a haystack", "gkamradt/LLMTest_NeedleInAHaystack", "MIT"),
    Source("Self-translate (accuracy by language)", "juletx/self-translate, lm_eval/results", "MIT"),
    Source("Texts and token counts by language", "nltk/nltk_data, google-research/url-nlp", "see there"),
)
