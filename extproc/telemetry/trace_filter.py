"""Which of the kept traces somebody asks for: by request id, by status, by what was thought of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from extproc.telemetry import attributes
from extproc.telemetry.otlp import AttributeValue
from extproc.telemetry.span_facts import request_id
from extproc.verify.verdict import VerdictKind

_STATUS: Final = re.compile(r"[1-5]([0-9]{2}|xx)")
_STATUS_KEYS: Final = ("http.status_code", attributes.HTTP_STATUS)
_LONGEST_ID: Final = 128
VERDICTS: Final = tuple(str(kind) for kind in VerdictKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFilter:
    """What a trace must have; an empty field asks for nothing.

    Attributes:
        request: How the request id (`x-request-id`) begins.
        status: A status like `503`, or a class like `5xx`: of the answer, or of any try.
        verdict: `accepted`, `rejected` or `unverified`: of any try.

    Raises:
        ValueError: A field holds what no trace can have; the text says what was expected.
    """

    request: str = ""
    status: str = ""
    verdict: str = ""

    def __post_init__(self) -> None:
        if len(self.request) > _LONGEST_ID:
            raise ValueError(
                f"request has {len(self.request)} characters, expected the beginning of an x-request-id"
            )
        if self.status and not _STATUS.fullmatch(self.status):
            raise ValueError(f"status={self.status[:40]!r}: expected a status like 503, or a class like 5xx")
        if self.verdict and self.verdict not in VERDICTS:
            raise ValueError(f"verdict={self.verdict[:40]!r}: expected one of {', '.join(VERDICTS)}")

    @property
    def asks(self) -> bool:
        """True when it asks for anything."""
        return bool(self.request or self.status or self.verdict)

    def matches(self, spans: Iterable[Mapping[str, AttributeValue]]) -> bool:
        """Tell whether a trace whose spans have these attributes is asked for."""
        found = list(spans)
        return (
            (not self.request or any(request_id(span).startswith(self.request.lower()) for span in found))
            and (not self.status or any(self._has_status(span) for span in found))
            and (
                not self.verdict
                or any(span.get(attributes.ATTEMPT_VERDICT) == self.verdict for span in found)
            )
        )

    def _has_status(self, span: Mapping[str, AttributeValue]) -> bool:
        told = [str(span[key]) for key in _STATUS_KEYS if key in span]
        if self.status.endswith("xx"):
            return any(status[:1] == self.status[0] and len(status) == len(self.status) for status in told)
        return self.status in told
