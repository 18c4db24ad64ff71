"""One real vLLM server on the CPU, as a child process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from loadgen.stack.process import ChildProcess
from tests.proof import call
from tests.vllm.environment import OFFLINE

MODEL, ALIAS = "tiny", "auto"
START_SECONDS = 240.0

SETTINGS = OFFLINE | {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Two servers share the machine's cores with Envoy and the service: no pinning, one thread each.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}


class VllmServer:
    """vLLM with random weights: real scheduling, real limits, meaningless text."""

    def __init__(self, *, python: Path, model: Path, address: str, max_model_len: int, log: Path) -> None:
        self.address = address
        self.max_model_len = max_model_len
        host, _, port = address.rpartition(":")
        self._where = (host, int(port))
        options = {
            "--model": model,
            "--served-model-name": MODEL,
            "--host": host,
            "--port": port,
            "--max-model-len": max_model_len,
            "--max-num-seqs": 2,
            "--max-num-batched-tokens": 2048,
            "--num-gpu-blocks-override": 160,
            "--load-format": "dummy",
            # bfloat16 dies of an illegal instruction on some processors.
            "--dtype": "float32",
        }
        words = [str(word) for option in options.items() for word in option]
        # The alias follows the name: both are values of one option.
        words.insert(words.index(MODEL) + 1, ALIAS)
        module = [
            "-m",
            "vllm.entrypoints.openai.api_server",
            "--enforce-eager",
            "--enable-request-id-headers",
        ]
        command = [
            "env",
            *(f"{key}={value}" for key, value in SETTINGS.items()),
            str(python),
            *module,
            *words,
        ]
        log.unlink(missing_ok=True)
        self.process = ChildProcess(f"vLLM ({max_model_len} tokens)", command, log)

    async def start(self) -> None:
        """Starts the server and waits until it serves.

        Raises:
            StackError: It ended, or was not ready in time.
        """
        await self.process.start(self._is_healthy, within_seconds=START_SECONDS)

    async def _is_healthy(self) -> bool:
        try:
            return (await asyncio.to_thread(call, self._where, "/health", timeout_seconds=5)).status == 200
        except OSError:
            # Until it is ready, nobody listens. Asking costs it nothing, but us a thread each time.
            await asyncio.sleep(0.5)
            return False

    def served(self) -> int:
        """Requests that the server has finished, by its own count.

        Raises:
            OSError: It is gone.
        """
        text = call(self._where, "/metrics").body
        lines = (line for line in text.splitlines() if line.startswith("vllm:request_success_total{"))
        return int(sum(float(line.rpartition(" ")[2]) for line in lines))
