"""What `ttca explain` does: gather a request and its circumstances, let the router decide, print why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson
from rich.console import Console

from extproc.estimate.quality.model import QualityModel
from extproc.explain.asked import Asked, read_asked
from extproc.explain.show import WIDTH, show
from extproc.explain.why import explain
from extproc.explain.world import World, read_learned
from extproc.model_directory import load_model
from extproc.server.from_settings import model_directory
from extproc.settings import Settings

_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """What was asked for.

    Attributes:
        request: File with the request.
        path: Path of the API; empty for what the file says.
        headers: Further headers, `name: value`.
        failed: Further models that failed before.
        load: `ip:port=N`.
        url: Admin address of a running service whose load is taken; empty for none.
        state: State file; None for the settings', where it exists.
        model_directory: Directory of a fitted model; None for the settings'.
        as_json: True to print JSON.
    """

    request: Path
    path: str = ""
    headers: Sequence[str] = ()
    failed: Sequence[str] = ()
    load: Sequence[str] = ()
    url: str = ""
    state: Path | None = None
    model_directory: Path | None = None
    as_json: bool = False


def print_explanation(options: ExplainOptions, settings: Settings, console: Console) -> None:
    """Explain a request; tables are drawn in 100 columns where the output is no terminal.

    Raises:
        ValueError: A file, an option or the service's answer cannot be used; the text says what was expected.
    """
    explanation = explain(gather(options, settings))
    if options.as_json:
        console.file.write(orjson.dumps(explanation, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    wide = console if console.is_terminal else Console(file=console.file, width=WIDTH)
    wide.print(show(explanation))


def gather(options: ExplainOptions, settings: Settings) -> World:
    """Read everything that bears on the decision.

    Raises:
        ValueError: A file, an option or the service's answer cannot be used.
    """
    asked = read_asked(options.request)
    seen, suspects = _service_load(options.url) if options.url else ({}, ())
    asked = replace(
        asked,
        path=options.path or asked.path,
        headers={**asked.headers, **dict(map(_header, options.headers))},
        failed=(*asked.failed, *options.failed),
        load={**seen, **asked.load, **dict(map(_load, options.load))},
        suspects=(*asked.suspects, *suspects),
    )
    own_state = Path(settings.service.state_file)
    state = options.state or (own_state if own_state.exists() else None)
    return World(
        settings=settings,
        asked=_on_fleet(asked, settings, options),
        learned=read_learned(state) if state is not None else {},
        model=_model(options, settings),
    )


def _model(options: ExplainOptions, settings: Settings) -> QualityModel | None:
    directory = options.model_directory or model_directory(settings)
    return load_model(directory) if directory is not None else None


def _on_fleet(asked: Asked, settings: Settings, options: ExplainOptions) -> Asked:
    """Leave out what a running service says of instances that this fleet file does not have."""
    if not options.url:
        return asked
    known = {i.address for cluster in settings.clusters for i in cluster.instances}
    return replace(
        asked,
        load={address: count for address, count in asked.load.items() if address in known},
        suspects=tuple(address for address in asked.suspects if address in known),
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"--header {text!r}: expected 'name: value'")
    return name.strip().lower(), value.strip()


def _load(text: str) -> tuple[str, float]:
    address, _, count = text.rpartition("=")
    if not address or not count.isdecimal():
        raise ValueError(f"--load {text!r}: expected ip:port=N, N being a number of sequences")
    return address, float(count)


def _service_load(url: str) -> tuple[dict[str, float], tuple[str, ...]]:
    """Sequences and suspects as a running service sees them."""
    page = f"{url.rstrip('/')}/fleet"
    if not page.startswith(("http://", "https://")):
        raise ValueError(
            f"--url {url!r}: expected the service's admin address, such as http://127.0.0.1:9090"
        )
    try:
        with urlopen(page, timeout=_PATIENCE_SECONDS) as response:  # noqa: S310 - the scheme was checked above
            document = orjson.loads(response.read())
        instances: list[Mapping[str, Any]] = document["instances"]
        return (
            {item["address"]: float(item["sequences"]) for item in instances},
            tuple(item["address"] for item in instances if item["suspect"]),
        )
    except (URLError, OSError) as error:
        raise ValueError(
            f"{page} does not answer ({error}). Is the service running, and is this its service.admin address?"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{page}: not the fleet page of this service; expected its service.admin address"
        ) from error
