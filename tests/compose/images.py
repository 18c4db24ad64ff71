"""Local stand-ins for the images that docker-compose.yml names, since there is no registry to pull them from."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.compose.machine import debian_codename, debian_mirror, run

STANDINS = Path(__file__).parent / "standins"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
PYTHON = "3.12"


def import_base_image(cache: Path, env: Mapping[str, str]) -> str:
    """Imports a stand-in for `python:3.12-slim`, made once and then kept as an archive in `cache`.

    Returns:
        What it is made of.
    """
    python = copyable_python()
    archive = cache / f"base-{debian_codename()}-{'own' if python is None else PYTHON}.tar"
    if not archive.exists():
        make_base_archive(archive, python)
    changes = [
        "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        # The machine may reach its package index through a proxy with a certificate of its own.
        f"ENV PIP_CERT={CA_BUNDLE}",
        'CMD ["python3"]',
    ]
    options = [word for change in changes for word in ("--change", change)]
    run("docker", "import", *options, archive, f"python:{PYTHON}-slim", env=env)
    version = f"Python {PYTHON}" if python is not None else "Debian's own Python"
    return f"Debian {debian_codename()} with {version}"


def make_base_archive(archive: Path, python: Path | None) -> None:
    """Bootstraps a minimal Debian with a Python in it."""
    root = archive.with_suffix(".root")
    archive.parent.mkdir(parents=True, exist_ok=True)
    if root.exists():
        shutil.rmtree(root)
    # Debian's python3 also brings the shared libraries that the copied one needs.
    packages = "ca-certificates,python3,python3-venv"
    run("debootstrap", "--variant=minbase", f"--include={packages}", debian_codename(), root, debian_mirror())
    local = root / "usr/local"
    if python is not None:
        shutil.copytree(
            python, local, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("test")
        )
        run("chroot", root, "ldconfig")
    else:
        (local / "bin/python").symlink_to("/usr/bin/python3")
        (local / "bin/python3").symlink_to("/usr/bin/python3")
    if CA_BUNDLE.exists():
        shutil.copy(CA_BUNDLE, root / CA_BUNDLE.relative_to("/"))
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
    partial = archive.with_suffix(".partial")
    run("tar", "--create", "--file", partial, "--directory", root, ".")
    partial.rename(archive)
    shutil.rmtree(root)


def copyable_python() -> Path | None:
    """Prefix of a self-contained Python of the wanted version on this machine, such as one that pyenv built."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = shutil.which(f"python{PYTHON}")
    candidates = [
        *([found] if found else []),
        *map(str, sorted(pyenv.glob(f"versions/{PYTHON}*/bin/python{PYTHON}"))),
    ]
    for candidate in candidates:
        probe = [candidate, "-c", "import ssl, sqlite3, sys; print(sys.base_prefix)"]
        done = subprocess.run(probe, capture_output=True, text=True, timeout=30, check=False)
        prefix = done.stdout.strip()
        if done.returncode == 0 and prefix not in ("", "/usr"):
            return Path(prefix)
    return None


def build_standin(name: str, tag: str, env: Mapping[str, str]) -> None:
    """Builds the stand-in of one image under the image's own name."""
    dockerfile = STANDINS / f"{name}.Dockerfile"
    run("docker", "build", "--network=host", "--file", dockerfile, "--tag", tag, STANDINS, env=env)
