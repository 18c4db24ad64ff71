"""What the proofs outside pytest share: an HTTP call, patience, and a table of what was observed.

`tests/compose` and `tests/vllm` need Docker and a real vLLM; they are commands of their own, not part of the suite.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from subprocess import SubprocessError
from typing import Any, TypeVar

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw."""

    name: str
    passed: bool
    observed: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    content_type: str
    body: str

    def json(self) -> Any:
        """The body's JSON.

        Raises:
            ValueError: It has none.
        """
        return json.loads(self.body)

    def events(self) -> list[str]:
        """The data of each server-sent event."""
        return [line.removeprefix("data: ") for line in self.body.splitlines() if line.startswith("data: ")]


def call(
    where: tuple[str, int],
    path: str,
    body: object = None,
    headers: dict[str, str] | None = None,
    timeout_seconds: float = 60,
) -> Answer:
    """One HTTP request; a POST when there is a body.

    Raises:
        OSError: Nobody answers.
        HTTPException: The answer breaks off.
    """
    connection = HTTPConnection(*where, timeout=timeout_seconds)
    try:
        data = None if body is None else json.dumps(body)
        sent = {"content-type": "application/json", **(headers or {})}
        connection.request("GET" if data is None else "POST", path, body=data, headers=sent)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        return Answer(response.status, response.getheader("content-type", ""), text)
    finally:
        connection.close()


def until(probe: Callable[[], Found | None], seconds: float) -> Found | None:
    """Asks again and again until there is something, or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found is not None or time.monotonic() > deadline:
            return found
        time.sleep(0.25)


def attempt(check: Callable[[], Finding], name: str) -> Finding:
    """Runs a check; one that breaks off has failed, and its error is what it observed."""
    try:
        return check()
    except (OSError, ValueError, LookupError, TypeError, HTTPException, SubprocessError) as error:
        return Finding(name.replace("_", " "), passed=False, observed=repr(error))


def say(text: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show(finding: Finding) -> bool:
    """Prints a finding as one line of the table and returns whether it passed."""
    say(f"  {'ok  ' if finding.passed else 'FAIL'}  {finding.name:<44} {finding.observed}")
    return finding.passed
