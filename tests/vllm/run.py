"""Proves the gateway in front of two real vLLM servers on the CPU: real Envoy, the service, real limits and errors.

The first run installs vLLM below `out/vllm` (about three minutes); another takes about two minutes. It needs 4 GB of
memory. The weights are random: this shows protocol, limits, scheduling and failure, not the quality of answers.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from loadgen.stack.failure import StackError
from loadgen.stack.local import LocalStack
from loadgen.stack.ports import with_free_ports
from tests.proof import Finding, attempt, say, show
from tests.vllm import checks
from tests.vllm.checks import Bench
from tests.vllm.environment import EnvironmentFailedError, install, make_model
from tests.vllm.server import ALIAS, MODEL, VllmServer

DIRECTORY = Path(__file__).resolve().parents[2] / "out/vllm"
LIMIT_SECONDS = 600.0
SHORT_TOKENS, LONG_TOKENS = 2048, 16384


def fleet() -> dict[str, Any]:
    """A fleet of one model in two configurations, at addresses that are free now."""
    price = {"input": 0.1, "output": 0.1}
    speed = {
        "iteration_base_seconds": 0.01,
        "iteration_per_sequence_seconds": 0.002,
        "prefill_tokens_per_second": 4000.0,
    }
    lengths = {"short": SHORT_TOKENS, "long": LONG_TOKENS}
    clusters = [
        {
            "name": f"tiny-{pool}",
            "model": MODEL,
            "pool": pool,
            "max_model_len": length,
            "max_num_seqs": 2,
            "price_usd_per_mtok": price,
            "speed": speed,
            "instances": ["127.0.0.1:1"],
        }
        for pool, length in lengths.items()
    ]
    listeners = {"listen": "127.0.0.1:1", "admin": "127.0.0.1:1"}
    return with_free_ports(
        {
            "version": 1,
            "gateway": {**listeners, "concurrency": 1},
            "service": {**listeners},
            "pools": [{"name": "short", "threshold_tokens": SHORT_TOKENS}, {"name": "long"}],
            "clusters": clusters,
            "aliases": {ALIAS: [MODEL]},
            # When one of two servers dies, more than the usual fifth of the requests needs a retry at once.
            "budgets": {"min_retry_concurrency": 2 * checks.LOAD_CONCURRENCY},
        }
    )


@asynccontextmanager
async def servers(
    addresses: list[str], python: Path, model: Path
) -> AsyncIterator[tuple[VllmServer, VllmServer]]:
    """Both servers, started side by side and stopped afterwards."""
    short, long = (
        VllmServer(
            python=python, model=model, address=address, max_model_len=length, log=DIRECTORY / f"{length}.log"
        )
        for address, length in zip(addresses, (SHORT_TOKENS, LONG_TOKENS), strict=True)
    )
    try:
        async with asyncio.TaskGroup() as group:
            for server in (short, long):
                group.create_task(server.start())
        yield short, long
    finally:
        await asyncio.gather(short.process.stop(), long.process.stop())


def place(address: str) -> tuple[str, int]:
    """Splits `ip:port`."""
    host, _, port = address.rpartition(":")
    return host, int(port)


async def prove(stack: LocalStack, bench: Bench) -> AsyncIterator[Finding]:
    """Every check, in order: overflow while nothing was learned yet, last what breaks something."""
    for check in (
        checks.overflow,
        checks.overflow_teaches,
        checks.plain,
        checks.streaming,
        checks.short_to_short,
        checks.trace,
        checks.long_to_long,
        checks.too_long,
    ):
        yield await asyncio.to_thread(attempt, partial(check, bench), check.__name__)
    loop = asyncio.get_running_loop()

    def kill_short() -> None:
        asyncio.run_coroutine_threadsafe(bench.short.process.kill(), loop).result(30)

    yield await asyncio.to_thread(attempt, partial(checks.killed, bench, kill_short), "killed")
    await stack.service.kill()
    statuses = {(await asyncio.to_thread(bench.chat, checks.PROSE)).status for _ in range(3)}
    dead = not stack.service.is_running
    yield Finding(
        "service killed: still answered", dead and statuses == {200}, f"{statuses}, service dead: {dead}"
    )


async def run(python: Path, model: Path) -> bool:
    """Starts everything, checks, and takes everything down; returns whether every check passed.

    Raises:
        StackError: A process did not start; within a group when it was a vLLM server.
        TimeoutError: It took too long.
    """
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(LIMIT_SECONDS):
        stack = LocalStack(DIRECTORY / "run", fleet(), simulate=False)
        say("starting two vLLM servers (about a minute) ...")
        async with servers(stack.addresses, python, model) as (short, long), stack:
            settings = stack.settings
            bench = Bench(
                gateway=place(settings.gateway.listen),
                envoy_admin=place(settings.gateway.admin),
                service_admin=place(settings.service.admin),
                short=short,
                long=long,
            )
            outcomes = [show(finding) async for finding in prove(stack, bench)]
    return all(outcomes)


def main() -> int:
    """Runs the proof; an interrupt or a polite kill also cleans up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        python = install(DIRECTORY)
        model = make_model(python, DIRECTORY, LONG_TOKENS)
        shutil.rmtree(DIRECTORY / "run", ignore_errors=True)
        passed = asyncio.run(run(python, model))
    except (EnvironmentFailedError, StackError, subprocess.TimeoutExpired, TimeoutError, OSError) as error:
        sys.stderr.write(f"vllm-test: {error!s:.4000}\n")
        return 1
    except ExceptionGroup as group:
        sys.stderr.write("".join(f"vllm-test: {error}\n" for error in group.exceptions))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("vllm-test: stopped\n")
        return 1
    say(f"vllm-test: {'passed' if passed else 'FAILED'}; logs in {DIRECTORY}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
