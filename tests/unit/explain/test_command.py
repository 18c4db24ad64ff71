from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from rich.console import Console
from typer.testing import CliRunner

from extproc.cli import app
from extproc.explain.command import ExplainOptions, gather, print_explanation
from extproc.explain.examples import FLEET
from extproc.settings import Settings

BODY = {"model": "auto", "messages": [{"role": "user", "content": "Which is the largest moon?"}]}


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    file = tmp_path / "request.json"
    file.write_bytes(orjson.dumps({"headers": {"x-ttca-session": "s"}, "body": BODY}))
    return file


class _FleetPage(BaseHTTPRequestHandler):
    page: ClassVar[Any] = {}

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/fleet" else 404)
        self.end_headers()
        self.wfile.write(orjson.dumps(self.page))

    def log_message(self, *_arguments: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def service_url() -> Iterator[str]:
    """The admin address of a service whose page of the fleet is `_FleetPage.page`."""
    with HTTPServer(("127.0.0.1", 0), _FleetPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_json_is_the_explanation_whole(request_file: Path, settings: Settings) -> None:
    """Programs get every figure that people get."""
    output = io.StringIO()
    print_explanation(ExplainOptions(request=request_file, as_json=True), settings, Console(file=output))
    told = orjson.loads(output.getvalue())

    assert "first_correct" == told["policy"]
    assert told["plan"]["attempts"][0]["address"] == told["candidates"][0]["address"]
    assert {"expected", "low", "high"} == told["candidates"][0]["chance"].keys()


def test_options_add_to_what_the_file_says(request_file: Path, settings: Settings) -> None:
    """Headers, failures, load and path; a header's name may be written in capitals."""
    world = gather(
        ExplainOptions(
            request=request_file,
            path="/v1/completions",
            headers=("X-TTCA-Expect: exact: 4:2",),
            failed=("llama-3.2-3b",),
            load=("10.0.0.1:8000=7",),
        ),
        settings,
    )

    assert {"x-ttca-session": "s", "x-ttca-expect": "exact: 4:2"} == world.asked.headers
    assert ("/v1/completions", ("llama-3.2-3b",), {"10.0.0.1:8000": 7.0}) == (
        world.asked.path,
        world.asked.failed,
        world.asked.load,
    )
    assert ({}, None) == (world.learned, world.model)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"headers": ("no colon",)}, "--header"),
        ({"load": ("10.0.0.1:8000",)}, "--load"),
        ({"load": ("10.0.0.1:8000=many",)}, "--load"),
        ({"url": "ftp://127.0.0.1"}, "--url"),
        ({"url": "http://127.0.0.1:1"}, "does not answer"),
        ({"state": Path("/nonexistent/state.json")}, "state"),
        ({"model_directory": Path("/nonexistent")}, "nonexistent"),
    ],
)
def test_odd_options_are_named(
    request_file: Path, settings: Settings, options: dict[str, Any], word: str
) -> None:
    """The operator is told which one, and what was expected."""
    with pytest.raises(ValueError, match=word):
        gather(ExplainOptions(request=request_file, **options), settings)


def test_the_load_of_a_running_service_is_met(
    request_file: Path, settings: Settings, service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequences and suspects as it sees them; instances that this fleet file does not have are left out."""

    def instance(address: str, sequences: float, suspect: bool) -> dict[str, Any]:
        return {"address": address, "sequences": sequences, "suspect": suspect, "usable": True}

    page = {"instances": [instance("10.0.0.1:8000", 12.5, False), instance("10.0.0.2:8000", 0, True),
                          instance("10.7.7.7:1", 3, True)]}  # fmt: skip
    monkeypatch.setattr(_FleetPage, "page", page)
    world = gather(ExplainOptions(request=request_file, url=service_url), settings)

    assert {"10.0.0.1:8000": 12.5, "10.0.0.2:8000": 0.0} == world.asked.load
    assert ("10.0.0.2:8000",) == world.asked.suspects


def test_another_page_is_no_fleet(
    request_file: Path, settings: Settings, service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address of something else is told of as that."""
    monkeypatch.setattr(_FleetPage, "page", {"hello": 1})

    with pytest.raises(ValueError, match="not the fleet page"):
        gather(ExplainOptions(request=request_file, url=service_url), settings)


def test_the_command_explains_and_refuses_in_words(request_file: Path, tmp_path: Path) -> None:
    """Exit code 0 with the plan, 1 with a sentence."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET, encoding="utf-8")
    run = CliRunner().invoke

    told = run(app, ["explain", str(request_file), "--fleet", str(fleet), "-H", "x-ttca-preset: cost"])
    refused = run(app, ["explain", str(tmp_path / "none.json"), "--fleet", str(fleet)])

    assert 0 == told.exit_code, told.output
    assert "wish: preset=cost" in told.output
    assert 1 == refused.exit_code
    assert "none.json" in refused.output
