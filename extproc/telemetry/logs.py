"""Sets up the process's logging: JSON lines for machines, one readable line for a terminal, secrets in neither.

What may be logged: identifiers, counts, addresses, reasons. What may not: bodies and credentials. Fields with the
names of such things are cut whatever they hold, and anything that looks like a credential is cut from messages.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import TextIO

import orjson

REDACTED = "[redacted]"

_FORBIDDEN_FIELDS = frozenset(
    {
        "api_key", "authorization", "body", "content", "cookie", "headers", "messages", "password", "prompt",
        "proxy_authorization", "secret", "set_cookie", "token", "x_api_key",
    }
)  # fmt: skip

# A scheme's name alone is an ordinary word, so what follows it must look like a token, not like another word.
_CREDENTIAL = re.compile(
    r"(?i)(?P<name>\b(?:proxy-)?authorization|\bx-api-key|\bapi[-_]key|\bcookie)['\"]?\s*[:=]\s*['\"]?"
    r"(?:(?:bearer|basic)\s+)?[^\s,'\"]+"
    r"|\b(?P<scheme>bearer)\s+(?=\S*\d)[\w.~+/=-]{6,}"
    r"|\b(?P<padded>basic)\s+[\w+/]{6,}={1,2}"
    r"|\bsk-[\w-]{8,}"
)

# Control characters (a tab aside) could forge lines or steer a terminal; surrogates cannot be encoded.
_UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(stream: TextIO, *, level: str = "INFO", as_json: bool | None = None) -> logging.Handler:
    """Let the root logger write to `stream` alone, and return its handler.

    `as_json` defaults to what suits the stream: readable lines for a terminal, JSON lines otherwise.

    Raises:
        ValueError: `level` is not a level's name.
    """
    handler = logging.StreamHandler(stream)
    is_json = not stream.isatty() if as_json is None else as_json
    handler.setFormatter(JsonFormatter() if is_json else TerminalFormatter())
    root = logging.getLogger()
    root.setLevel(level)
    root.handlers[:] = [handler]
    return handler


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time`, `level`, `logger`, `message`, the record's own fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _one_line(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        return orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TerminalFormatter(logging.Formatter):
    """`time level logger: message key=value …`, an exception's traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        message = _one_line(record.getMessage())
        line = f"{_time(record)[11:23]} {record.levelname.lower():<7} {record.name}: {message}{fields}"
        if record.exc_info:
            line += "\n" + redact(self.formatException(record.exc_info))
        return line


def redact(text: str) -> str:
    """Cut everything that looks like a credential."""
    return _CREDENTIAL.sub(_cut, text)


def _cut(match: re.Match[str]) -> str:
    kept = match["name"] or match["scheme"] or match["padded"]
    return f"{kept} {REDACTED}" if kept else REDACTED


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return what the caller passed as `extra`, redacted."""
    return {
        key: _clean(key, value)
        for key, value in vars(record).items()
        if key not in _STANDARD_FIELDS and not key.startswith("_")
    }


def _clean(key: str, value: object) -> object:
    if key.lower().replace("-", "_") in _FORBIDDEN_FIELDS:
        return REDACTED
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, bool | int | float) or value is None:
        return value
    return _one_line(str(value))


def _one_line(text: str) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", redact(text))


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
