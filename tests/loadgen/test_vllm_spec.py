from __future__ import annotations

from dataclasses import replace

import pytest

from loadgen.engine.presets import RTXPRO6000_LLAMA3_8B
from loadgen.vllm.spec import InstanceSpec


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:", ":80", "127.0.0.1:70000", "127.0.0.1:http"])
def test_an_address_is_host_and_port(address: str) -> None:
    """Anything else is refused when the spec is made, not when the server starts."""
    with pytest.raises(ValueError, match="ip:port"):
        InstanceSpec(address=address)


@pytest.mark.parametrize(
    ("field_name", "value"), [("time_scale", 0.0), ("output_tokens_median", 0.0), ("kv_blocks", 1)]
)
def test_impossible_figures_are_refused(field_name: str, value: float) -> None:
    """The error names the field."""
    with pytest.raises(ValueError, match=field_name):
        replace(InstanceSpec(), **{field_name: value})  # type: ignore[arg-type]


def test_a_preset_sets_the_speed_and_nothing_else() -> None:
    """The rest of the spec stays as it was."""
    spec = InstanceSpec(model="m", max_num_seqs=7)
    faster = spec.at_speed(RTXPRO6000_LLAMA3_8B)
    assert RTXPRO6000_LLAMA3_8B.base_seconds == faster.iteration_base_seconds
    assert ("m", 7) == (faster.model, faster.max_num_seqs)


def test_an_ipv6_address_is_listened_on_without_brackets() -> None:
    """Brackets belong to the address's spelling only."""
    assert ("::1", 8000) == (InstanceSpec(address="[::1]:8000").host, InstanceSpec(address="[::1]:8000").port)
