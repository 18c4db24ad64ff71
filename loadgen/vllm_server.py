"""Fleets of simulated vLLM instances in one process: started inside a test, or served until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import uvloop

from loadgen.vllm.instance import Instance
from loadgen.vllm.spec import InstanceSpec

__all__ = ["Instance", "InstanceSpec", "run", "running_instances", "serve_fleet", "start_instances"]


async def start_instances(specs: Sequence[InstanceSpec], *, admin: bool = True) -> list[Instance]:
    """Start one server per spec; the caller stops each.

    Raises:
        OSError: When an address cannot be had; instances started before are stopped.
    """
    started: list[Instance] = []
    try:
        for spec in specs:
            instance = Instance(spec, admin=admin)
            started.append(instance)
            await instance.start()
    except BaseException:
        await stop_instances(started)
        raise
    return started


async def stop_instances(instances: Sequence[Instance]) -> None:
    """Stop every instance at once."""
    await asyncio.gather(*(instance.stop() for instance in instances))


@contextlib.asynccontextmanager
async def running_instances(
    specs: Sequence[InstanceSpec], *, admin: bool = True
) -> AsyncIterator[list[Instance]]:
    """Instances for the length of a `with` block."""
    instances = await start_instances(specs, admin=admin)
    try:
        yield instances
    finally:
        await stop_instances(instances)


async def serve_fleet(
    specs: Sequence[InstanceSpec],
    *,
    admin: bool = False,
    host: str | None = None,
    on_ready: Callable[[Sequence[Instance]], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        specs: One per instance.
        admin: Serve `/admin/*` too (to the local machine only).
        host: Listen on this address instead of the one in each spec; the ports stay.
        on_ready: Called once with the listening instances.

    Raises:
        OSError: When an address cannot be had.
    """
    if host is not None:
        specs = [_moved(spec, host) for spec in specs]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    try:
        async with running_instances(specs, admin=admin) as instances:
            if on_ready is not None:
                on_ready(instances)
            await stop.wait()
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)


def run(
    specs: Sequence[InstanceSpec],
    *,
    admin: bool = False,
    host: str | None = None,
    on_ready: Callable[[Sequence[Instance]], None] | None = None,
) -> None:
    """`serve_fleet` in an event loop of its own (uvloop)."""
    uvloop.run(serve_fleet(specs, admin=admin, host=host, on_ready=on_ready))


def _moved(spec: InstanceSpec, host: str) -> InstanceSpec:
    return replace(spec, address=f"{host}:{spec.port}")
