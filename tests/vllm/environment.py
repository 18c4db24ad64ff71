"""The environment that real vLLM runs in, apart from the project's own: made once, below `out/vllm`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.proof import say

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
INSTALL_SECONDS = 1200.0


class EnvironmentFailedError(Exception):
    """vLLM could not be installed, or the model not be made; the message says where the log is."""


def install(directory: Path) -> Path:
    """Installs vLLM unless the same requirements stand there already.

    Returns:
        The environment's Python.

    Raises:
        EnvironmentFailedError: pip failed.
    """
    python, stamp = directory / "venv/bin/python", directory / "venv/.installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return python
    say("installing vLLM (about three minutes and 3.4 GB) ...")
    log = directory / "install.log"
    directory.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    run_logged([sys.executable, "-m", "venv", str(directory / "venv")], log)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
    run_logged([*pip, "--requirement", str(REQUIREMENTS)], log)
    stamp.write_text(wanted, encoding="ascii")
    return python


def make_model(python: Path, directory: Path, max_model_len: int) -> Path:
    """Makes the tiny model afresh: it takes seconds, and its tokenizer follows the project's text.

    Raises:
        EnvironmentFailedError: It could not be made.
    """
    model, log = directory / "model", directory / "model.log"
    log.unlink(missing_ok=True)
    settings = [f"{key}={value}" for key, value in OFFLINE.items()]
    maker = [str(python), str(HERE / "tiny_model.py"), str(model), str(max_model_len)]
    run_logged(["env", *settings, *maker], log)
    return model


def run_logged(command: list[str], log: Path) -> None:
    """Runs a command to its end, its output appended to a log.

    Raises:
        EnvironmentFailedError: It failed.
        subprocess.TimeoutExpired: It took too long.
    """
    with log.open("ab") as sink:
        code = subprocess.run(
            command, stdout=sink, stderr=sink, timeout=INSTALL_SECONDS, check=False
        ).returncode
    if code != 0:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise EnvironmentFailedError(f"{' '.join(command[:6])} … failed ({code}). The end of {log}:\n{end}")
