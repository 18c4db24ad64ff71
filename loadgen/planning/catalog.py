"""Hardware by name: the presets that are measured, and an operator's own in a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadgen.engine.presets import FITTED
from loadgen.engine.speed import Speed
from loadgen.planning.hardware import BLOCK_TOKENS, Hardware

MEMORY_SHARE = 0.9
"""vLLM's default `gpu_memory_utilization`."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """What an instance's KV memory follows from.

    Attributes:
        gpus: GPUs per instance.
        gigabytes: Memory of one GPU.
        weights: Gigabytes of weights.
        kv_bytes: Bytes of keys and values per token: 2 · layers · KV heads · head size · 2.
        usd: Price of a GPU for an hour where the authors' simulator names one; 0 otherwise.
    """

    gpus: int
    gigabytes: float
    weights: float
    kv_bytes: int
    usd: float = 0.0

    @property
    def kv_blocks(self) -> int:
        free = 1e9 * (MEMORY_SHARE * self.gpus * self.gigabytes - self.weights)
        return int(free // (BLOCK_TOKENS * self.kv_bytes))


_LLAMA_8B = 2 * 32 * 8 * 128 * 2
_LLAMA_70B = 2 * 80 * 8 * 128 * 2
_QWEN_32B = 2 * 64 * 8 * 128 * 2
_GPT_OSS = 2 * 36 * 8 * 64 * 2

_MEMORY: Mapping[str, _Memory] = MappingProxyType(
    {
        "Llama-3.1-8B, RTXPRO6000, tp 1, dp 1": _Memory(1, 96, 16.1, _LLAMA_8B),
        "Qwen3-32B, RTXPRO6000, tp 2, dp 1": _Memory(2, 96, 65.6, _QWEN_32B),
        "Llama-3.1-70B, H100, fp8, tp 2": _Memory(2, 80, 70.6, _LLAMA_70B, 4.02),
        "Llama-3.1-70B, H100, fp8, tp 4": _Memory(4, 80, 70.6, _LLAMA_70B, 4.02),
        "Llama-3.1-70B, H100, fp8, tp 8": _Memory(8, 80, 70.6, _LLAMA_70B, 4.02),
        "Llama-3.1-70B, B200, fp8, tp 1": _Memory(1, 180, 70.6, _LLAMA_70B),
        "gpt-oss-120b, H100, fp4, tp 2": _Memory(2, 80, 63.0, _GPT_OSS, 4.02),
        "llama2-70b, A100, tp 4": _Memory(4, 80, 138.0, _LLAMA_70B, 2.21),
        "llama2-70b, A100, tp 8": _Memory(8, 80, 138.0, _LLAMA_70B, 2.21),
    }
)

PRESETS: Mapping[str, Hardware] = MappingProxyType(
    {
        name: Hardware(
            name=name,
            speed=FITTED[name],
            kv_blocks=memory.kv_blocks,
            gpus=memory.gpus,
            usd_per_gpu_hour=memory.usd,
        )
        for name, memory in _MEMORY.items()
    }
)
"""Measured speeds, with the KV memory that vLLM would have at its defaults."""


class _Described(BaseModel):
    """Hardware as an operator writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(default="own hardware", min_length=1)
    iteration_base_seconds: float = Field(gt=0)
    iteration_per_sequence_seconds: float = Field(ge=0)
    iteration_per_context_token_seconds: float = Field(default=0.0, ge=0)
    prefill_tokens_per_second: float = Field(gt=0)
    kv_blocks: int = Field(ge=1)
    gpus: int = Field(ge=1)
    usd_per_gpu_hour: float = Field(default=0.0, ge=0)


def find_hardware(name: str) -> Hardware:
    """A preset by its name, or the hardware that a YAML file describes.

    Raises:
        ValueError: It is neither, or the file is wrong; the text says what was expected.
    """
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"hardware {name!r} is neither a file nor a preset; presets: " + "; ".join(PRESETS))
    try:
        found = _Described.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg'].lower()}" for one in error.errors()
        )
        raise ValueError(
            f"{path}: {told}; expected the fields {', '.join(_Described.model_fields)}"
        ) from error
    return Hardware(
        name=found.name,
        speed=Speed(
            base_seconds=found.iteration_base_seconds,
            per_sequence_seconds=found.iteration_per_sequence_seconds,
            per_context_token_seconds=found.iteration_per_context_token_seconds,
            prefill_tokens_per_second=found.prefill_tokens_per_second,
        ),
        kv_blocks=found.kv_blocks,
        gpus=found.gpus,
        usd_per_gpu_hour=found.usd_per_gpu_hour,
    )
