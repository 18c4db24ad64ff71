from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from extproc.telemetry.logs import configure_logging, redact


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(stream: io.StringIO, message: str, *arguments: object, **extra: object) -> str:
    """Log one record to the stream and return all that was written."""
    configure_logging(stream, level="DEBUG")
    logging.getLogger("ttca.test").info(message, *arguments, extra=extra)
    return stream.getvalue()


def test_files_get_json_lines() -> None:
    """What is not a terminal gets one JSON object per record, the record's own fields included."""
    entry = json.loads(logged(io.StringIO(), "served %s", "r-1", instance="10.0.0.1:8000", tries=2))

    assert {
        "level": "info",
        "logger": "ttca.test",
        "message": "served r-1",
        "instance": "10.0.0.1:8000",
        "tries": 2,
    }.items() <= entry.items()
    assert entry["time"].endswith("Z")


def test_terminals_get_readable_lines() -> None:
    """A terminal gets one plain line with the fields behind the message."""
    line = logged(Terminal(), "served", instance="10.0.0.1:8000")

    assert line.endswith("info    ttca.test: served instance=10.0.0.1:8000\n")


def test_the_form_can_be_chosen() -> None:
    """The form of the lines can be set whatever the stream is."""
    stream = Terminal()
    configure_logging(stream, as_json=True)
    logging.getLogger("ttca.test").warning("x")

    assert "x" == json.loads(stream.getvalue())["message"]


@pytest.mark.parametrize(
    "field", ["body", "authorization", "Authorization", "x-api-key", "prompt", "headers"]
)
@pytest.mark.parametrize("stream_type", [io.StringIO, Terminal])
def test_bodies_and_credentials_are_never_fields(field: str, stream_type: type[io.StringIO]) -> None:
    """A field that is named like a body or a credential is cut whatever it holds."""
    text = logged(stream_type(), "x", **{field: "the secret text"})

    assert "secret" not in text
    assert "[redacted]" in text


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2hunter2",
        "sent Bearer hunter2hunter2 upstream",
        "{'authorization': 'hunter2hunter2'}",
        "x-api-key=hunter2hunter2",
        "Basic hunter2hunter2==",
        "key sk-hunter2hunter2 refused",
        "cookie: hunter2hunter2",
    ],
)
def test_credentials_are_cut_from_messages(text: str) -> None:
    """Whatever looks like a credential is cut from a message."""
    assert "hunter2" not in redact(text)


def test_ordinary_text_is_left_alone() -> None:
    """Messages about tokens and keys that hold no secret are not mangled."""
    text = "budget 600 tokens, basic policy, bearer tokens, api fleet.yaml: key 'pools' expected"

    assert text == redact(text)


def test_bytes_are_told_by_their_size() -> None:
    """Raw bytes, which may be part of a body, are logged as a size."""
    assert "10 bytes" == json.loads(logged(io.StringIO(), "x", chunk=b"0123456789"))["chunk"]


def test_a_message_cannot_forge_a_line() -> None:
    """Line breaks, escape sequences and lone surrogates of a client's text do not reach the log as such."""
    text = logged(Terminal(), "model %s", "a\nERROR forged\x1b[2J\ud800")

    assert 1 == text.count("\n")
    assert "\x1b" not in text
    assert 1 == len(logged(io.StringIO(), "model %s", "a\n\ud800").splitlines())


def test_exceptions_are_logged_with_traceback() -> None:
    """An exception is logged whole, credentials aside."""
    stream = io.StringIO()
    configure_logging(stream)
    try:
        int("Bearer hunter2hunter2")
    except ValueError:
        logging.getLogger("ttca.test").exception("failed")

    exception = json.loads(stream.getvalue())["exception"]
    assert "Traceback" in exception
    assert "hunter2" not in exception


def test_configuring_twice_does_not_double_lines() -> None:
    """The root logger has one handler however often logging is set up."""
    stream = io.StringIO()
    configure_logging(stream)
    configure_logging(stream)
    logging.getLogger("ttca.test").info("once")

    assert 1 == len(stream.getvalue().splitlines())


def test_an_unknown_level_is_refused() -> None:
    """A level that does not exist is an error at once."""
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging(io.StringIO(), level="LOUD")
