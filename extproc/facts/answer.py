"""What was answered: the facts of one plain answer that verification needs, independent of the API it came in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from extproc.facts.request import Api


class FinishReason(StrEnum):
    """Why an answer ended, in one vocabulary for all APIs."""

    STOP = "stop"
    """The model ended its turn, or wrote a stop sequence."""
    LENGTH = "length"
    """A limit on output tokens was reached: the client's, the instance's, or what was left of the context."""
    CONTEXT_FULL = "context_full"
    """The instance says itself that its context was full."""
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    ABORT = "abort"
    """The instance gave the request up: a cancelled or preempted sequence."""
    ERROR = "error"
    REPETITION = "repetition"
    """The instance itself saw a loop and ended it."""
    UNKNOWN = "unknown"
    """Absent, or a word that no API in use here documents."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model asks for.

    Attributes:
        name: Name of the tool; None when it cannot be read.
        arguments: JSON text of the arguments, as the model wrote it; None when the call has none.
        is_function: False for calls of tools that the server defines: searches, code, free text.
    """

    name: str | None
    arguments: str | None
    is_function: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the answers in a response.

    Attributes:
        text: The text that the client reads as the answer, without reasoning; None when there is none.
        finish_reason: Normalised.
        finish_reason_text: The API's own word; None when absent.
        tool_calls: In the order of the answer.
        refusal: The model's explanation when it refuses in the way the API provides for; None otherwise.
        token_logprobs: Natural logarithms of the chosen tokens' probabilities, -1e6 to 0; None when the answer
            carries none.
    """

    text: str | None
    finish_reason: FinishReason = FinishReason.UNKNOWN
    finish_reason_text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    token_logprobs: tuple[float, ...] | None = None

    @property
    def is_blank(self) -> bool:
        """True when there is nothing but white space in it: no text, no call, no refusal."""
        return not self.tool_calls and self.refusal is None and (self.text is None or not self.text.strip())


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that the instance counted; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class AnswerError:
    """An error object in a body, whatever the status; None where a part is absent."""

    message: str | None = None
    type: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFacts:
    """The facts of one answer.

    Attributes:
        api: API that the request spoke.
        status: HTTP status.
        is_json: True when the body is declared to be JSON; a stream of events, for instance, is not.
        is_readable: True when the body is a JSON object with the API's list of answers in it.
        choices: The answers, in the order of the body; empty for embeddings.
        embeddings: Number of vectors that are not empty; None for other APIs.
        model: Name that the instance gave; None when absent.
        usage: Tokens as counted by the instance.
        error: The body's error object; None when there is none.
        body_bytes: Size of the body.
    """

    api: Api
    status: int
    is_json: bool = False
    is_readable: bool = False
    choices: tuple[Choice, ...] = ()
    embeddings: int | None = None
    model: str | None = None
    usage: Usage = Usage()
    error: AnswerError | None = None
    body_bytes: int = 0
