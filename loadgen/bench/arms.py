"""The three things compared, each with an Envoy of its own in front of the same instances."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from extproc.gateway.endpoints import write_endpoints
from extproc.gateway.filters import ATTEMPT_FILTER, DECIDE_FILTER, JSON_FILTER
from loadgen.stack.local import LocalStack
from loadgen.stack.process import ChildProcess

_ENVOY_THREADS = 1
_LONG_CONTEXT_TOKENS = 262_144
"""Holds a body of 512 KB with room to spare, so that nothing is refused and no plan expects an overflow."""


class ArmName(StrEnum):
    """What stands behind Envoy's ext_proc filter."""

    SERVICE = "service"
    NOOP = "noop"
    NONE = "none"


class Arm(LocalStack):
    """One Envoy and the service that it talks to.

    The Envoys do the same work but for the filter under test: with no decision, a request takes the fallback route,
    so that route's own extras are taken out of the two arms that use it (the ATTEMPT filter, a second ext_proc
    stream; and reading the model out of the body for the fallback policy). All three log and trace alike; where no
    ext_proc filter is left, the no-op service receives the records.

    Args:
        name: Which arm it is.
        run_dir: Where its files and logs go.
        fleet: Its fleet document; the instances are the same for all arms.
    """

    def __init__(self, name: ArmName, run_dir: Path, fleet: dict[str, Any]) -> None:
        super().__init__(run_dir, fleet, simulate=False)
        self.name = name
        if name is not ArmName.SERVICE:
            command = self._python("loadgen.bench.noop", self.settings.service.listen)
            self.service = ChildProcess("the no-op service", command, run_dir / "service.log")

    async def start_service(self) -> None:
        """Start the service, or what stands in for it, and wait until it is ready."""
        if self.name is ArmName.SERVICE:
            await super().start_service()
            return
        write_endpoints(Path(self.settings.gateway.endpoints_directory), self.settings.fleet())
        await self.service.start(lambda: is_listening(self.settings.service.listen), within_seconds=20)

    async def _render(self) -> None:
        await super()._render()
        if self.name is not ArmName.SERVICE:
            config = yaml.safe_load(self._envoy_config.read_text())
            dropped = {ATTEMPT_FILTER} if self.name is ArmName.NOOP else {ATTEMPT_FILTER, DECIDE_FILTER}
            self._envoy_config.write_text(yaml.safe_dump(without_fallback_extras(config, dropped)))


def without_fallback_extras(config: Any, dropped: set[str]) -> Any:  # noqa: ANN401 - any part of a YAML document
    """Copy an Envoy configuration without the filters in `dropped` and without reading models out of bodies."""
    if isinstance(config, list):
        return [
            without_fallback_extras(item, dropped)
            for item in config
            if not (isinstance(item, dict) and item.get("name") in dropped)
        ]
    if not isinstance(config, dict):
        return config
    copy = {key: without_fallback_extras(value, dropped) for key, value in config.items()}
    if config.get("name") == JSON_FILTER:
        copy["typed_config"].pop("request_rules", None)
    return copy


async def is_listening(address: str) -> bool:
    """True when somebody accepts connections at `ip:port`."""
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


def fleet_document(instance_ports: Sequence[int], own_ports: Sequence[int]) -> dict[str, Any]:
    """Declare two models, each with three quarters of its instances in the short pool.

    Args:
        instance_ports: A local port for each instance; a multiple of 8.
        own_ports: Local ports of the gateway, its admin interface, the service and its admin interface.

    Raises:
        ValueError: The number of instances is no multiple of 8.
    """
    if len(instance_ports) % 8:
        raise ValueError(f"expected a multiple of 8 instances, got {len(instance_ports)}")
    addresses = [f"127.0.0.1:{port}" for port in instance_ports]
    eighth = len(instance_ports) // 8
    bounds = (0, 3 * eighth, 4 * eighth, 7 * eighth, 8 * eighth)
    kinds = (
        ("llama-short", "llama-3.1-8b", "short", 8192, 128),
        ("llama-long", "llama-3.1-8b", "long", _LONG_CONTEXT_TOKENS, 64),
        ("qwen-short", "qwen2.5-32b", "short", 8192, 128),
        ("qwen-long", "qwen2.5-32b", "long", _LONG_CONTEXT_TOKENS, 64),
    )
    gateway, gateway_admin, service, service_admin = (f"127.0.0.1:{port}" for port in own_ports)
    return {
        "version": 1,
        "gateway": {"listen": gateway, "admin": gateway_admin, "concurrency": _ENVOY_THREADS},
        "service": {"listen": service, "admin": service_admin},
        "telemetry": {"sample_ratio": 0.0},
        "pools": [{"name": "short", "threshold_tokens": 8192}, {"name": "long"}],
        "clusters": [
            {
                "name": name,
                "model": model,
                "pool": pool,
                "max_model_len": length,
                "max_num_seqs": slots,
                "price_usd_per_mtok": {"input": 0.1, "output": 0.2},
                "instances": addresses[start:end],
            }
            for (name, model, pool, length, slots), (start, end) in zip(kinds, pairwise(bounds), strict=True)
        ],
    }
