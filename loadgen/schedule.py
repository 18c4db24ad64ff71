"""What will be sent and when: the whole run, decided before its first request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRequest:
    """One request of a run.

    Attributes:
        start_seconds: When to send it, since the start of the run.
        path: Path and query of the URL.
        body: Renders the JSON body. Called shortly before it is sent, so that a run need not hold all bodies.
        headers: Sent besides `content-type`.
        model: Model asked for.
        kind: Kind of text of the prompt; empty when unknown.
        stream: True when the body asks for server-sent events.
        prompt_tokens: Wanted size of the prompt; 0 when unknown.
        output_tokens: Wanted size of the answer; 0 when unknown.
    """

    start_seconds: float
    path: str
    body: Callable[[], bytes]
    headers: tuple[tuple[str, str], ...] = field(default=())
    model: str = ""
    kind: str = ""
    stream: bool = False
    prompt_tokens: int = 0
    output_tokens: int = 0
