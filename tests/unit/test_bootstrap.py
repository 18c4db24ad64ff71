from __future__ import annotations

from pathlib import Path

import pytest

from extproc.bootstrap import Application
from extproc.gateway.endpoints import write_endpoints
from extproc.settings import Settings, load_settings

FLEET = Path(__file__).parents[2] / "tests" / "data" / "fleet" / "valid.yaml"


class World:
    """An application that does not run, and the files that Envoy would read."""

    def __init__(self, folder: Path) -> None:
        self.fleet_file = folder / "fleet.yaml"
        self.fleet_file.write_text(FLEET.read_text(encoding="utf-8"))
        self.endpoints = folder / "endpoints"
        self.settings = load_settings(self.fleet_file)
        write_endpoints(self.endpoints, self.settings.fleet())
        self.application = Application(self.fleet_file, self.settings, self.endpoints)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.endpoints.iterdir()}

    def edited(self, old: str, new: str) -> Settings:
        self.fleet_file.write_text(self.fleet_file.read_text().replace(old, new))
        return load_settings(self.fleet_file)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_edit_that_cannot_be_taken_over_leaves_envoys_files_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can raise comes before the first file: Envoy and the service never follow different fleets."""
    before = world.files()

    def fail(_settings: Settings) -> None:
        raise OverflowError

    monkeypatch.setattr("extproc.bootstrap.verify_policy", fail)
    with pytest.raises(OverflowError):
        world.application._apply(world.edited("10.0.0.2:8000", "10.0.0.9:8000"))

    assert before == world.files()
    assert "10.0.0.2:8000" in world.application.router.book.table.addresses


async def test_an_edit_of_the_largest_verified_answer_reaches_all_who_obey_it(world: World) -> None:
    """What is held back and what is verified have one limit."""
    fresh = world.edited("version: 1", "version: 1\nverification: {max_answer_bytes: 4096}")
    try:
        world.application._apply(fresh)
    finally:
        await world.application._scraper.stop()

    assert (4096, 4096) == (
        world.application._attempts.max_answer_bytes,
        world.application._verifier.policy.max_answer_bytes,
    )
