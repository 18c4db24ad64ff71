from __future__ import annotations

import orjson
import pytest

from extproc.errors import BadRequestError
from extproc.protocol.events import RequestReady
from extproc.protocol.feedback import is_feedback, read_feedback


def request(body: bytes = b"", *, method: str = "POST", path: str = "/v1/feedback") -> RequestReady:
    """A complete request."""
    return RequestReady(method=method, path=path, content_type="", request_id="", body=body, subset=None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/feedback", True),
        ("/v1/feedback/", True),
        ("/v1/feedback?x=1", True),
        ("/v1/feedbacks", False),
        ("/v1/feedback/1", False),
        ("/v1/chat/completions", False),
    ],
)
def test_the_path_is_told_apart(path: str, expected: bool) -> None:
    """With a query and a trailing slash or without."""
    assert expected is is_feedback(request(path=path))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"session": "s", "attempt": 2, "correct": False}, ("s", 2, False)),
        ({"session": "s", "correct": True}, ("s", None, True)),
        ({"session": "s", "attempt": None, "correct": True, "more": 1}, ("s", None, True)),
    ],
)
def test_a_verdict_is_read(document: object, expected: tuple[str, int | None, bool]) -> None:
    """The attempt may be left out: it is the session's last then."""
    assert expected == read_feedback(request(orjson.dumps(document)))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b'{"correct": true}', "session"),
        (b'{"session": "", "correct": true}', "session"),
        (b'{"session": 1, "correct": true}', "session"),
        (b'{"session": "s"}', "correct"),
        (b'{"session": "s", "correct": 1}', "correct"),
        (b'{"session": "s", "correct": true, "attempt": 0}', "attempt"),
        (b'{"session": "s", "correct": true, "attempt": "x"}', "attempt"),
    ],
)
def test_a_malformed_verdict_is_refused(body: bytes, param: str | None) -> None:
    """The client is told which field is at fault."""
    with pytest.raises(BadRequestError) as raised:
        read_feedback(request(body))

    assert param == raised.value.param


def test_another_method_is_refused() -> None:
    """There is nothing to read here."""
    with pytest.raises(BadRequestError, match="takes POST, got GET"):
        read_feedback(request(method="GET"))
