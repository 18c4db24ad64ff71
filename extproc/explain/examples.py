"""Ten requests and a fleet to explain them on: what `docs/explain.md` shows."""

from __future__ import annotations

from typing import Any, Final

FLEET: Final = """\
version: 1
pools:
  - {name: short, threshold_tokens: 8192}
  - {name: long}
clusters:
  - name: llama-3b
    model: llama-3.2-3b
    pool: short
    max_model_len: 8192
    max_num_seqs: 128
    price_usd_per_mtok: {input: 0.02, output: 0.02}
    quality_prior: 0.45
    speed: {iteration_base_seconds: 0.005, iteration_per_sequence_seconds: 0.0003, prefill_tokens_per_second: 40000}
    instances: ["10.0.0.1:8000", "10.0.0.2:8000"]
  - name: llama-8b
    model: llama-3.1-8b
    pool: short
    max_model_len: 8192
    max_num_seqs: 128
    price_usd_per_mtok: {input: 0.07, output: 0.07}
    quality_prior: 0.6
    speed: {iteration_base_seconds: 0.008, iteration_per_sequence_seconds: 0.00065, prefill_tokens_per_second: 16000}
    instances: ["10.0.1.1:8000", "10.0.1.2:8000"]
  - name: llama-8b-long
    model: llama-3.1-8b
    pool: long
    max_model_len: 65536
    max_num_seqs: 16
    price_usd_per_mtok: {input: 0.07, output: 0.07}
    quality_prior: 0.6
    speed: {iteration_base_seconds: 0.008, iteration_per_sequence_seconds: 0.00065, prefill_tokens_per_second: 16000}
    instances: ["10.0.2.1:8000"]
  - name: qwen-32b
    model: qwen2.5-32b
    pool: short
    max_model_len: 8192
    max_num_seqs: 64
    price_usd_per_mtok: {input: 0.22, output: 0.24}
    quality_prior: 0.78
    speed: {iteration_base_seconds: 0.018, iteration_per_sequence_seconds: 0.0009, prefill_tokens_per_second: 7000}
    instances: ["10.0.3.1:8000", {address: "10.0.3.2:8000", draining: true}]
  - name: qwen-32b-long
    model: qwen2.5-32b
    pool: long
    max_model_len: 65536
    max_num_seqs: 8
    price_usd_per_mtok: {input: 0.22, output: 0.24}
    quality_prior: 0.78
    speed: {iteration_base_seconds: 0.018, iteration_per_sequence_seconds: 0.0009, prefill_tokens_per_second: 7000}
    instances: ["10.0.4.1:8000"]
  - name: bge
    model: bge-m3
    pool: short
    max_model_len: 8192
    max_num_seqs: 64
    price_usd_per_mtok: {input: 0.01, output: 0}
    instances: ["10.0.5.1:8000"]
aliases:
  auto: [llama-3.2-3b, llama-3.1-8b, qwen2.5-32b]
policy: {name: first_correct}
objective: {preset: balanced}
overrides:
  presets: [cost, quality]
  weights: {quality: {max: 0.9}}
service: {state_file: out/explain/no-state.json}
"""
"""Three chat models of rising quality, price and time, two of them in a long pool as well, and one for embeddings."""


def _chat(text: str, **fields: object) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}


_CONTRACT: Final = "\n".join(
    f"{number}. The supplier shall deliver part {number} within {number % 30 + 1} working days of the written order, "
    "and shall bear the cost of any delay that it has caused."
    for number in range(1, 601)
)
_CODE: Final = """\
Find the mistake in this function and answer with the corrected function only.

def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 0:
        return (ordered[middle] + ordered[middle + 1]) / 2
    return ordered[middle]
"""
_SCHEMA: Final = {
    "type": "json_schema",
    "json_schema": {
        "name": "invoice",
        "schema": {
            "type": "object",
            "properties": {"number": {"type": "string"}, "total": {"type": "number"}},
            "required": ["number", "total"],
        },
    },
}
_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place, now.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}

EXAMPLES: Final[tuple[dict[str, Any], ...]] = (
    {
        "about": "A short chat, nothing to hold the answer against",
        "body": _chat("Which of the moons of Jupiter did Galileo see first?", stream=True),
    },
    {
        "about": "A long contract: only the long pool holds it",
        "body": _chat(_CONTRACT + "\n\nWhich of these deadlines is the shortest?", max_tokens=300),
    },
    {
        "about": "Code, and the client says what a correct answer contains",
        "headers": {"x-ttca-expect": "contains:ordered[middle - 1]"},
        "body": _chat(_CODE, temperature=0),
    },
    {
        "about": "An answer that must match a JSON schema, with a deadline",
        "headers": {"x-ttca-deadline-ms": "20000"},
        "body": _chat(
            "Invoice 2024-117, three chairs at 89.90 each, delivery 12.00. Number and total as JSON.",
            response_format=_SCHEMA,
            max_tokens=200,
        ),
    },
    {
        "about": "Tools, while the cheapest model is busy",
        "load": {"10.0.0.1:8000": 90, "10.0.0.2:8000": 96, "10.0.1.1:8000": 12},
        "body": _chat("Do I need an umbrella in Bergen today?", tools=[_TOOL], tool_choice="auto"),
    },
    {
        "about": "A question in Japanese",
        "headers": {"x-ttca-expect": "contains:富士山"},
        "body": _chat("日本で一番高い山はどこですか。標高と、登山に最も適した季節も簡潔に教えてください。"),
    },
    {
        "about": "Embeddings of three texts",
        "path": "/v1/embeddings",
        "body": {"model": "bge-m3", "input": ["a chair", "an armchair", "a table for twelve people, of oak"]},
    },
    {
        "about": "A small prompt with a huge max_tokens: the client's limit counts",
        "body": _chat("Write a novel about a lighthouse keeper.", max_tokens=50_000, stream=True),
    },
    {
        "about": "A session whose two cheaper models were wrong, at temperature 0",
        "headers": {"x-ttca-session": "homework-7"},
        "failed": ["llama-3.2-3b", "llama-3.1-8b"],
        "body": _chat("How many of the first 1,000 primes are palindromes?", temperature=0, max_tokens=2000),
    },
    {
        "about": "A client that wishes for low cost, as the operator allows",
        "headers": {"x-ttca-preset": "cost", "x-ttca-expect": "regex:^[0-9,]+$"},
        "load": {"10.0.0.1:8000": 20, "10.0.0.2:8000": 60},
        "body": _chat("How many seconds has a leap year? Digits only.", max_tokens=20),
    },
)
