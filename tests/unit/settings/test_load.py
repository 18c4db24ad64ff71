from __future__ import annotations

from pathlib import Path

import pytest

from extproc.settings.load import load_settings, parse_settings
from extproc.settings.problems import SettingsError

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data" / "fleet"
BAD_FILES = sorted(path for path in DATA.glob("*.yaml") if path.stem != "valid")
MARK = "# expected: "


def test_the_committed_fleet_file_loads() -> None:
    """What the demo starts from is right."""
    settings = load_settings(ROOT / "envoy" / "fleet.yaml")

    assert 8 == sum(len(cluster.instances) for cluster in settings.clusters)


def test_the_valid_file_loads() -> None:
    """Each bad file differs from it in one place, so that place is the reason why it is refused."""
    assert 2 == len(load_settings(DATA / "valid.yaml").clusters)


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_a_mistake_is_told_with_its_place_and_what_was_expected(path: Path) -> None:
    """Every mistake of the file is reported at once, in the file's order, and nothing else is."""
    expected = [
        line.removeprefix(MARK)
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith(MARK)
    ]

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    told = [
        str(problem).removeprefix(str(path)).removeprefix(":").strip() for problem in caught.value.problems
    ]
    assert [line.strip() for line in expected] == told


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_bytes(b"version: 1 # \xff"), "not UTF-8 at byte 13"),
        (lambda path: path.write_bytes(b"#" * (8 * 1024 * 1024 + 1)), "larger than 8388608 bytes"),
    ],
    ids=["missing", "directory", "not UTF-8", "huge"],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, make: object, message: str) -> None:
    """The file system's own reason reaches the operator, with the file's name."""
    path = tmp_path / "fleet.yaml"
    make(path)  # type: ignore[operator]

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    [problem] = caught.value.problems
    assert message in problem.message
    assert problem.hint
    assert str(path) in str(problem)


def test_a_byte_order_mark_and_windows_line_ends_are_fine(valid_text: str) -> None:
    """Editors write them, and they mean nothing."""
    text = "\ufeff" + valid_text.replace("\n", "\r\n")

    assert 2 == len(parse_settings(text, Path("fleet.yaml")).clusters)


@pytest.mark.parametrize(
    ("edit", "hint"),
    [
        ("policy: {name: first_corect}", "did you mean 'first_correct'?"),
        ("objective: {preset: latncy}", "did you mean 'latency'?"),
        ("verification: {mode: allways}", "did you mean 'always'?"),
        ("gateway: {admin: '127.0.0.1:9090'}", "or give service.admin another one"),
        ("gateway: {admin: '127.0.0.1:1'}\nservice: {admin: '127.0.0.1:1'}", "gateway.admin is on line 24"),
    ],
)
def test_a_hint_says_what_was_probably_meant(valid_text: str, edit: str, hint: str) -> None:
    """A near word is suggested, and where the other one of two stands is said."""
    with pytest.raises(SettingsError) as caught:
        parse_settings(f"{valid_text}{edit}\n", Path("fleet.yaml"))

    assert [hint] == [problem.hint for problem in caught.value.problems]


def test_the_first_of_two_equal_addresses_is_named_with_its_line() -> None:
    """In a file of hundreds of instances nobody counts to the place."""
    with pytest.raises(SettingsError) as caught:
        load_settings(DATA / "duplicate_address.yaml")

    assert (
        "clusters[0].instances[0] is on line 15; one server serves one cluster: list it once"
        == caught.value.problems[0].hint
    )


def test_a_bare_off_means_off(valid_text: str) -> None:
    """YAML reads the word as false, and nobody who writes it means anything else."""
    settings = parse_settings(valid_text + "verification: {mode: off}\n", Path("fleet.yaml"))

    assert "off" == settings.verification.mode
