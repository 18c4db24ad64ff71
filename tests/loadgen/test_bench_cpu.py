from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from loadgen.bench.cpu import cpu_seconds


def test_own_time_is_the_processes_time() -> None:
    """The clock of our own process is the one that the standard library reads."""
    before, measured, after = time.process_time(), cpu_seconds(os.getpid()), time.process_time()

    assert before <= measured <= after


def test_another_processes_work_shows_and_its_sleep_does_not() -> None:
    """A child that burnt 0.2 s of CPU and now sleeps has spent that and no more."""
    program = (
        "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
        "print('done', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            spent = cpu_seconds(child.pid)
            time.sleep(0.1)
            later = cpu_seconds(child.pid)
        finally:
            child.kill()

    assert spent >= 0.2
    assert later - spent < 0.05


def test_a_process_that_ended_has_no_clock() -> None:
    """The error says which process is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()

    with pytest.raises(ProcessLookupError, match=str(child.pid)):
        cpu_seconds(child.pid)
