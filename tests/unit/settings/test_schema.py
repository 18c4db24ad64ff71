from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from extproc.decide.order import Policy
from extproc.settings.load import parse_settings
from extproc.settings.problems import SettingsError
from extproc.settings.schema import InstanceSettings, PolicyName, Settings


def test_the_fleet_is_handed_on_with_everything_the_core_needs(valid_text: str) -> None:
    """Clusters, pools, prices, speeds and draining instances arrive as the file states them."""
    text = valid_text.replace("- 10.0.0.2:8000", '- {address: "10.0.0.2:8000", draining: true}')

    fleet = parse_settings(text, Path("fleet.yaml")).fleet()

    short, long = fleet.clusters
    assert ("tiny-short", "tiny", "short", 4096, 8) == (
        short.name, short.model, short.pool, short.max_model_len, short.max_num_seqs,
    )  # fmt: skip
    assert [("10.0.0.1:8000", False), ("10.0.0.2:8000", True)] == [
        (instance.address, instance.draining) for instance in short.instances
    ]
    assert (0.1, 0.2) == (long.price.input_usd_per_mtok, long.price.output_usd_per_mtok)
    assert (0.008, 0.00065, 16_000.0) == (
        long.speed.iteration_base_seconds,
        long.speed.iteration_per_sequence_seconds,
        long.speed.prefill_tokens_per_second,
    )
    assert [("short", 4096), ("long", None)] == [(pool.name, pool.threshold_tokens) for pool in fleet.pools]


def test_auto_stands_for_every_model_unless_the_file_says_otherwise(valid_text: str) -> None:
    """The alias is there without a word in the file."""
    text = valid_text.replace("model: tiny\n", "model: other\n", 1)
    implied = parse_settings(text, Path("f")).fleet().aliases
    stated = parse_settings(text + "aliases: {auto: [tiny], fast: [other]}\n", Path("f")).fleet().aliases

    assert {"auto": ("other", "tiny")} == implied
    assert {"auto": ("tiny",), "fast": ("other",)} == stated


def test_settings_cannot_be_changed(valid_text: str) -> None:
    """A tree is swapped whole, never edited."""
    settings = parse_settings(valid_text, Path("f"))

    with pytest.raises(ValidationError):
        settings.budgets.max_attempts = 9


@pytest.mark.parametrize("value", ["10.0.0.1:80", {"address": "10.0.0.1:80"}])
def test_an_instance_is_a_text_or_a_mapping(value: object) -> None:
    """The short form is for the usual case."""
    assert InstanceSettings(address="10.0.0.1:80", draining=False) == InstanceSettings.model_validate(value)


@pytest.mark.parametrize(
    "section",
    [
        "budgets: {request_timeout_seconds: 1.0e+300}",
        "budgets: {per_try_timeout_seconds: 604801}",
        "budgets: {deadline_seconds: .inf}",
        "scrape: {interval_seconds: 1.0e+9}",
        "verification: {min_mean_logprob: -.inf}",
    ],
)
def test_figures_beyond_all_use_are_refused(valid_text: str, section: str) -> None:
    """A time of more than a week is a slip of the pen, which Envoy or a timer could not take, and infinity is no threshold."""
    name = section.partition("{")[2].partition(":")[0]

    with pytest.raises(SettingsError, match=name):
        parse_settings(f"{valid_text}{section}\n", Path("f"))


def test_every_field_is_described() -> None:
    """The manual and the hints are made of the descriptions."""
    definitions = {**Settings.model_json_schema()["$defs"], "Settings": Settings.model_json_schema()}
    silent = [
        f"{name}.{field}"
        for name, schema in definitions.items()
        for field, about in schema.get("properties", {}).items()
        if "description" not in about and "$ref" not in about
    ]

    assert [] == silent


def test_every_policy_of_the_file_is_one_that_the_router_knows() -> None:
    """The file offers what there is, no more and no less."""
    assert {policy.value for policy in Policy} == {policy.value for policy in PolicyName}


@pytest.mark.parametrize(
    "field", ["max_model_len", "max_num_seqs", "min_retry_concurrency", "threshold_tokens"]
)
def test_a_count_beyond_what_its_consumers_hold_is_a_mistake(valid_text: str, field: str) -> None:
    """Arrays hold int64 and Envoy uint32: what does not fit is refused here, not found out there."""
    text = valid_text + "budgets: {min_retry_concurrency: 10}\n"

    with pytest.raises(SettingsError, match=field):
        parse_settings(re.sub(rf"{field}: \d+", f"{field}: {10**400}", text), Path("f"))
