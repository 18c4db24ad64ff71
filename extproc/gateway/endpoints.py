"""The instances as files that Envoy watches (file-based EDS): one per cluster, and one with all of them.

Written while everything runs, so it builds plain dictionaries: importing Envoy's typed messages takes half a second
that the service does not have. A test holds the result against them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import orjson

from extproc.fleet.topology import Cluster, Fleet, Instance
from extproc.protocol import names
from extproc.settings.address import split_host_port

_ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def endpoints_file(cluster: str) -> str:
    """Name the file that holds a cluster's instances."""
    return f"{cluster}.json"


def render_endpoints(fleet: Fleet) -> dict[str, bytes]:
    """Render the instances of each cluster and of the union, by name of file."""
    aliases = {
        cluster.model: [alias for alias, models in fleet.aliases.items() if cluster.model in models]
        for cluster in fleet.clusters
    }
    by_cluster = {
        cluster.name: [_endpoint(cluster, instance, aliases[cluster.model]) for instance in cluster.instances]
        for cluster in fleet.clusters
    }
    union = [endpoint for endpoints in by_cluster.values() for endpoint in endpoints]
    return {
        endpoints_file(name): _document(name, endpoints)
        for name, endpoints in [*by_cluster.items(), (names.UNION_CLUSTER, union)]
    }


def write_endpoints(directory: Path, fleet: Fleet) -> tuple[str, ...]:
    """Bring the files up to date, each by one atomic move, and leave alone what did not change: all of them or none.

    Files of clusters that are gone stay: a running Envoy still has these clusters, and an emptied file takes their
    instances away.

    Returns:
        Names of the files that were written.

    Raises:
        OSError: The directory cannot be made or written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    files = render_endpoints(fleet)
    for stale in directory.glob(endpoints_file("*")):
        files.setdefault(stale.name, _document(stale.name.removesuffix(endpoints_file("")), []))
    changed = [name for name, content in files.items() if _read(directory / name) != content]
    # The union grows before and shrinks after nothing: a plan names a host only once both clusters may have it.
    changed.sort(key=lambda item: item != endpoints_file(names.UNION_CLUSTER))
    _replace_all({directory / name: files[name] for name in changed})
    return tuple(changed)


def _endpoint(cluster: Cluster, instance: Instance, aliases: Iterable[str]) -> dict[str, Any]:
    host, port = split_host_port(instance.address)
    return {
        "endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}},
        "health_status": "DRAINING" if instance.draining else "HEALTHY",
        "metadata": {
            "filter_metadata": {
                names.LB_NAMESPACE: {"model": [cluster.model, *aliases], "pool": cluster.pool},
            }
        },
    }


def _document(cluster: str, endpoints: list[dict[str, Any]]) -> bytes:
    assignment = {
        "@type": _ASSIGNMENT,
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": endpoints}],
    }
    return orjson.dumps({"resources": [assignment]}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace_all(contents: Mapping[Path, bytes]) -> None:
    """Write everything beside its target and then move it over: Envoy reacts to the move and never reads half a file.

    What takes room comes before the first move, the old contents to go back to included.
    """
    with ExitStack() as litter:
        moves = []
        for path, content in contents.items():
            old = _read(path)
            backup = None if old is None else _written_beside(path, old, litter)
            moves.append((path, _written_beside(path, content, litter), backup))
        with ExitStack() as undo:
            for path, fresh, backup in moves:
                undo.callback(_move_back, path, backup)
                os.replace(fresh, path)  # noqa: PTH105 - named by its guarantee
            undo.pop_all()


def _written_beside(path: Path, content: bytes, litter: ExitStack) -> Path:
    handle, name = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    temporary = Path(name)
    litter.callback(temporary.unlink, missing_ok=True)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    temporary.chmod(0o644)  # Envoy may run as another user
    return temporary


def _move_back(path: Path, backup: Path | None) -> None:
    """Undo a move as well as it can be: what stopped the moves is what is told."""
    with suppress(OSError):
        if backup is None:
            path.unlink(missing_ok=True)
        else:
            backup.replace(path)
