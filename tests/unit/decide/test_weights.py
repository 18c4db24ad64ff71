from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from extproc.decide.weights import PRESETS, Preset, Reference, Weights, derived_reference_usd
from extproc.fleet.topology import Cluster, Fleet, Price, Speed


def test_weights_are_proportions() -> None:
    """They sum to 1 whatever their scale."""
    weights = Weights.of(quality=6, latency=3, cost=1)

    assert (("quality", 0.6), ("latency", 0.3), ("cost", 0.1)) == weights.items()


@pytest.mark.parametrize(
    ("quality", "latency", "cost", "word"),
    [
        (-0.1, 1, 0, "quality"),
        (math.nan, 1, 0, "quality"),
        (1, 1, math.inf, "cost"),
        (1, 0.009, 0, "latency"),
        (1, 0, 0, "latency"),
        (0, 0, 0, "latency"),
        (1e308, 1e308, 1e308, "latency"),
    ],
)
def test_odd_weights_are_refused(quality: float, latency: float, cost: float, word: str) -> None:
    """The text names the weight at fault; time cannot weigh nothing, for it measures the rest."""
    with pytest.raises(ValueError, match=word):
        Weights.of(quality=quality, latency=latency, cost=cost)


def test_presets_are_the_published_ones() -> None:
    """Thirds, or eight tenths for what the preset is called after."""
    assert {1 / 3} == {value for _, value in PRESETS[Preset.BALANCED].items()}
    for preset in (Preset.QUALITY, Preset.LATENCY, Preset.COST):
        assert pytest.approx(0.8) == dict(PRESETS[preset].items())[preset.value]


@pytest.mark.parametrize(
    ("preset", "worth", "per_usd"),
    [
        (Preset.BALANCED, 60.0, 30_000.0),
        (Preset.QUALITY, 480.0, 30_000.0),
        (Preset.LATENCY, 7.5, 3_750.0),
        (Preset.COST, 60.0, 240_000.0),
    ],
)
def test_weights_become_seconds(preset: Preset, worth: float, per_usd: float) -> None:
    """A correct answer is worth wq / wl of the reference's seconds, its dollars wc / wl of them."""
    objective = Reference(seconds=60.0, usd=0.002).objective(PRESETS[preset], congestion_weight=2.0)

    assert (worth, 2.0, per_usd) == pytest.approx(
        (objective.worth_seconds, objective.congestion_weight, objective.seconds_per_usd)
    )


def test_the_reference_price_follows_from_the_fleet(
    make_cluster: Callable[..., Cluster], make_fleet: Callable[..., Fleet]
) -> None:
    """The dearest model's price of a chat turn weighs as much as the slowest model's time for it."""
    slow = Speed(
        iteration_base_seconds=0.029, iteration_per_sequence_seconds=0.001, prefill_tokens_per_second=1000.0
    )
    fleet = make_fleet(
        make_cluster("s", model="small", price=Price(input_usd_per_mtok=0.1, output_usd_per_mtok=0.1)),
        make_cluster(
            "l", model="large", speed=slow, price=Price(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0)
        ),
    )

    assert pytest.approx(60.0 * (1_000 * 1e-6 + 300 * 2e-6) / (1.0 + 300 * 0.03)) == derived_reference_usd(
        fleet, 60.0
    )


def test_without_prices_money_weighs_nothing(
    make_cluster: Callable[..., Cluster], make_fleet: Callable[..., Fleet]
) -> None:
    """A free fleet has no dollars to save."""
    free = make_fleet(make_cluster("s", price=Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0)))
    usd = derived_reference_usd(free, 60.0)

    assert math.inf == usd
    assert (
        0.0
        == Reference(seconds=60.0, usd=usd)
        .objective(PRESETS[Preset.COST], congestion_weight=1.0)
        .seconds_per_usd
    )
