"""Command line of the load generator: `python -m loadgen --help`. Each command imports what it needs itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from loadgen.decide_bench.cli import decide_bench
from loadgen.virtual.cli import simulate

if TYPE_CHECKING:  # `--help` must not wait for pydantic
    from extproc.settings import Settings
    from loadgen.vllm_server import Instance

app = typer.Typer(
    help="Load for the router: recorded or generated traffic, simulated vLLM servers, reports.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

FAILED = 1
MISUSED = 2


Process = Literal["trace", "poisson", "gamma", "square", "constant"]
"""How requests arrive; `trace` is the workload's own way."""


@app.command()
def run(  # noqa: PLR0917 -- one parameter per option
    target: Annotated[
        str, typer.Option(help="Where requests go, e.g. Envoy's listener.")
    ] = "http://127.0.0.1:10000",
    workload: Annotated[str, typer.Option(help="Name of a workload; `workloads` lists them.")] = "azure_conv",
    requests: Annotated[int | None, typer.Option(min=1, help="Stop after this many [default: 500].")] = None,
    duration: Annotated[float | None, typer.Option(help="Stop after this many seconds of arrivals.")] = None,
    rate_scale: Annotated[float, typer.Option(help="Time compression; 2 = twice the workload's rate.")] = 1.0,
    arrivals: Annotated[Process, typer.Option(help="The workload's own arrivals, or a process.")] = "trace",
    rate: Annotated[
        float | None, typer.Option(help="Requests/s of a process [default: the workload's, scaled].")
    ] = None,
    burst_cv: Annotated[float, typer.Option(help="gamma: coefficient of variation of the gaps.")] = 3.0,
    square_ratio: Annotated[float, typer.Option(help="square: high rate over low rate.")] = 4.0,
    square_period: Annotated[
        float, typer.Option(help="square: seconds of one high and one low phase.")
    ] = 20.0,
    seed: Annotated[int, typer.Option(help="Same seed, same run.")] = 1,
    stream_share: Annotated[float, typer.Option(min=0, max=1, help="Share of streamed requests.")] = 0.5,
    usage_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of streams that ask for usage.")
    ] = 1.0,
    completions_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share sent to /v1/completions.")
    ] = 0.1,
    max_tokens_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share that limits its output.")
    ] = 0.5,
    auto_share: Annotated[float, typer.Option(min=0, max=1, help="Share that asks for model `auto`.")] = 1.0,
    models: Annotated[str, typer.Option(help="Other model names, with commas [default: of --fleet].")] = "",
    fleet: Annotated[
        Path | None, typer.Option(help="Fleet file: model names, and pools in the report.")
    ] = None,
    max_prompt_tokens: Annotated[int | None, typer.Option(min=1, help="Clip longer prompts.")] = None,
    max_output_tokens: Annotated[int | None, typer.Option(min=1, help="Clip longer answers.")] = None,
    sim_hints: Annotated[bool, typer.Option(help="Tell simulated servers how much to answer.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds per request.")] = 300.0,
    out: Annotated[Path | None, typer.Option(help="Write the summary here, as JSON.")] = None,
) -> None:
    """Replay a workload against a server and report what its users would have felt."""
    import os

    from rich.console import Console

    from loadgen.client import TargetUnreachableError
    from loadgen.replay import RunOptions, run_workload, write_summary
    from loadgen.report import print_table
    from loadgen.workload.requests import RequestMix

    console = Console()
    try:
        names, pools = _fleet_names(fleet)
        options = RunOptions(
            target=target,
            workload=workload,
            requests=requests,
            duration_seconds=duration,
            rate_scale=rate_scale,
            process=arrivals,
            rate=rate,
            burst_variation=burst_cv,
            square_ratio=square_ratio,
            square_period_seconds=square_period,
            seed=seed,
            timeout_seconds=timeout,
            pools=pools,
            mix=RequestMix(
                stream_share=stream_share,
                usage_share=usage_share,
                completions_share=completions_share,
                max_tokens_share=max_tokens_share,
                auto_share=auto_share,
                models=tuple(name.strip() for name in models.split(",") if name.strip()) or names,
                max_prompt_tokens=max_prompt_tokens,
                max_output_tokens=max_output_tokens,
                sends_hints=sim_hints,
            ),
        )
        summary = run_workload(options, os.environ, console)
    except (ValueError, FileNotFoundError) as error:
        _stop(str(error), MISUSED)
    except TargetUnreachableError as error:
        _stop(str(error), FAILED)
    print_table(summary, console)
    if out is not None:
        write_summary(summary, out)


@app.command("fleet")
def serve(
    fleet: Annotated[Path, typer.Option(help="Fleet file.")] = Path("envoy/fleet.yaml"),
    time_scale: Annotated[
        float, typer.Option(help="Simulated seconds per real second; 2 runs twice as fast.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated answers.")] = 1,
    host: Annotated[str | None, typer.Option(help="Listen here instead of on the file's addresses.")] = None,
    admin: Annotated[bool, typer.Option(help="Serve the fault switches, to this machine only.")] = True,
) -> None:
    """Start a simulated vLLM server for every instance of a fleet file, until interrupted."""
    from loadgen.simulated_fleet import instance_specs
    from loadgen.vllm_server import run as run_servers

    settings = _load_fleet(fleet)
    try:
        specs = instance_specs(settings.fleet(), time_scale=time_scale, seed=seed)
        run_servers(specs, admin=admin, host=host, on_ready=_announce)
    except ValueError as error:
        _stop(str(error), MISUSED)
    except OSError as error:
        _stop(f"cannot start the fleet: {error}", FAILED)


@app.command()
def workloads(
    seed: Annotated[int, typer.Option(help="Seed of generated ones.")] = 1,
) -> None:
    """List the workloads with their statistics, and whether each is recorded or generated here."""
    import os

    from rich.console import Console

    from loadgen.data import data_folder
    from loadgen.workload.listing import print_workloads

    try:
        print_workloads(Console(), folder=data_folder(os.environ), seed=seed)
    except FileNotFoundError as error:
        _stop(str(error), MISUSED)


@app.command()
def demo(
    fleet: Annotated[Path, typer.Option(help="Fleet file to bring up.")] = Path("envoy/fleet.yaml"),
    out: Annotated[Path, typer.Option(help="Folder for the summary, logs and rendered files.")] = Path(
        "out/demo"
    ),
    seed: Annotated[int, typer.Option(help="Same seed, same traffic.")] = 1,
) -> None:
    """Run Envoy, the service and a simulated fleet, replay traffic through them, and show what happened."""
    import asyncio
    import os

    from rich.console import Console

    from loadgen.demo.run import run_demo
    from loadgen.demo.show import demo_summary, problems, show
    from loadgen.replay import write_summary
    from loadgen.stack.failure import StackError

    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    try:
        result = asyncio.run(run_demo(fleet, out, seed=seed, environ=os.environ, console=console))
    except (StackError, FileNotFoundError) as error:
        _stop(str(error), FAILED)
    write_summary(demo_summary(result), out / "summary.json")
    show(result, console)
    found = problems(result)
    console.print(f"figures: {out}/summary.json", highlight=False)
    if found:
        _stop("; ".join(found), FAILED)


app.command("decide-bench")(decide_bench)


@app.command()
def bench(
    out: Annotated[Path, typer.Option(help="Write the figures here, as JSON; logs go beside it.")] = Path(
        "out/bench/overhead.json"
    ),
    quick: Annotated[bool, typer.Option(help="Fewer requests and rounds, wider intervals.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same bodies, arrivals and resamples.")] = 1,
) -> None:
    """Compare the service with a no-op service and with none: CPU per request and latency, in one run."""
    import uvloop
    from rich.console import Console

    from loadgen.bench.cases import extent
    from loadgen.bench.report import bench_summary, show
    from loadgen.bench.run import run_bench
    from loadgen.replay import write_summary
    from loadgen.stack.failure import StackError

    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    try:
        result = uvloop.run(run_bench(extent(quick=quick), out.parent / "run", seed=seed, console=console))
    except (StackError, OSError) as error:
        _stop(str(error), FAILED)
    summary = bench_summary(result)
    write_summary(summary, out)
    show(summary, result, console)
    console.print(f"figures: {out}", highlight=False)


app.command()(simulate)


@app.command()
def overload(  # noqa: PLR0917 -- one parameter per option
    questions: Annotated[str, typer.Option(help="Set of questions: zeroeval or mmlu_pro.")] = "zeroeval",
    rate: Annotated[float, typer.Option(help="Arrivals per second that count as 100 %.")] = 37.0,
    requests: Annotated[int, typer.Option(min=10, help="Requests of each run.")] = 4000,
    seed: Annotated[int, typer.Option(help="Same seed, same figures.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for figures and plot.")] = Path("out/virtual"),
) -> None:
    """Sweep the load past saturation: what blind retries do to the fleet, and what the plan does."""
    import os

    from rich.console import Console

    from loadgen.data import data_folder
    from loadgen.questions.catalog import load_questions
    from loadgen.virtual.arms import Workbench
    from loadgen.virtual.overload import OverloadOptions, sweep
    from loadgen.virtual.scenario import Scenario

    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    try:
        found = load_questions(questions, data_folder(os.environ), seed=seed)
        scenario = Scenario(rate=rate, requests=requests, seed=seed)
        sweep(Workbench(found), OverloadOptions(scenario=scenario, processes=processes, out=out), console)
    except (ValueError, FileNotFoundError) as error:
        _stop(str(error), MISUSED)


@app.command()
def ttca(  # noqa: PLR0917 -- one parameter per option
    questions: Annotated[str, typer.Option(help="Set of questions: zeroeval or mmlu_pro.")] = "zeroeval",
    policies: Annotated[str, typer.Option(help="What is compared, with commas; all if empty.")] = "",
    moderate: Annotated[float, typer.Option(help="Simulated arrivals/s of the moderate load.")] = 12.0,
    high: Annotated[float, typer.Option(help="Simulated arrivals/s of the high load.")] = 24.0,
    requests: Annotated[
        int | None, typer.Option(min=10, help="Requests of each point; 400, or 150 if quick.")
    ] = None,
    time_scale: Annotated[
        float, typer.Option(help="Simulated seconds per real second; 2 runs twice as fast.")
    ] = 4.0,
    seed: Annotated[int, typer.Option(help="Same seed, same questions and arrivals.")] = 1,
    quick: Annotated[bool, typer.Option(help="Three points per policy, the high load only.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for figures, plot and logs.")] = Path("out/ttca"),
) -> None:
    """Compare routing policies through real Envoy by the time to the first correct answer."""
    import os

    from rich.console import Console

    from loadgen.stack.failure import StackError
    from loadgen.ttca.arms import ARMS
    from loadgen.ttca.command import compare_policies
    from loadgen.ttca.study import FITTED_WARM_UP_REQUESTS, FULL_REQUESTS, QUICK_REQUESTS, Study

    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    study = Study(
        questions=questions,
        rates={"high": high} if quick else {"moderate": moderate, "high": high},
        requests=requests or (QUICK_REQUESTS if quick else FULL_REQUESTS),
        arms=[name.strip() for name in policies.split(",") if name.strip()] or list(ARMS),
        is_quick=quick,
        time_scale=time_scale,
        seed=seed,
        warm_up=FITTED_WARM_UP_REQUESTS,
        is_fitted=True,
    )
    try:
        compare_policies(study, out, os.environ, console)
    except (ValueError, FileNotFoundError) as error:
        _stop(str(error), MISUSED)
    except (StackError, OSError) as error:
        _stop(str(error), FAILED)


@app.command()
def reproduce(  # noqa: PLR0917 -- one parameter per option
    studies: Annotated[str, typer.Option(help="What is run, with commas [default: all].")] = "",
    quick: Annotated[bool, typer.Option(help="Few and short scenarios, wide intervals.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same figures.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Scenarios at once.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for report.html and summary.json.")] = Path(
        "out/reproduce"
    ),
    doc: Annotated[Path | None, typer.Option(help="Write the tables here too, as markdown.")] = None,
) -> None:
    """Run the studies of the three papers, put their figures next to ours, and write the report."""
    import os

    from rich.console import Console

    from loadgen.reproduce.command import ReproduceOptions
    from loadgen.reproduce.command import reproduce as run_reproduction

    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    options = ReproduceOptions(
        studies=[name.strip() for name in studies.split(",") if name.strip()],
        is_quick=quick,
        seed=seed,
        processes=processes,
        out=out,
        doc=doc,
    )
    try:
        found = run_reproduction(options, os.environ, console)
    except (ValueError, FileNotFoundError) as error:
        _stop(str(error), MISUSED)
    if found.failed:
        _stop(f"failed: {', '.join(failure.key for failure in found.failed)}", FAILED)


def _announce(instances: Sequence[Instance]) -> None:
    for instance in instances:
        spec = instance.spec
        typer.echo(
            f"{spec.address}  {spec.model}  {spec.max_model_len} tokens, {spec.max_num_seqs} sequences"
        )


def _load_fleet(path: Path) -> Settings:
    from extproc.settings import SettingsError, load_settings

    try:
        return load_settings(path)
    except SettingsError as error:
        _stop(str(error), MISUSED)


def _fleet_names(path: Path | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """Model names and the pool of each instance, of a fleet file; both empty without one."""
    if path is None:
        return (), {}
    clusters = _load_fleet(path).fleet().clusters
    models = tuple(dict.fromkeys(cluster.model for cluster in clusters))
    pools = {instance.address: cluster.pool for cluster in clusters for instance in cluster.instances}
    return models, pools


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
