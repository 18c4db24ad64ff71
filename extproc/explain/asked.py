"""What an explanation is asked about: a request as a client would send it, and the state of things it is asked in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from extproc.facts.parse import parse_request
from extproc.facts.request import RequestFacts
from extproc.protocol import names
from extproc.protocol.client_headers import checked_text, deadline_seconds, wish
from extproc.verify.expectation import parse_expectation

DEFAULT_PATH = "/v1/chat/completions"
SESSION = "explained"
"""Name of the session when models are said to have failed and the request names none."""

_REQUEST_KEYS = frozenset({"about", "path", "headers", "failed", "load", "body"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request in its circumstances.

    Attributes:
        body: As the client sends it.
        path: Path of the API.
        headers: The client's headers, names in lower case.
        failed: Models that answered this very question wrongly before, in its session.
        load: Sequences running or waiting, by `ip:port`; 0 where nothing is said.
        suspects: Instances that failed lately.
        about: A word on it, for a heading.
    """

    body: bytes
    path: str = DEFAULT_PATH
    headers: Mapping[str, str] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    load: Mapping[str, float] = field(default_factory=dict)
    suspects: tuple[str, ...] = ()
    about: str = ""

    def facts(self, *, max_body_bytes: int, wants_words: Callable[[], bool]) -> RequestFacts:
        """Understand the request as the service would.

        Raises:
            RoutingError: The service would refuse it.
        """
        header = self.headers.get
        expectation = checked_text(names.EXPECT, header(names.EXPECT, ""))
        session = checked_text(names.SESSION, header(names.SESSION, ""))
        facts = parse_request(
            method="POST",
            path=self.path,
            content_type="application/json",
            body=self.body,
            request_id="",
            subset=None,
            max_body_bytes=max_body_bytes,
            expectation=expectation,
            session=session or (SESSION if self.failed else ""),
            deadline_seconds=deadline_seconds(header(names.DEADLINE, "")),
            wish=wish(header(names.PRESET, ""), header(names.WEIGHTS, "")),
            wants_words=wants_words,
        )
        if expectation:
            parse_expectation(expectation)
        return facts


def read_asked(file: Path) -> Asked:
    """Read a request: a body alone, or `{"path", "headers", "body", "failed", "load", "about"}` with all but the body optional.

    Raises:
        ValueError: The file cannot be read, is no JSON, or a key beside the body is not what it should be.
    """
    try:
        content = file.read_bytes()
        document = orjson.loads(content)
    except (OSError, orjson.JSONDecodeError) as error:
        raise ValueError(f"{file}: {error}; expected a request's body as JSON") from error
    if not (isinstance(document, dict) and isinstance(document.get("body"), dict)):
        return Asked(body=content)
    unknown = sorted(document.keys() - _REQUEST_KEYS)
    if unknown:
        raise ValueError(f"{file}: unknown key {unknown[0]!r}, expected {', '.join(sorted(_REQUEST_KEYS))}")
    headers = _texts(document.get("headers", {}), f"{file}: headers")
    return Asked(
        body=orjson.dumps(document["body"]),
        path=_text(document.get("path", DEFAULT_PATH), f"{file}: path"),
        headers={name.lower(): value for name, value in headers.items()},
        failed=tuple(_text(name, f"{file}: failed") for name in document.get("failed", ())),
        load=_numbers(document.get("load", {}), f"{file}: load"),
        about=_text(document.get("about", ""), f"{file}: about"),
    )


def _text(value: Any, where: str) -> str:  # noqa: ANN401 - whatever the file holds
    if not isinstance(value, str):
        raise ValueError(f"{where}: got {value!r}, expected a text")
    return value


def _texts(value: Any, where: str) -> dict[str, str]:  # noqa: ANN401
    if not isinstance(value, dict):
        raise ValueError(f"{where}: got {value!r}, expected a mapping")
    return {name: _text(text, f"{where}.{name}") for name, text in value.items()}


def _numbers(value: Any, where: str) -> dict[str, float]:  # noqa: ANN401
    if not isinstance(value, dict):
        raise ValueError(f"{where}: got {value!r}, expected a mapping")
    for name, number in value.items():
        if not isinstance(number, int | float) or isinstance(number, bool) or number < 0:
            raise ValueError(f"{where}.{name}: got {number!r}, expected a number of sequences")
    return {name: float(number) for name, number in value.items()}
