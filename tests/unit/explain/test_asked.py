from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from extproc.errors import BadRequestError
from extproc.explain.asked import SESSION, Asked, read_asked
from extproc.facts.request import Api
from extproc.facts.wish import Wish

BODY = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


def written(folder: Path, document: Any) -> Path:
    file = folder / "request.json"
    file.write_bytes(document if isinstance(document, bytes) else orjson.dumps(document))
    return file


def test_a_file_holds_a_body_alone(tmp_path: Path) -> None:
    """What a client would post is enough."""
    asked = read_asked(written(tmp_path, BODY))

    facts = asked.facts(max_body_bytes=1000, wants_words=bool)
    assert (Api.CHAT_COMPLETIONS, "auto", 1) == (facts.api, facts.model, facts.messages)


def test_a_file_may_say_more_than_the_body(tmp_path: Path) -> None:
    """Path, headers, failures and load stand beside it; headers reach the facts as the service reads them."""
    asked = read_asked(
        written(
            tmp_path,
            {
                "path": "/v1/embeddings",
                "headers": {"X-TTCA-Preset": "cost", "x-ttca-deadline-ms": "1500"},
                "failed": ["a"],
                "load": {"10.0.0.1:80": 3},
                "body": {"model": "auto", "input": "text"},
            },
        )
    )

    facts = asked.facts(max_body_bytes=1000, wants_words=bool)
    assert (Api.EMBEDDINGS, Wish(preset="cost"), 1.5) == (facts.api, facts.wish, facts.deadline_seconds)
    assert (("a",), {"10.0.0.1:80": 3.0}) == (asked.failed, asked.load)
    assert SESSION == facts.session


@pytest.mark.parametrize(
    "document",
    [
        b"{",
        {"body": BODY, "header": {}},
        {"body": BODY, "headers": ["a"]},
        {"body": BODY, "headers": {"a": 1}},
        {"body": BODY, "load": {"10.0.0.1:80": -1}},
        {"body": BODY, "load": {"10.0.0.1:80": True}},
        {"body": BODY, "failed": [1]},
        {"body": BODY, "path": 7},
    ],
)
def test_a_file_that_is_no_request_is_refused_with_its_place(tmp_path: Path, document: Any) -> None:
    """The text names the file."""
    with pytest.raises(ValueError, match=r"request\.json"):
        read_asked(written(tmp_path, document))


def test_a_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    """A wrong path is no traceback."""
    with pytest.raises(ValueError, match=r"none\.json"):
        read_asked(tmp_path / "none.json")


@pytest.mark.parametrize("header", ["x-ttca-expect", "x-ttca-preset", "x-ttca-weights", "x-ttca-deadline-ms"])
def test_a_malformed_header_is_refused_as_by_the_service(header: str) -> None:
    """The explanation of such a request is its refusal."""
    asked = Asked(body=orjson.dumps(BODY), headers={header: "nonsense"})

    with pytest.raises(BadRequestError):
        asked.facts(max_body_bytes=1000, wants_words=bool)
