"""Rules that span several fields of the fleet file.

They read the raw tree and skip what has the wrong type, so that they speak in the same run as the per-field errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from extproc.settings.address import canonical_ip_port, is_unix, split_host_port
from extproc.settings.document import Path
from extproc.settings.expectation import settings_schema
from extproc.settings.problems import path_text
from extproc.settings.schema import AUTO, RESERVED_CLUSTER_NAMES
from extproc.settings.translate import Complaint, closest
from extproc.settings.weighing import find_odd_weights

Tree = dict[str, Any]
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


def find_inconsistencies(tree: Tree) -> list[Complaint]:
    """Apply every rule to the raw tree."""
    rules = (_names, _references, _thresholds, _instances, _aliases, _ports, _timeouts, find_odd_weights)
    return [complaint for rule in rules for complaint in rule(tree)]


def _names(tree: Tree) -> Iterator[Complaint]:
    """Names are unique within their list, and no cluster takes a name that Envoy's configuration uses itself."""
    for section in ("pools", "clusters"):
        seen: dict[str, int] = {}
        for index, item in _mappings(tree, section):
            name = item.get("name")
            if not isinstance(name, str):
                continue
            if name in seen:
                other = (section, seen[name], "name")
                message = f"got {name!r}, the name of {section}[{seen[name]}] already, expected a unique name"
                yield Complaint((section, index, "name"), message, other=other)
            seen.setdefault(name, index)
            if section == "clusters" and name in RESERVED_CLUSTER_NAMES:
                message = f"got {name!r}, expected a name that Envoy's configuration does not use itself"
                yield Complaint(
                    (section, index, "name"), message, "reserved: " + ", ".join(RESERVED_CLUSTER_NAMES)
                )


def _references(tree: Tree) -> Iterator[Complaint]:
    """Each cluster's pool exists, and each pool has a cluster."""
    pools = {
        item["name"]: index for index, item in _mappings(tree, "pools") if isinstance(item.get("name"), str)
    }
    if _nameless(tree, "pools", "name"):  # a mistake of its own, and it may be the one that is meant
        return
    used = [
        (index, item["pool"])
        for index, item in _mappings(tree, "clusters")
        if isinstance(item.get("pool"), str)
    ]
    unknown = [(index, pool) for index, pool in used if pool not in pools]
    for index, pool in unknown if pools else ():
        hint = closest(pool, tuple(pools)) or "pools: " + ", ".join(pools)
        yield Complaint(("clusters", index, "pool"), f"got {pool!r}, expected the name of a pool", hint)
    if unknown or not used:  # who belongs where is not known
        return
    for name, index in pools.items():
        if name not in {pool for _, pool in used}:
            message = f"got {name!r}, a pool without clusters, expected at least one"
            yield Complaint(("pools", index, "name"), message, "give a cluster this pool, or remove the pool")


def _thresholds(tree: Tree) -> Iterator[Complaint]:
    """Thresholds ascend, and the last pool, and only it, has none."""
    pools = list(_mappings(tree, "pools"))
    below: int | None = None
    for position, (index, pool) in enumerate(pools):
        path: Path = ("pools", index, "threshold_tokens")
        threshold = pool.get("threshold_tokens")
        is_last = position == len(pools) - 1
        if threshold is None:
            if not is_last:
                hint = "only the last pool is unbounded; order the pools from short to long"
                yield Complaint(path, "got null, expected a number of tokens", hint)
            continue
        if is_last:
            hint = "budgets above it would fit no pool; what an instance can hold is max_model_len"
            yield Complaint(path, f"got {threshold!r} for the last pool, expected null", hint)
        elif isinstance(threshold, int) and below is not None and threshold <= below:
            hint = "order the pools from short to long"
            yield Complaint(path, f"got {threshold}, expected more than {below}, the threshold before", hint)
        if isinstance(threshold, int):
            below = threshold


def _instances(tree: Tree) -> Iterator[Complaint]:
    """There is an instance, and no address is there twice."""
    seen: dict[str, Path] = {}
    count = 0
    for cluster_index, index, address in _addresses(tree):
        count += 1
        place = ("clusters", cluster_index, "instances", index)
        if address in seen:
            yield Complaint(
                place,
                f"got {address}, the address of {path_text(seen[address])} already, expected a unique address",
                "one server serves one cluster: list it once",
                other=seen[address],
            )
        seen.setdefault(address, place)
    lists = [cluster.get("instances") for _, cluster in _mappings(tree, "clusters")]
    if lists and not count and all(item == [] for item in lists):
        yield Complaint(
            ("clusters",), "got no instance in any cluster, expected at least one", "the fleet is empty"
        )


def _aliases(tree: Tree) -> Iterator[Complaint]:
    """Aliases stand for models that exist, and hide none."""
    models = {
        cluster["model"]
        for _, cluster in _mappings(tree, "clusters")
        if isinstance(cluster.get("model"), str)
    }
    for index, cluster in _mappings(tree, "clusters"):
        if cluster.get("model") == AUTO:
            yield Complaint(
                ("clusters", index, "model"),
                f"got {AUTO!r}, the alias for every model, expected a model's own name",
                "an alias may be one more --served-model-name of the server, but not its first",
            )
    some_unknown = _nameless(tree, "clusters", "model")
    aliases = tree.get("aliases")
    if not isinstance(aliases, dict) or not models:
        return
    for alias, members in aliases.items():
        if alias in models and alias != AUTO:
            message = f"got {alias!r}, which is a model's own name, expected a new name"
            yield Complaint(("aliases", alias), message, "requests for the model would reach other models")
        for index, member in enumerate(members if isinstance(members, list) else ()):
            if isinstance(member, str) and member not in models and not some_unknown:
                hint = closest(member, tuple(models)) or "models: " + ", ".join(sorted(models))
                yield Complaint(
                    ("aliases", alias, index), f"got {member!r}, expected the model of a cluster", hint
                )


def _ports(tree: Tree) -> Iterator[Complaint]:
    """No two of our listeners, and no listener and instance, share an address."""
    taken: list[_Listener] = []
    for listener in _listeners(tree):
        clash = next((other for other in taken if listener.shares_port_with(other)), None)
        if clash is not None:
            yield _conflict(listener, clash)
        taken.append(listener)
    for cluster_index, index, address in _addresses(tree):
        host, port = split_host_port(address)
        for other in taken:
            if (host, port) == (other.host, other.port):
                yield Complaint(
                    ("clusters", cluster_index, "instances", index),
                    f"got {address}, taken by {other} already, expected a vLLM server's address",
                    other=other.path,
                )


def _conflict(first: _Listener, second: _Listener) -> Complaint:
    """Complain of what the file says, not of a default that it leaves to us."""
    here, there = (first, second) if first.is_written else (second, first)
    hint = "" if there.is_written else f"or give {path_text(there.path)} another one"
    return Complaint(
        here.path, f"got {here.text}, taken by {there} already, expected a free port", hint, other=there.path
    )


def _timeouts(tree: Tree) -> Iterator[Complaint]:
    """One try fits into the whole, and one scrape into its interval."""
    for section, part, whole in (
        ("budgets", "per_try_timeout_seconds", "request_timeout_seconds"),
        ("scrape", "timeout_seconds", "interval_seconds"),
    ):
        values = tree.get(section)
        if not isinstance(values, dict):
            continue
        defaults = settings_schema()["$defs"][f"{'Budget' if section == 'budgets' else 'Scrape'}Settings"][
            "properties"
        ]
        inner = values.get(part, defaults[part]["default"])
        outer = values.get(whole, defaults[whole]["default"])
        if isinstance(inner, int | float) and isinstance(outer, int | float) and inner > outer > 0:
            named = part if part in values else whole
            message = f"{part} is {inner:g} and {whole} is {outer:g}, expected {part} <= {whole}"
            yield Complaint((section, named), message)


def _mappings(tree: Tree, section: str) -> Iterator[tuple[int, Tree]]:
    items = tree.get(section)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield index, item


def _addresses(tree: Tree) -> Iterator[tuple[int, int, str]]:
    """Go through the well-formed addresses of all instances: cluster's index, instance's index, address."""
    for cluster_index, cluster in _mappings(tree, "clusters"):
        instances = cluster.get("instances")
        for index, item in enumerate(instances if isinstance(instances, list) else ()):
            text = item.get("address") if isinstance(item, dict) else item
            try:
                address = canonical_ip_port(text) if isinstance(text, str) else None
            except ValueError:
                continue
            if address is not None:
                yield cluster_index, index, address


def _nameless(tree: Tree, section: str, key: str) -> bool:
    """Tell whether some item lacks what others refer to it by, so that nothing can be said of references."""
    return any(not isinstance(item.get(key), str) for _, item in _mappings(tree, section))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listener:
    """An address that we listen on."""

    path: Path
    text: str
    host: str
    port: int
    is_written: bool

    def __str__(self) -> str:
        return path_text(self.path) if self.is_written else f"{path_text(self.path)}'s default {self.text}"

    def shares_port_with(self, other: _Listener) -> bool:
        """Tell whether the two cannot both listen; a wildcard takes the port of every address."""
        hosts = (self.host, other.host)
        return self.port == other.port and (hosts[0] == hosts[1] or any(h in _WILDCARDS for h in hosts))


def _listeners(tree: Tree) -> Iterator[_Listener]:
    definitions = settings_schema()["$defs"]
    for section, model in (("gateway", "GatewaySettings"), ("service", "ServiceSettings")):
        values = tree.get(section)
        for field in ("listen", "admin"):
            written = values if isinstance(values, dict) and field in values else None
            text = (
                written[field] if written is not None else definitions[model]["properties"][field]["default"]
            )
            if not isinstance(text, str) or is_unix(text):
                continue
            try:
                host, port = split_host_port(canonical_ip_port(text))
            except ValueError:
                continue
            yield _Listener(
                path=(section, field), text=text, host=host, port=port, is_written=written is not None
            )
