from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from extproc.server.fleet_watch import GONE_LOOKS, RETRY_MOST_LOOKS, FleetWatch, file_identity
from extproc.settings import Settings, load_settings

FLEET = {
    "version": 1,
    "pools": [{"name": "only"}],
    "clusters": [
        {
            "name": "c",
            "model": "m",
            "pool": "only",
            "max_model_len": 8192,
            "max_num_seqs": 4,
            "price_usd_per_mtok": {"input": 0.1, "output": 0.1},
            "instances": ["127.0.0.1:18101"],
        }
    ],
}


class World:
    """A fleet file, its watch, and what the watch did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.applied: list[Settings] = []
        self.reloads: list[bool] = []
        self.static: list[str] = []
        self.apply_error: Exception | None = None
        self.write(yaml.safe_dump(FLEET))
        self.watch = FleetWatch(
            path,
            load_settings(path),
            static_changes=lambda _old, _new: self.static,
            apply=self.apply,
            on_reload=self.reloads.append,
        )

    def apply(self, settings: Settings) -> None:
        if self.apply_error:
            raise self.apply_error
        self.applied.append(settings)

    def write(self, text: str) -> None:
        """Replace the file, with a time of its own even on coarse clocks."""
        stamp = self.path.stat().st_mtime_ns + 1_000_000 if self.path.exists() else None
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        if stamp is not None:
            os.utime(fresh, ns=(stamp, stamp))
        fresh.replace(self.path)

    def edit(self, change: Callable[[str], str]) -> None:
        self.write(change(self.path.read_text()))
        self.watch.look()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "fleet.yaml")


def test_an_unchanged_file_is_left_alone(world: World) -> None:
    """Looking does nothing while nobody edits."""
    world.watch.look()

    assert ([], []) == (world.applied, world.reloads)


def test_a_good_edit_is_taken_over(world: World) -> None:
    """A new instance reaches whoever applies settings, and counts as a reload."""
    world.edit(lambda text: text.replace("- 127.0.0.1:18101", "- 127.0.0.1:18101\n  - 127.0.0.1:18102"))

    assert [["127.0.0.1:18101", "127.0.0.1:18102"]] == [
        [i.address for i in s.clusters[0].instances] for s in world.applied
    ]
    assert [True] == world.reloads
    assert world.watch.settings is world.applied[0]


def test_a_broken_edit_is_refused_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The old fleet stays, the mistake is told with its place, and looking again does not tell it again."""
    before = world.watch.settings
    with caplog.at_level(logging.ERROR):
        world.edit(lambda text: text.replace("max_num_seqs: 4", "max_num_seqs: -4"))
        world.watch.look()

    assert ([], [False]) == (world.applied, world.reloads)
    assert world.watch.settings is before
    assert "max_num_seqs" in caplog.text


def test_an_edit_that_envoy_cannot_follow_is_refused(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What needs a restart is named, and nothing of the edit takes effect."""
    world.static = ["gateway.listen changed"]
    with caplog.at_level(logging.ERROR):
        world.edit(lambda text: text + "\n")

    assert ([], [False]) == (world.applied, world.reloads)
    assert "gateway.listen changed" in caplog.text


def test_an_edit_that_cannot_be_applied_is_refused(world: World) -> None:
    """When the endpoint files cannot be written, the old fleet stays in force."""
    world.apply_error = OSError("disk full")
    world.edit(lambda text: text + "\n")

    assert [False] == world.reloads


def test_an_edit_refused_for_lack_of_room_is_taken_over_once_there_is_some(world: World) -> None:
    """Nobody need edit again: it is tried again and again, and told of once each way."""
    world.apply_error = OSError(28, "No space left on device")
    world.edit(lambda text: text + "\n")
    for _ in range(RETRY_MOST_LOOKS):
        world.watch.look()
    assert ([], [False]) == (world.applied, world.reloads)

    world.apply_error = None
    for _ in range(2 * RETRY_MOST_LOOKS):
        world.watch.look()
    assert (1, [False, True]) == (len(world.applied), world.reloads)


def test_another_edit_is_not_kept_waiting_by_one_that_is_tried_again(world: World) -> None:
    """What stands in the file counts, at the next look."""
    world.apply_error = OSError(28, "No space left on device")
    world.edit(lambda text: text + "\n")
    for _ in range(RETRY_MOST_LOOKS):
        world.watch.look()
    world.apply_error = None
    world.edit(lambda text: text.replace("max_num_seqs: 4", "max_num_seqs: 5"))

    assert [5] == [settings.clusters[0].max_num_seqs for settings in world.applied]


def test_permission_that_is_given_later_is_an_edit(world: World) -> None:
    """A change of the file's mode alone is looked into: it may be readable by now."""
    before = world.path.stat()
    world.path.chmod(0o600 if before.st_mode & 0o077 else 0o644)
    world.watch.look()

    assert [True] == world.reloads


def test_an_edit_that_a_defect_of_the_service_cannot_take_is_refused(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever an edit stumbles over, the service goes on with the fleet before it and says what happened."""
    world.apply_error = OverflowError("too large")
    with caplog.at_level(logging.ERROR):
        world.edit(lambda text: text + "\n")
    world.apply_error = None
    world.edit(lambda text: text + "\n")

    assert [False, True] == world.reloads
    assert "OverflowError: too large" in caplog.text


def test_a_repair_after_a_refusal_is_taken_over(world: World) -> None:
    """The next good edit counts, compared with what is in force."""
    world.edit(lambda text: text.replace("version: 1", "version: 9"))
    world.edit(lambda text: text.replace("version: 9", "version: 1"))

    assert [False, True] == world.reloads


def test_a_file_that_is_written_anew_is_an_edit(world: World) -> None:
    """Editors that delete before they write neither empty the fleet nor alarm anybody."""
    text = world.path.read_text()
    world.path.unlink()
    for _ in range(GONE_LOOKS - 1):
        world.watch.look()
    assert ([], []) == (world.applied, world.reloads)

    world.path.write_text(text + "\n")
    world.watch.look()
    assert (1, [True]) == (len(world.applied), world.reloads)


def test_a_file_that_stays_away_is_told_of_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The fleet stays in force, the counter of refusals says that something is wrong."""
    world.path.unlink()
    with caplog.at_level(logging.ERROR):
        for _ in range(3 * GONE_LOOKS):
            world.watch.look()

    assert ([], [False]) == (world.applied, world.reloads)
    assert [f"{world.path} cannot be found"] == [
        record.getMessage().partition(",")[0] for record in caplog.records
    ]


def test_a_file_that_comes_back_is_taken_over(world: World) -> None:
    """Even the very same one, so that the log says that all is well."""
    away = world.path.with_suffix(".away")
    world.path.rename(away)
    for _ in range(GONE_LOOKS):
        world.watch.look()
    away.rename(world.path)
    world.watch.look()

    assert (1, [False, True]) == (len(world.applied), world.reloads)


@pytest.mark.parametrize("static", [True, False])
def test_a_refusal_is_one_line(world: World, caplog: pytest.LogCaptureFixture, static: bool) -> None:
    """Several mistakes stand beside each other: a line of a log cannot break."""
    world.static = ["gateway.listen: a → b", "service.admin: c → d"] if static else []
    change = "" if static else "budgets: {max_attempts: 0, output_quantile: 7}\n"
    with caplog.at_level(logging.ERROR):
        world.edit(lambda text: text + "\n" + change)

    (message,) = [record.getMessage() for record in caplog.records]
    assert message.isprintable()
    assert 1 <= message.count("; ")


def test_an_edit_between_the_first_reading_and_the_watch_is_taken_over(world: World) -> None:
    """Whoever names what was read misses nothing, however long the start takes."""
    seen, settings = file_identity(world.path), load_settings(world.path)
    world.write(world.path.read_text().replace("max_num_seqs: 4", "max_num_seqs: 5"))
    watch = FleetWatch(
        world.path,
        settings,
        static_changes=lambda _old, _new: [],
        apply=world.apply,
        on_reload=world.reloads.append,
        seen=seen,
    )
    watch.look()

    assert [5] == [settings.clusters[0].max_num_seqs for settings in world.applied]
