from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from extproc.estimate.quality.model import QualityModel
from extproc.model_directory import MANIFEST, save_model
from extproc.server.model_watch import RETRY_MOST_LOOKS, ModelWatch

MakeModel = Callable[..., QualityModel]


class World:
    """A model directory, its watch, and what the watch did."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.taken: list[QualityModel] = []
        self.looks: list[bool] = []
        self.watch = ModelWatch(directory, take_over=self.taken.append, on_look=self.looks.append)

    async def settle(self) -> None:
        """Look until what stands still has been seen to."""
        for _ in range(3):
            await self.watch.look()

    @property
    def names(self) -> list[tuple[str, ...]]:
        return [model.names for model in self.taken]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "model")


async def test_the_model_at_the_start_is_taken_over_once(world: World, make_quality_model: MakeModel) -> None:
    """Looking again does nothing while nobody writes."""
    save_model(make_quality_model(("a",), (0.0,)), world.directory, {})
    world.watch.load()
    await world.settle()

    assert [("a",)] == world.names
    assert [True] == world.looks
    assert world.taken[0].fit_id


async def test_a_new_model_replaces_the_old_one(world: World, make_quality_model: MakeModel) -> None:
    """What was written over the directory is handed over."""
    save_model(make_quality_model(("a",), (0.0,)), world.directory, {})
    world.watch.load()
    save_model(make_quality_model(("b",), (0.0,)), world.directory, {})
    await world.settle()

    assert [("a",), ("b",)] == world.names


async def test_a_missing_directory_is_refused_once_and_taken_over_when_it_comes(
    world: World, make_quality_model: MakeModel
) -> None:
    """The service starts without it; it need not be started again when it is there."""
    world.watch.load()
    await world.settle()
    assert [False] == world.looks

    save_model(make_quality_model(("a",), (0.0,)), world.directory, {})
    await world.settle()
    assert [("a",)] == world.names


@pytest.mark.parametrize("damage", ["manifest", "arrays", "gone", "arrays gone"])
async def test_what_cannot_be_used_is_refused_once_and_the_old_one_kept(
    world: World, make_quality_model: MakeModel, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A corrupt, mismatched or vanished model is logged and counted, and nothing is handed over."""
    save_model(make_quality_model(("a",), (0.0,)), world.directory, {})
    world.watch.load()
    arrays = next(world.directory.glob("*.npz"))
    match damage:
        case "manifest":
            (world.directory / MANIFEST).write_bytes(b'{"format": "ttca-quality", "version": 9}')
        case "arrays":
            arrays.write_bytes(arrays.read_bytes()[:-20])
        case "gone":
            shutil.rmtree(world.directory)
        case _:
            arrays.unlink()
    with caplog.at_level(logging.ERROR):
        await world.settle()
        await world.settle()

    assert [("a",)] == world.names
    assert [True, False] == world.looks
    assert ["quality.model_directory"] == [line.split()[0] for line in caplog.messages]


async def test_a_copy_in_progress_is_not_read(
    world: World, make_quality_model: MakeModel, tmp_path: Path
) -> None:
    """A directory that changes from look to look is left alone; the whole copy is taken over, and nothing was refused."""
    source = tmp_path / "source"
    save_model(make_quality_model(("a",), (0.0,), good_words="river"), source, {})
    world.directory.mkdir()
    shutil.copy(source / MANIFEST, world.directory)
    content = next(source.glob("*.npz"))
    for size in range(1_000, content.stat().st_size, 1_000):
        (world.directory / content.name).write_bytes(content.read_bytes()[:size])
        await world.watch.look()
    shutil.copy(content, world.directory)
    await world.settle()

    assert [True] == world.looks
    assert [("a",)] == world.names


async def test_another_directory_is_followed_from_then_on(
    world: World, make_quality_model: MakeModel, tmp_path: Path
) -> None:
    """An edit of the fleet file points elsewhere; null takes back whatever was fitted, at once."""
    save_model(make_quality_model(("a",), (0.0,)), world.directory, {})
    save_model(make_quality_model(("b",), (0.0,)), tmp_path / "other", {})
    world.watch.load()
    world.watch.follow(tmp_path / "other")
    await world.settle()
    assert [("a",), ("b",)] == world.names

    world.watch.follow(None)
    await world.settle()
    assert [("a",), ("b",), ()] == world.names


async def test_a_model_read_for_a_directory_left_meanwhile_is_dropped(
    world: World, make_quality_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading takes a moment in which the fleet file may point elsewhere: the edit wins."""
    save_model(make_quality_model(("a",), (0.0,)), world.directory, {})

    async def read_slowly(read: Callable[[Path], QualityModel], directory: Path) -> QualityModel:
        world.watch.follow(tmp_path / "other")
        return read(directory)

    monkeypatch.setattr(asyncio, "to_thread", read_slowly)
    await world.watch.look()
    await world.watch.look()

    assert [] == world.taken


async def test_the_watch_runs_until_it_is_cancelled(
    world: World, make_quality_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs nobody to make it look."""
    monkeypatch.setattr("extproc.server.model_watch.POLL_SECONDS", 0.001)
    running = asyncio.create_task(world.watch.run())
    save_model(make_quality_model(("a",), (0.0,)), world.directory, {})
    async with asyncio.timeout(30):
        while not world.taken:
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert [("a",)] == world.names


async def test_a_model_that_cannot_be_read_for_a_while_is_read_once_it_can(
    world: World, make_quality_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files pass without a change of the directory; the refusal is told once."""
    save_model(make_quality_model(("a",), (0.0,)), world.directory, {})
    read_bytes = Path.read_bytes

    def refuse(_path: Path) -> bytes:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    world.watch.load()
    for _ in range(5):
        await world.watch.look()
    assert [False] == world.looks

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    for _ in range(RETRY_MOST_LOOKS):
        await world.watch.look()
    assert ([("a",)], [False, True]) == (world.names, world.looks)
