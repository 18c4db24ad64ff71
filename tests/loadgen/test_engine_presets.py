from __future__ import annotations

from pathlib import Path

import pytest

from loadgen.engine import presets
from loadgen.engine.speed import Speed

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "simulated-vllm.md"


@pytest.mark.parametrize("name", presets.FITTED)
def test_a_fitted_preset_is_the_row_of_its_name(name: str) -> None:
    """Presets and the published table cannot drift apart."""
    speed = presets.FITTED[name]
    expected = [
        f"{speed.base_seconds * 1e3:.2f}",
        f"{speed.per_sequence_seconds * 1e3:.4f}",
        f"{speed.per_context_token_seconds * 1e9:.1f}",
        f"{speed.prefill_tokens_per_second:.0f}",
    ]
    rows = [line.strip("| ").split(" | ") for line in DOCUMENT.read_text(encoding="utf-8").splitlines()]
    assert [expected] == [row[1:5] for row in rows if row[0] == name]


@pytest.mark.parametrize("speed", [*presets.FITTED.values(), presets.A100_FLEET_SIM, presets.A10G_FLEET_SIM])
def test_a_preset_makes_an_engine(speed: Speed) -> None:
    """Every preset is within what an engine accepts."""
    config = speed.engine_config(
        max_num_seqs=64, max_num_batched_tokens=2048, max_model_len=8192, kv_blocks=4096
    )
    assert speed.base_seconds == config.iteration_base_seconds
