"""The offline checker: mistakes, doubts and a summary of a fleet file, before anything is started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from extproc.decide.policies import POLICIES, ByForecast
from extproc.gateway.check_model import model_problem, unfitted_models
from extproc.gateway.render import render_envoy_yaml
from extproc.settings import Problem, Settings, SettingsError, load_settings
from extproc.settings.address import is_unix, split_host_port
from extproc.settings.schema import AUTO, ClusterSettings

_LOOPBACK = ("127.", "::1")
_BYTES_PER_TOKEN = 4

LEAST_USD_PER_MTOK = 0.001
"""A price below this is taken for one per token: the cheapest models cost ten times as much per million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What the checker found.

    Attributes:
        path: The file as the caller named it.
        settings: None when there are problems.
        problems: Mistakes; with one in the file itself, nothing would start.
        warnings: Doubts; everything would start all the same.
    """

    path: Path
    settings: Settings | None
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]

    @property
    def is_usable(self) -> bool:
        """Tell whether the file can be used."""
        return not self.problems

    def renderable(self) -> RenderableType:
        """Lay the report out for a console: problems with their places, or the fleet with doubts about it."""
        if self.settings is None:
            return Group(*(_told(problem) for problem in self.problems), _verdict(self))
        doubts = [Text.assemble(("! ", "yellow"), warning) for warning in self.warnings]
        return Group(_summary(self.settings), *doubts, _verdict(self))


def check(path: Path) -> CheckReport:
    """Check a fleet file; never raises for what the file holds."""
    try:
        settings = load_settings(path)
    except SettingsError as error:
        return CheckReport(path=path, settings=None, problems=error.problems, warnings=())
    if unusable := model_problem(settings, path):
        return CheckReport(path=path, settings=None, problems=(unusable,), warnings=())
    rules = (
        _lonely,
        _lengths,
        _aliases,
        _prices,
        _weighing,
        _exposure,
        _passthrough,
        _sizes,
        unfitted_models,
    )
    warnings = [warning for rule in rules for warning in rule(settings)]
    if path.name == "fleet.yaml":
        warnings.extend(_stale(settings, path, path.with_name("envoy.yaml")))
    return CheckReport(path=path, settings=settings, problems=(), warnings=tuple(warnings))


def _passthrough(settings: Settings) -> Iterator[str]:
    """Everything passed through is more than clients should reach."""
    if "/" in settings.gateway.passthrough:
        yield (
            "gateway.passthrough holds `/`: every client reaches what vLLM serves for operators alone, such as `/pause` and "
            "`/load_lora_adapter`; name the paths that clients need instead"
        )


def _told(problem: Problem) -> RenderableType:
    mistake = Text(str(problem))
    mistake.highlight_regex(re.escape(problem.path), "cyan")
    hint = [Padding(Text(problem.hint, "dim"), (0, 0, 0, 4))] if problem.hint else []
    return Group(mistake, *hint)


def _verdict(report: CheckReport) -> Text:
    if report.settings is None:
        count = len(report.problems)
        mistakes = "1 mistake" if count == 1 else f"{count} mistakes"
        return Text.assemble(("✗ ", "bold red"), f"{mistakes}; nothing of the file is used")
    clusters = report.settings.clusters
    counted = f"{sum(len(cluster.instances) for cluster in clusters)} instances in {len(clusters)} clusters"
    return Text.assemble(("✓ ", "bold green"), f"{report.path}: {counted}")


def _summary(settings: Settings) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("pool", "cluster", "model"):
        table.add_column(title, no_wrap=True)
    for title in ("instances", "context", "seqs", "$/M in, out"):
        table.add_column(title, justify="right")
    for pool in settings.pools:
        for cluster in settings.clusters:
            if cluster.pool != pool.name:
                continue
            table.add_row(
                f"{pool.name} ≤ {pool.threshold_tokens:,}" if pool.threshold_tokens else pool.name,
                cluster.name,
                cluster.model,
                _counted(cluster),
                f"{cluster.max_model_len:,}",
                str(cluster.max_num_seqs),
                f"{cluster.price_usd_per_mtok.input:g}, {cluster.price_usd_per_mtok.output:g}",
            )
    return table


def _counted(cluster: ClusterSettings) -> str:
    draining = sum(instance.draining for instance in cluster.instances)
    return f"{len(cluster.instances)} ({draining} draining)" if draining else str(len(cluster.instances))


def _lonely(settings: Settings) -> Iterator[str]:
    """Warn where the loss of one instance is the loss of everything."""
    serving = {
        cluster.name: [instance for instance in cluster.instances if not instance.draining]
        for cluster in settings.clusters
    }
    for cluster in settings.clusters:
        if not serving[cluster.name]:
            state = "only draining instances" if cluster.instances else "no instance"
            yield f"cluster {cluster.name} has {state}: nothing is routed to it"
    for kind, key in (("pool", "pool"), ("model", "model")):
        for name in dict.fromkeys(getattr(cluster, key) for cluster in settings.clusters):
            count = sum(
                len(serving[cluster.name]) for cluster in settings.clusters if getattr(cluster, key) == name
            )
            if count == 1:
                yield f"{kind} {name} has a single instance: when it fails, there is no other to retry on"


def _lengths(settings: Settings) -> Iterator[str]:
    """Warn where a pool's threshold and what its instances hold do not fit together."""
    thresholds = {pool.name: pool.threshold_tokens for pool in settings.pools}
    for cluster in settings.clusters:
        threshold = thresholds[cluster.pool]
        if threshold is not None and cluster.max_model_len < threshold:
            yield (
                f"cluster {cluster.name} holds {cluster.max_model_len:,} tokens, less than the {threshold:,} up to "
                f"which its pool {cluster.pool} is preferred: longer budgets skip it"
            )
    bounded = [pool for pool in settings.pools if pool.threshold_tokens is not None]
    last = settings.pools[-1]
    longest = max(cluster.max_model_len for cluster in settings.clusters if cluster.pool == last.name)
    if bounded and longest <= (bounded[-1].threshold_tokens or 0):
        yield f"pool {last.name} holds {longest:,} tokens at most, no more than the pool before it is preferred for"


def _aliases(settings: Settings) -> Iterator[str]:
    """Warn where `auto` means less than it says."""
    models = {cluster.model for cluster in settings.clusters}
    left_out = models - set(settings.aliases.get(AUTO, models))
    if left_out:
        yield f"the alias {AUTO} leaves out {', '.join(sorted(left_out))}"


def _prices(settings: Settings) -> Iterator[str]:
    """Warn of prices that make costs meaningless."""
    for cluster in settings.clusters:
        price = cluster.price_usd_per_mtok
        if not price.input or not price.output:
            yield f"cluster {cluster.name} has a price of zero: its requests are reported as free"
        least = min((each for each in (price.input, price.output) if each), default=LEAST_USD_PER_MTOK)
        if least < LEAST_USD_PER_MTOK:
            yield (
                f"cluster {cluster.name} has a price of {least:g} US dollars per million tokens, less than anybody asks: "
                f"if that is per token, write {least * 1e6:g}"
            )


def _weighing(settings: Settings) -> Iterator[str]:
    """Warn of weights that do not do what they seem to do."""
    name = settings.policy.name.value
    weighing = [
        policy.value for policy, how in POLICIES.items() if isinstance(how, ByForecast) and how.takes_weights
    ]
    if "objective" in settings.model_fields_set and name not in weighing:
        yield (
            f"objective is given, and the policy {name} does not choose by it: it only bears on what follows a rejected "
            f"or a late answer. These choose by it: {', '.join(weighing)}"
        )
    if settings.objective.preset is not None and settings.objective.weights is not None:
        yield f"objective.preset ({settings.objective.preset.value}) is not used: objective.weights stand beside it, and win"


def _exposure(settings: Settings) -> Iterator[str]:
    """Warn of interfaces without authentication on more than the loopback."""
    interfaces = {
        "gateway.admin": settings.gateway.admin,
        "service.admin": settings.service.admin,
        "service.listen": settings.service.listen,
    }
    for name, address in interfaces.items():
        if not is_unix(address) and not split_host_port(address)[0].startswith(_LOOPBACK):
            yield f"{name} listens on {address}, beyond this machine, and asks for no credentials"


def _sizes(settings: Settings) -> Iterator[str]:
    """Warn where the body limit is below what the longest context needs."""
    longest = max(cluster.max_model_len for cluster in settings.clusters)
    if longest * _BYTES_PER_TOKEN > settings.gateway.max_body_bytes:
        yield (
            f"gateway.max_body_bytes is {settings.gateway.max_body_bytes:,}, and {longest:,} tokens are about "
            f"{longest * _BYTES_PER_TOKEN:,} bytes of English: long prompts will get 413"
        )


def _stale(settings: Settings, fleet: Path, rendered: Path) -> Iterator[str]:
    """Warn when Envoy's configuration beside the file was rendered from something else."""
    try:
        current = rendered.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    # The first line names the fleet file as it was called then.
    if current.partition("\n")[2] != render_envoy_yaml(settings).partition("\n")[2]:
        yield f"{rendered} does not match: run `ttca render {fleet} -o {rendered}`"
