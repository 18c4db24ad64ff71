"""What the operator decides about verification."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from extproc.verify.confidence import ConfidenceSpec
from extproc.verify.repetition import RepetitionSpec


class JudgeKind(StrEnum):
    """What stands behind a judge's address."""

    OPENAI = "openai"
    """A chat-completions endpoint; the model is asked for `{"correct": true}` or `{"correct": false}`."""
    HTTP = "http"
    """Any service that takes `{"api", "request", "answers"}` and replies `{"correct": …, "reason": …}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSpec:
    """An external judge.

    Attributes:
        kind: What stands behind the address.
        url: Address that the request is posted to.
        model: Model name for `OPENAI`; unused otherwise.
        headers: Further request headers, such as `authorization`; never shown.
        timeout_seconds: Longest wait for the verdict, > 0; later means unreachable.
        max_chars: Most characters each of the request and of the answers that are sent, > 0; longer ones lose
            their middle.
        instructions: The system prompt for `OPENAI`; empty for the built-in one.
    """

    kind: JudgeKind
    url: str
    model: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout_seconds: float = 5.0
    max_chars: int = 32_000
    instructions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyPolicy:
    """What is verified, and how strictly. The transport is always looked at.

    Attributes:
        repetition: How much sameness is a loop; None to allow any.
        contract: Hold answers against the request's own demands: formats, schemas, tools.
        expectation: Obey the client's expectation header.
        confidence: Thresholds on log-probabilities; None for no opinion.
        judge: External judge; None for none.
        own_limit_is_failure: An answer cut by the client's own `max_tokens` is wrong. By default it is what the
            client asked for; one cut by the instance is always wrong.
        content_filter_is_failure: A filtered answer is wrong.
        refusal_is_failure: A refusal is wrong. Off by default: the alternative is to look for a model that
            complies, which is for the operator to want.
        max_answer_bytes: Largest response body whose content is looked at, > 0; a larger one stays unverified.
        max_work_steps: Bound on one verification, > 0, in steps of about two microseconds; beyond it the answer
            stays unverified.
    """

    repetition: RepetitionSpec | None = field(default_factory=RepetitionSpec)
    contract: bool = True
    expectation: bool = True
    confidence: ConfidenceSpec | None = None
    judge: JudgeSpec | None = None
    own_limit_is_failure: bool = False
    content_filter_is_failure: bool = True
    refusal_is_failure: bool = False
    max_answer_bytes: int = 1 << 20
    max_work_steps: int = 50_000
