from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from extproc.gateway.check import CheckReport, check
from extproc.gateway.render import render_envoy_yaml
from extproc.settings import load_settings

ROOT = Path(__file__).parents[3]
VALID = (ROOT / "tests" / "data" / "fleet" / "valid.yaml").read_text(encoding="utf-8")


def shown(report: CheckReport) -> str:
    """The report as a narrow console without colours shows it."""
    console = Console(width=200, no_color=True, record=True, force_terminal=False, quiet=True)
    with console.capture():
        console.print(report.renderable())
    return "".join(segment.text for segment in console.render(report.renderable()))


def checked(folder: Path, text: str) -> CheckReport:
    """Check a text as a file."""
    path = folder / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    return check(path)


def test_the_committed_fleet_raises_no_doubt() -> None:
    """The demo's file is an example in this too."""
    report = check(ROOT / "envoy" / "fleet.yaml")

    assert report.is_usable
    assert () == report.warnings


def test_mistakes_are_shown_with_their_place_and_a_hint(tmp_path: Path) -> None:
    """An editor can jump to each line that is printed."""
    report = checked(tmp_path, VALID.replace("pool: short", "pool: shrt"))

    assert not report.is_usable
    text = shown(report)
    assert f"{tmp_path}/fleet.yaml:9:5 clusters[0].pool: got 'shrt', expected the name of a pool" in text
    assert "did you mean 'short'?" in text
    assert "1 mistake; nothing of the file is used" in text


def test_a_usable_file_is_shown_as_a_table(tmp_path: Path) -> None:
    """Clusters stand under their pools, in the pools' order."""
    text = shown(checked(tmp_path, VALID))

    assert text.index("tiny-short") < text.index("tiny-long")
    assert "3 instances in 2 clusters" in text


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("      - 10.0.0.2:8000\n", "", "pool short has a single instance"),
        ("instances:\n      - 10.0.0.3:8000", "instances: []", "cluster tiny-long has no instance"),
        (
            "- 10.0.0.3:8000",
            '- {address: "10.0.0.3:8000", draining: true}',
            "cluster tiny-long has only draining instances",
        ),
        ("max_model_len: 4096", "max_model_len: 2048", "cluster tiny-short holds 2,048 tokens"),
        ("max_model_len: 32768", "max_model_len: 4096", "pool long holds 4,096 tokens at most"),
        ("input: 0.1", "input: 0", "cluster tiny-short has a price of zero"),
        (
            "input: 0.1",
            "input: 5.0e-07",
            "cluster tiny-short has a price of 5e-07 US dollars per million tokens",
        ),
        (
            "version: 1\n",
            "version: 1\ngateway: {admin: '0.0.0.0:9901'}\n",
            "gateway.admin listens on 0.0.0.0:9901",
        ),
        (
            "version: 1\n",
            "version: 1\ngateway: {max_body_bytes: 65536}\n",
            "gateway.max_body_bytes is 65,536",
        ),
        ("model: tiny\n    pool: long", "model: big\n    pool: long", "model big has a single instance"),
    ],
)
def test_doubts_are_told(tmp_path: Path, old: str, new: str, warning: str) -> None:
    """What would start, but hardly as meant."""
    assert old in VALID

    report = checked(tmp_path, VALID.replace(old, new, 1))

    assert report.is_usable
    assert [warning] == [text[: len(warning)] for text in report.warnings if text.startswith(warning)]
    assert f"! {warning}" in shown(report)


@pytest.mark.parametrize(
    ("extra", "warning"),
    [
        ("objective: {seconds_per_usd: 5.0}", "policy least_work does not choose by it"),
        (
            "objective: {preset: cost, weights: {quality: 1.0, latency: 1.0, cost: 0.0}}",
            "objective.preset (cost) is not used: objective.weights stand beside it, and win",
        ),
    ],
)
def test_weights_without_effect_are_told(tmp_path: Path, extra: str, warning: str) -> None:
    """The file says something that the router does not do."""
    assert warning in "\n".join(checked(tmp_path, f"{VALID}{extra}\n").warnings)


@pytest.mark.parametrize("policy", ["first_correct", "route_balance"])
def test_weights_with_effect_raise_no_doubt(tmp_path: Path, policy: str) -> None:
    """These policies choose by them."""
    report = checked(tmp_path, f"{VALID}policy: {{name: {policy}}}\nobjective: {{preset: cost}}\n")

    assert report.is_usable
    assert not any("objective" in warning for warning in report.warnings)


def test_an_alias_for_all_that_leaves_a_model_out_is_told(tmp_path: Path) -> None:
    """`auto` is expected to mean every model."""
    text = (
        VALID.replace("model: tiny\n    pool: long", "model: big\n    pool: long")
        + "aliases: {auto: [tiny]}\n"
    )

    assert "the alias auto leaves out big" in checked(tmp_path, text).warnings


def test_an_outdated_rendering_beside_the_file_is_told(tmp_path: Path) -> None:
    """Envoy would run something else than the file says."""
    checked(tmp_path, VALID)
    rendered = tmp_path / "envoy.yaml"
    text = render_envoy_yaml(load_settings(tmp_path / "fleet.yaml"), source=Path("called/otherwise.yaml"))
    rendered.write_text(text, encoding="utf-8")
    fresh = check(tmp_path / "fleet.yaml").warnings
    rendered.write_text("old", encoding="utf-8")
    stale = check(tmp_path / "fleet.yaml").warnings

    assert [f"{rendered} does not match: run `ttca render {tmp_path / 'fleet.yaml'} -o {rendered}`"] == [
        text for text in stale if text not in fresh
    ]


def test_passing_everything_through_is_doubted(tmp_path: Path) -> None:
    """Clients would reach what vLLM serves for operators."""
    report = checked(tmp_path, VALID + 'gateway: {passthrough: ["/"]}\n')

    assert ["/pause" in warning for warning in report.warnings if "passthrough" in warning] == [True]
    assert not any("passthrough" in warning for warning in checked(tmp_path, VALID).warnings)
