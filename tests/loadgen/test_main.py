from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Echo(BaseHTTPRequestHandler):
    """Answers every request with usage, as one JSON document."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        tokens = asked.get("ttca_sim", {}).get("output_tokens", 1)
        answer = {"model": "m", "usage": {"prompt_tokens": 5, "completion_tokens": tokens}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-inference-pod", "127.0.0.1:1")
        self.send_header("x-envoy-attempt-count", "2")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class calls it that
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    """URL of a running echo server."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def loadgen(*arguments: str, data: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "loadgen", *arguments],
        cwd=ROOT,
        env={**os.environ, "TTCA_DATA": data, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def a_fleet_file(folder: Path, ports: list[int]) -> Path:
    """A fleet of one cluster."""
    path = folder / "fleet.yaml"
    addresses = json.dumps([f"127.0.0.1:{port}" for port in ports])
    path.write_text(
        "version: 1\n"
        "pools: [{name: everything}]\n"
        "clusters:\n"
        "  - name: tiny\n"
        "    model: tiny-model\n"
        "    pool: everything\n"
        "    max_model_len: 4096\n"
        "    max_num_seqs: 8\n"
        "    price_usd_per_mtok: {input: 1, output: 1}\n"
        f"    instances: {addresses}\n"
    )
    return path


def test_a_run_prints_a_table_and_writes_its_summary(server: str, tmp_path: Path) -> None:
    """A run against a server ends with the table, the source of the load, and the JSON summary."""
    out = tmp_path / "deep" / "summary.json"
    done = loadgen("run", "--target", server, "--requests", "40", "--rate-scale", "20", "--out", str(out))
    summary = json.loads(out.read_text())

    assert 0 == done.returncode, done.stderr
    assert "40/40 requests, 0 errors" in done.stdout
    assert "end to end" in done.stdout
    assert summary["workload"] in done.stdout.replace("\n", " ")
    assert (40, 0, 40) == (summary["requests"], summary["errors"], summary["retries"])
    assert {"p50", "p90", "p99", "mean"} == set(summary["e2e_s"])
    assert {"127.0.0.1:1"} == set(summary["by_instance"])


@pytest.mark.parametrize("process", ["poisson", "gamma", "square", "constant"])
def test_a_duration_bounds_the_arrivals_of_any_process(server: str, tmp_path: Path, process: str) -> None:
    """With a duration instead of a count, arrivals go on until then and no further."""
    out = tmp_path / "summary.json"
    done = loadgen(
        "run", "--target", server, "--duration", "1.5", "--arrivals", process, "--rate", "40",
        "--max-prompt-tokens", "50", "--max-output-tokens", "1", "--out", str(out),
    )  # fmt: skip
    summary = json.loads(out.read_text())

    assert 0 == done.returncode, done.stderr
    assert 15 < summary["requests"] < 150
    assert process in summary["arrivals"]
    assert summary["clipped_prompts"] > 0


def test_an_unreachable_target_fails_at_once_with_its_name() -> None:
    """Nothing listens: the run gives up long before its schedule ends and says why."""
    (port,) = free_ports(1)
    done = loadgen("run", "--target", f"http://127.0.0.1:{port}", "--requests", "5000", "--rate-scale", "20")

    assert 1 == done.returncode
    assert f"nothing answers at http://127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--workload", "nothing"), "choose one of azure_conv"),
        (("--target", "somewhere"), "must be a URL"),
        (("--rate-scale", "0"), "rate_scale must be positive"),
        (("--arrivals", "square", "--square-ratio", "0.5"), "at least 1"),
        (("--auto-share", "0.5"), "concrete model names"),
        (("--fleet", "missing.yaml"), "missing.yaml"),
        (("--requests", "0"), "requests"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    """A bad parameter ends with status 2 and a sentence, not with a traceback."""
    done = loadgen("run", *arguments)

    assert 2 == done.returncode
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_are_named() -> None:
    """A data folder that was asked for and is not there is an error, in `run` and in `workloads`."""
    for command in ("run", "workloads"):
        done = loadgen(command, data="/does/not/exist")

        assert 2 == done.returncode
        assert "TTCA_DATA=/does/not/exist" in done.stderr


def test_workloads_are_listed_with_their_source() -> None:
    """The list has every workload and says of each whether it is recorded or generated."""
    done = loadgen("workloads")

    assert 0 == done.returncode, done.stderr
    for name in ("azure_conv", "mooncake_conversation", "lmcache_miniswe", "lmcache_taubench"):
        assert f"{name}: recorded by" in done.stdout or f"{name}: generated" in done.stdout


def test_help_does_not_load_the_heavy_parts() -> None:
    """`--help` answers without numpy, aiohttp or pydantic."""
    script = (
        "import sys\nimport loadgen.__main__\n"
        "print([name for name in ('numpy', 'aiohttp', 'pydantic', 'extproc') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )

    assert "[]" == done.stdout.strip()


def test_a_fleet_is_served_and_driven_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """`fleet` starts a server per instance, `run --fleet` knows their models and pools, SIGTERM ends it cleanly."""
    ports = free_ports(2)
    path = a_fleet_file(tmp_path, ports)
    with subprocess.Popen(
        [sys.executable, "-m", "loadgen", "fleet", "--fleet", str(path), "--time-scale", "20"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as fleet:  # fmt: skip
        try:
            assert fleet.stdout is not None
            ready = [fleet.stdout.readline() for _ in ports]
            out = tmp_path / "summary.json"
            done = loadgen(
                "run", "--target", f"http://127.0.0.1:{ports[1]}", "--fleet", str(path), "--requests", "30",
                "--rate-scale", "10", "--auto-share", "0.5", "--max-prompt-tokens", "300", "--out", str(out),
            )  # fmt: skip
        finally:
            fleet.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 15
            while fleet.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            fleet.kill()
    summary = json.loads(out.read_text())

    assert [True, True] == ["tiny-model" in line for line in ready]
    assert 0 == done.returncode, done.stderr
    assert 0 == summary["errors"], summary["error_samples"]
    assert {"everything": 30} == {name: pool["requests"] for name, pool in summary["by_pool"].items()}
    assert {"tiny-model"} == set(summary["by_model"])
    assert 0 == fleet.returncode
