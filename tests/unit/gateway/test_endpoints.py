from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.core.v3 import HealthStatus
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment

from extproc.gateway.endpoints import render_endpoints, write_endpoints
from extproc.settings import Settings
from extproc.settings.load import parse_settings


def assignment(content: bytes) -> ClusterLoadAssignment:
    """Read a file as Envoy does: every field must be one of Envoy's message."""
    [resource] = json.loads(content)["resources"]
    assert "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment" == resource.pop("@type")
    return ClusterLoadAssignment.from_dict(resource)


def test_each_cluster_and_the_union_get_their_instances(settings: Settings) -> None:
    """The union holds every instance once."""
    ports = {}
    for name, content in render_endpoints(settings.fleet()).items():
        parsed = assignment(content)
        assert f"{parsed.cluster_name}.json" == name
        hosts = [item.endpoint.address.socket_address.address for item in parsed.endpoints[0].lb_endpoints]  # type: ignore[union-attr]
        ports[name] = hosts

    assert {
        "a-short.json": ["10.0.0.1", "fd00::1"],
        "b-long.json": ["10.0.0.2"],
        "fleet.json": ["10.0.0.1", "fd00::1", "10.0.0.2"],
    } == ports


def test_a_draining_instance_is_marked(settings: Settings) -> None:
    """Envoy keeps its connections and picks it no more."""
    parsed = assignment(render_endpoints(settings.fleet())["a-short.json"])

    assert [HealthStatus.HEALTHY, HealthStatus.DRAINING] == [
        item.health_status for item in parsed.endpoints[0].lb_endpoints
    ]


def test_an_instance_answers_to_its_model_and_its_aliases(settings: Settings) -> None:
    """Without the service Envoy matches the body's model against these."""
    models = {
        name: json.loads(content)["resources"][0]["endpoints"][0]["lb_endpoints"][0]["metadata"][
            "filter_metadata"
        ]
        for name, content in render_endpoints(settings.fleet()).items()
    }

    assert {"envoy.lb": {"model": ["a", "auto", "fast"], "pool": "short"}} == models["a-short.json"]
    assert {"envoy.lb": {"model": ["b", "auto"], "pool": "long"}} == models["b-long.json"]


def test_only_what_changed_is_written(tmp_path: Path, settings: Settings, text: str) -> None:
    """A file that stays the same keeps its identity, so Envoy is not woken for it."""
    first = write_endpoints(tmp_path / "e", settings.fleet())
    before = {path.name: path.stat().st_ino for path in (tmp_path / "e").iterdir()}
    again = write_endpoints(tmp_path / "e", settings.fleet())
    changed = parse_settings(text.replace('"10.0.0.2:80"', '"10.0.0.3:80"'), Path("f"))
    second = write_endpoints(tmp_path / "e", changed.fleet())

    assert {"a-short.json", "b-long.json", "fleet.json"} == set(first)
    assert () == again
    assert {"b-long.json", "fleet.json"} == set(second)
    assert before["a-short.json"] == (tmp_path / "e" / "a-short.json").stat().st_ino


def test_a_cluster_that_is_gone_is_emptied(tmp_path: Path, settings: Settings, text: str) -> None:
    """A running Envoy still has the cluster, and must not go on using its instances."""
    write_endpoints(tmp_path, settings.fleet())
    renamed = parse_settings(text.replace("name: b-long", "name: b-longer"), Path("f"))

    write_endpoints(tmp_path, renamed.fleet())

    assert [] == assignment((tmp_path / "b-long.json").read_bytes()).endpoints[0].lb_endpoints


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy goes on with what it had."""
    write_endpoints(tmp_path, settings.fleet())
    old = (tmp_path / "fleet.json").read_bytes()
    (tmp_path / "fleet.json").unlink()
    (tmp_path / "fleet.json").write_bytes(old + b" ")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_endpoints(tmp_path, settings.fleet())

    assert old + b" " == (tmp_path / "fleet.json").read_bytes()
    assert {"a-short.json", "b-long.json", "fleet.json"} == {path.name for path in tmp_path.iterdir()}


def test_envoy_may_read_the_files_as_another_user(tmp_path: Path, settings: Settings) -> None:
    """In containers Envoy and the service run under different users."""
    write_endpoints(tmp_path, settings.fleet())

    assert {0o644} == {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}


@pytest.mark.parametrize("call", [1, 2, 3])
def test_files_are_taken_over_all_or_none(
    tmp_path: Path, settings: Settings, text: str, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """A move that fails takes back those before it: no cluster follows a fleet that the others do not."""
    write_endpoints(tmp_path, settings.fleet())
    (tmp_path / "a-short.json").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    changed = parse_settings(text.replace('"10.0.0.2:80"', '"10.0.0.3:80"'), Path("f"))
    moves: list[object] = []
    replace = os.replace

    def fail_once(source: str, target: str) -> None:
        moves.append(target)
        if len(moves) == call:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", fail_once)
    with pytest.raises(OSError, match="No space left"):
        write_endpoints(tmp_path, changed.fleet())

    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
