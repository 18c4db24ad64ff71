"""What the proof needs of the machine: Debian's packages, and a Docker daemon of its own that goes away with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGES = ("docker.io", "docker-compose", "debootstrap", "iptables")
COMMANDS = ("dockerd", "docker", "debootstrap", "iptables")
COMPOSE_V2_SUITE = "trixie"
"""Debian release that has Compose v2, for machines whose own release does not."""


class UnfitError(Exception):
    """The machine cannot run the proof; the message says what is missing."""


def run(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 600,
    cwd: Path | None = None,
) -> str:
    """Runs a command and returns what it printed.

    Raises:
        subprocess.CalledProcessError: It failed; its output has been shown.
        subprocess.TimeoutExpired: It took too long.
    """
    done = subprocess.run(
        [str(word) for word in command],
        env=None if env is None else {**os.environ, **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    if done.returncode != 0:
        sys.stderr.write(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}{done.stderr[-4000:]}\n")
        done.check_returncode()
    return done.stdout


def require_packages() -> None:
    """Installs what is missing.

    Raises:
        UnfitError: Not root, or not a Debian.
    """
    if os.geteuid() != 0:
        raise UnfitError("needs root, for a Docker daemon of its own: sudo make compose-test")
    if all(shutil.which(command) for command in COMMANDS):
        return
    if shutil.which("apt-get") is None:
        raise UnfitError(
            f"needs apt-get to install {' '.join(PACKAGES)}; without it, install {' '.join(COMMANDS)} by hand"
        )
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-qq", env=quiet)
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES, env=quiet)


def debian_mirror() -> str:
    """The package mirror that this machine uses itself.

    Raises:
        UnfitError: It uses none.
    """
    codename = debian_codename()
    uris = run(
        "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {codename}"
    )
    for uri in uris.split():
        if "security" not in uri:
            return uri
    raise UnfitError(f"apt knows no mirror of {codename}: run apt-get update")


def debian_codename() -> str:
    """Name of the machine's own release.

    Raises:
        UnfitError: It does not say.
    """
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    raise UnfitError("/etc/os-release names no release: this needs a Debian")


def install_compose_v2(directory: Path, client_config: Path) -> bool:
    """Unpacks Compose v2 of a later Debian where the client finds its plugins, without installing it.

    Returns:
        False when it cannot be had; the machine's own `docker-compose` then has to do.
    """
    lists, cache, plugins = directory / "lists", directory / "cache", client_config / "cli-plugins"
    for folder in (lists / "partial", cache / "archives/partial", plugins, directory / "unpacked"):
        folder.mkdir(parents=True)
    sources = directory / "sources.list"
    sources.write_text(f"deb {debian_mirror()} {COMPOSE_V2_SUITE} main\n", encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": lists,
        "Dir::Cache": cache,
        "APT::Sandbox::User": "root",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    try:
        run("apt-get", *options, "update", "-qq", timeout_seconds=120)
        run("apt-get", *options, "download", "-qq", "docker-compose", "docker-buildx", cwd=directory)
    except subprocess.CalledProcessError:
        return False
    for package in directory.glob("*.deb"):
        run("dpkg", "-x", package, directory / "unpacked")
    for plugin in (directory / "unpacked").glob("**/cli-plugins/docker-*"):
        shutil.copy(plugin, plugins)
    return True


@contextlib.contextmanager
def docker_daemon(scratch: Path) -> Iterator[str]:
    """A Docker daemon with its data below `scratch`; yields its address, and stops it afterwards.

    No default bridge and no firewall rules: it leaves the machine's network as it is.

    Raises:
        UnfitError: It does not start here.
    """
    address = f"unix://{scratch}/docker.sock"
    log = scratch / "dockerd.log"
    switches = (
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
    )
    places = {"--host": address, "--data-root": scratch / "data", "--exec-root": scratch / "exec"}
    command = ["dockerd", *switches, "--pidfile", str(scratch / "dockerd.pid")]
    for switch, place in places.items():
        command += [switch, str(place)]
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not answers(address):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise UnfitError("dockerd does not start here:\n" + log.read_text(encoding="utf-8")[-2000:])
            time.sleep(0.5)
        yield address
    finally:
        stop(daemon)


def answers(address: str) -> bool:
    """Whether a Docker daemon answers."""
    probe = ["docker", "--host", address, "version", "--format", "{{json .Server.Version}}"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=20, check=False)
    return done.returncode == 0 and bool(json.loads(done.stdout or "null"))


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that we started, politely first."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def clear(scratch: Path) -> None:
    """Removes what this run, or one that was killed, left in the scratch directory: daemon, mounts, files."""
    pidfile = scratch / "dockerd.pid"
    if pidfile.exists():
        pid = int(pidfile.read_text(encoding="ascii"))
        command_line = Path(f"/proc/{pid}/cmdline")
        # A recycled number must not end somebody else's process.
        if command_line.exists() and str(scratch).encode() in command_line.read_bytes():
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 30
            while command_line.exists() and time.monotonic() < deadline:
                time.sleep(0.2)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{scratch}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    if scratch.exists():
        shutil.rmtree(scratch)
