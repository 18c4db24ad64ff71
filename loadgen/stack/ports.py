"""Gives a fleet file ports that are free on this machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from loadgen.stack.failure import StackError


def free_ports(count: int) -> list[int]:
    """Return `count` different loopback ports that nobody listens on right now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def busy_addresses(fleet: dict[str, Any]) -> list[str]:
    """Addresses of a fleet document (listeners and instances) on which somebody already listens."""
    return [address for _, _, address in _places(fleet) if not _is_free(address)]


def with_free_ports(fleet: dict[str, Any]) -> dict[str, Any]:
    """Move every address of a fleet document to a free loopback port, in place; returns the document."""
    places = list(_places(fleet))
    for (holder, key, _), port in zip(places, free_ports(len(places)), strict=True):
        holder[key] = f"127.0.0.1:{port}"
    return fleet


def _places(fleet: dict[str, Any]) -> Iterator[tuple[Any, Any, str]]:
    """Every place that holds an address: its container, its key there, and the address."""
    for section in ("gateway", "service"):
        for key in ("listen", "admin"):
            address = fleet.get(section, {}).get(key)
            if address is None:
                raise StackError(f"the fleet file must state {section}.{key} to be run as local processes")
            if not address.startswith("unix:"):
                yield fleet[section], key, address
    for cluster in fleet["clusters"]:
        for index, instance in enumerate(cluster["instances"]):
            if isinstance(instance, str):
                yield cluster["instances"], index, instance
            else:
                yield instance, "address", instance["address"]


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True
