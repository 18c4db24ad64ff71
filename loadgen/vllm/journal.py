"""The last requests an instance received, so that a test can assert which, in what order and with what bytes."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

KEPT_REQUESTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One request as it arrived.

    Attributes:
        index: Position since the start, from 0.
        received_at: Unix time in seconds.
        headers: In order of arrival, names in lower case.
        body_sha256: Hexadecimal digest of the body.
        model: The body's `model`, if it was readable.
        status: Status of the answer, None while there is none.
    """

    index: int
    received_at: float
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body_bytes: int
    body_sha256: str
    model: str | None = None
    status: int | None = None


class Journal:
    """Keeps the last `KEPT_REQUESTS` requests and how many there were in all."""

    def __init__(self, *, kept: int = KEPT_REQUESTS) -> None:
        self.total = 0
        self._kept: deque[ReceivedRequest] = deque(maxlen=kept)

    def add(
        self, *, received_at: float, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> ReceivedRequest:
        """Write a request down."""
        entry = ReceivedRequest(
            index=self.total,
            received_at=received_at,
            method=method,
            path=path,
            headers=tuple((name.lower(), value) for name, value in headers),
            body_bytes=len(body),
            body_sha256=hashlib.sha256(body).hexdigest(),
        )
        self.total += 1
        self._kept.append(entry)
        return entry

    def complete(self, entry: ReceivedRequest) -> None:
        """Replace an entry, as long as it is kept, by one that knows more."""
        first = self.total - len(self._kept)
        if first <= entry.index < self.total:
            self._kept[entry.index - first] = entry

    def last(self, count: int = KEPT_REQUESTS) -> list[ReceivedRequest]:
        """The last requests, oldest first."""
        return list(self._kept)[-count:] if count > 0 else []

    def clear(self) -> None:
        """Forget every request; indexes go on."""
        self._kept.clear()
