"""The paper's fleet: 13 instances of four sizes on three kinds of GPU, as far as its figures determine it.

Published per size: instances, GPUs, prices, the time per output token that was measured (`MEASURED_SECONDS`) and the
larger prior of the static arm (`PRIOR_SECONDS`). An iteration of the engine lasts W + H·n: W is what was measured, and
H is such that the prior is met with `PRIOR_SEQUENCES` running, which is assumed. Prefill speeds and KV blocks are
computed from the GPUs' data sheets and the models' sizes; neither is under pressure in this study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from loadgen.virtual.fleet import Tier, VirtualFleet, build_fleet

INSTANCES: Final = (3, 5, 3, 2)
MEASURED_SECONDS: Final = (0.0102, 0.0196, 0.0139, 0.0416)
PRIOR_SECONDS: Final = (0.0123, 0.0206, 0.0184, 0.0474)
"""By size: instances, and seconds per output token as measured and as the static arm's prior has them."""

PRIOR_SEQUENCES: Final = 16
MAX_NUM_SEQS: Final = 256
MAX_MODEL_LEN: Final = 8192

_PREFILL_PER_SECOND: Final = (12_000.0, 5_000.0, 5_500.0, 4_300.0)
_KV_BLOCKS: Final = (23_500, 5_300, 7_900, 27_000)
_INPUT_USD: Final = (0.06, 0.07, 0.15, 0.38)
_OUTPUT_USD: Final = (0.06, 0.07, 0.15, 0.40)
"""Dollars per million tokens; the paper's repository prices output apart from input for 72B alone."""

TIERS: Final = tuple(
    Tier(
        base_seconds=measured,
        per_sequence_seconds=(prior - measured) / (PRIOR_SEQUENCES - 1),
        prefill_tokens_per_second=prefill,
        input_usd_per_mtok=input_usd,
        output_usd_per_mtok=output_usd,
    )
    for measured, prior, prefill, input_usd, output_usd in zip(
        MEASURED_SECONDS, PRIOR_SECONDS, _PREFILL_PER_SECOND, _INPUT_USD, _OUTPUT_USD, strict=True
    )
)


def build_cluster(models: Sequence[str]) -> VirtualFleet:
    """The 13 instances, serving these models.

    Args:
        models: Four, smallest first.

    Raises:
        ValueError: There are not four.
    """
    fleet = build_fleet(
        models, TIERS, instances=INSTANCES, max_num_seqs=MAX_NUM_SEQS, max_model_len=MAX_MODEL_LEN
    )
    blocks = [count for count, number in zip(_KV_BLOCKS, INSTANCES, strict=True) for _ in range(number)]
    return replace(
        fleet,
        engines={
            address: replace(config, kv_blocks=count)
            for (address, config), count in zip(fleet.engines.items(), blocks, strict=True)
        },
    )
