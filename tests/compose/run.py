"""Proves docker-compose.yml without a registry: a scratch Docker daemon, local stand-ins for the images, requests.

Needs root and a Debian; installs Debian's Docker packages when they are missing. Leaves nothing behind but an archive
of the base image in `out/compose`. Takes about two minutes, the first time about three.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from tests.compose import checks, images, machine
from tests.proof import Finding, attempt, say, show, until

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = Path(tempfile.gettempdir()) / "ttca-compose-test"
"""A fixed place, so that a run can clear away what a killed one left; short, since it holds a Unix socket."""

TIME_LIMIT_SECONDS = 900
JAEGER_IMAGE, ENVOY_IMAGE = "jaegertracing/jaeger:2.5.0", "envoyproxy/envoy:v1.40.0"
REMOVED_INSTANCE = "172.30.77.20:8003"
WHAT_IT_SHOWS = (
    "Shows: docker-compose.yml and Dockerfile build, start, become healthy, route, trace and stop, on stand-ins with "
    "the same Envoy and a minimal OTLP collector.\n"
    "Does not show: the official images' own entrypoints and users, and Jaeger's user interface."
)


class Stack:
    """docker-compose.yml, run by a Docker daemon of its own."""

    def __init__(self, docker_host: str) -> None:
        fleet = SCRATCH / "fleet"
        self.fleet_file = fleet / "fleet.compose.yaml"
        self.env = {
            "DOCKER_HOST": docker_host,
            "DOCKER_CONFIG": str(SCRATCH / "client"),
            "COMPOSE_PROJECT_NAME": "ttca",
            "TTCA_FLEET_DIR": str(fleet),
        }
        shutil.copytree(ROOT / "envoy", fleet)
        self._command = self._find_compose()

    def _find_compose(self) -> list[str]:
        """The compose command: version 2, or Debian's old one where it cannot be had."""
        if machine.install_compose_v2(SCRATCH / "apt", SCRATCH / "client"):
            return ["docker", "compose"]
        # Without that release there is no buildx either, which the newer builder needs.
        self.env["DOCKER_BUILDKIT"] = "0"
        return ["docker-compose"]

    def compose(self, *words: str) -> str:
        """Runs one compose command on the files under test."""
        files = (
            "--file",
            str(ROOT / "docker-compose.yml"),
            "--file",
            str(ROOT / "tests/compose/build-network.yml"),
        )
        return machine.run(*self._command, *files, *words, env=self.env, cwd=ROOT, timeout_seconds=400)

    def docker(self, *words: str) -> str:
        """Runs one docker command."""
        return machine.run("docker", *words, env=self.env)

    def containers(self) -> dict[str, Any]:
        """What Docker knows of each container, by service."""
        ids = self.docker("ps", "--all", "--quiet", "--no-trunc").split()
        details = json.loads(self.docker("inspect", *ids)) if ids else []
        return {detail["Config"]["Labels"]["com.docker.compose.service"]: detail for detail in details}

    def build(self) -> None:
        """Makes every image that the stack names."""
        base = images.import_base_image(ROOT / "out/compose", self.env)
        say(
            f"  base image: {base}; compose: {' '.join(self._command)} {self.compose('version', '--short').strip()}"
        )
        self.compose("build")
        images.build_standin("envoy", ENVOY_IMAGE, self.env)
        images.build_standin("jaeger", JAEGER_IMAGE, self.env)


def up(stack: Stack) -> Finding:
    """Starts the stack and waits until every container runs, and is healthy where it says so."""
    started = time.monotonic()
    stack.compose("up", "--detach", "--no-build")

    states: dict[str, str] = {}

    def settled() -> bool | None:
        for name, detail in stack.containers().items():
            state = detail["State"]
            states[name] = state.get("Health", {}).get("Status", state["Status"])
        return (len(states) == 4 and set(states.values()) <= {"healthy", "running"}) or None

    passed = bool(until(settled, 60))
    observed = f"{states} after {time.monotonic() - started:.0f} s"
    return Finding("docker compose up: running and healthy", passed, observed)


def confined(stack: Stack) -> Finding:
    """The containers of ours and Envoy have no root, no capabilities, no writable files; ports are local."""
    complaints = []
    for name, detail in stack.containers().items():
        host = detail["HostConfig"]
        addresses = {bind["HostIp"] for binds in (host["PortBindings"] or {}).values() for bind in binds}
        if addresses - {"127.0.0.1"}:
            complaints.append(f"{name} is published on {addresses}")
        if host["CapDrop"] != ["ALL"]:
            complaints.append(f"{name} has capabilities")
        if name != "jaeger" and not (
            host["ReadonlyRootfs"] and detail["Config"]["User"] not in ("", "0", "root")
        ):
            complaints.append(
                f"{name} runs as {detail['Config']['User']!r} and may write: {not host['ReadonlyRootfs']}"
            )
    observed = "; ".join(complaints) or "read-only, no capabilities, not root; published on 127.0.0.1"
    return Finding("containers are confined", not complaints, observed)


def hot_edit(stack: Stack) -> Finding:
    """An instance leaves by an edit of the fleet file, while requests go on."""
    text = stack.fleet_file.read_text(encoding="utf-8")
    edited = stack.fleet_file.with_suffix(".new")
    edited.write_text(text.replace(f"      - {REMOVED_INSTANCE}\n", ""), encoding="utf-8")
    started = time.monotonic()
    edited.replace(stack.fleet_file)
    statuses: list[int] = []

    def gone() -> float | None:
        statuses.append(checks.chat("Say hello.").status)
        return None if REMOVED_INSTANCE in checks.requests_by_instance() else time.monotonic() - started

    seconds = until(gone, 10)
    statuses += [checks.chat("Say hello.").status for _ in range(10)]
    passed = seconds is not None and set(statuses) == {200}
    observed = f"gone from Envoy after {seconds or 10:.1f} s; {len(statuses)} requests meanwhile and after: {sorted(set(statuses))}"
    return Finding("an edit removes an instance while running", passed, observed)


def fail_open(stack: Stack) -> Finding:
    """Without the service, Envoy still answers."""
    stack.compose("stop", "extproc")
    statuses = sorted({checks.chat("Say hello.").status for _ in range(5)})
    state = stack.containers()["extproc"]["State"]["Status"]
    return Finding(
        "service stopped: requests still answered", statuses == [200], f"extproc {state}, {statuses}"
    )


def down(stack: Stack) -> Finding:
    """`docker compose down` leaves nothing."""
    stack.compose("down", "--volumes", "--timeout", "5")
    kinds = {"containers": ("ps", "--all"), "volumes": ("volume", "ls")}
    left = {kind: len(stack.docker(*words, "--quiet").split()) for kind, words in kinds.items()}
    names = stack.docker("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}").split()
    passed = not any(left.values()) and not names
    return Finding("docker compose down: nothing left", passed, f"{left}, networks {names}")


def prove(stack: Stack) -> Iterator[Finding]:
    """Everything, in order. The containers' logs are shown when a check fails."""
    started = attempt(functools.partial(up, stack), "up")
    yield started
    if not started.passed:
        return
    yield attempt(functools.partial(confined, stack), "confined")
    yield from checks.all_checks()
    for check in (hot_edit, fail_open, down):
        yield attempt(functools.partial(check, stack), check.__name__)


def run() -> bool:
    """Builds, starts, checks and removes the stack; returns whether every check passed."""
    with machine.docker_daemon(SCRATCH) as docker_host:
        stack = Stack(docker_host)
        try:
            say("building the images ...")
            stack.build()
            passed = True
            for finding in prove(stack):
                if not show(finding):
                    passed = False
                    logs = stack.compose("logs", "--no-color", "--tail", "30") if stack.containers() else ""
                    sys.stderr.write(logs)
            return passed
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                stack.compose("down", "--volumes", "--timeout", "5")


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Turns an alarm or a polite kill into an exception, so that everything is cleaned up."""
    raise TimeoutError(f"stopped, at the latest after {TIME_LIMIT_SECONDS} s")


def main() -> int:
    """Runs the proof once at a time, within its time."""
    signal.signal(signal.SIGALRM, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    signal.alarm(TIME_LIMIT_SECONDS)
    kept = ROOT / "out/compose"
    passed = False
    try:
        machine.require_packages()
        kept.mkdir(parents=True, exist_ok=True)
        with (kept / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            machine.clear(SCRATCH)
            SCRATCH.mkdir()
            try:
                passed = run()
            finally:
                machine.clear(SCRATCH)
    except BlockingIOError:
        sys.stderr.write("compose-test: another run is under way\n")
    except (machine.UnfitError, subprocess.SubprocessError, TimeoutError, KeyboardInterrupt) as error:
        sys.stderr.write(f"compose-test: {error!s:.4000}\n")
    if passed:
        say(WHAT_IT_SHOWS)
    say("compose-test: " + ("passed" if passed else "FAILED"))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
