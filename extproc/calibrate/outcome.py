"""What a finished request taught us, built from Envoy's access-log entry alone, so that any replica can learn it."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.facts.request import Api
from extproc.facts.text import TextProfile

BROKEN_FLAGS = frozenset(("UF", "UC", "UR", "UPE"))
"""Envoy's response flags that say that the instance, or the way to it, failed: before an answer or in the middle of one."""

_CUT_SHORT_FLAGS = BROKEN_FLAGS | {"UT", "DT", "SI", "UMSDR", "LR"}
"""Those and the ones that say that the gateway ended an answer in its middle, for its time was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts as the instance reported them; a count that was not reported is None, never zero."""

    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """What DECIDE wrote into dynamic metadata, as the access log brings it back.

    Attributes:
        decision_id: Joins the record with the load book's entry.
        api: API of the request.
        model: Model that answered or, before that is known, that the plan chose; empty for requests that pass through.
        planned_model: Model that the plan chose: the one whose count of the prompt was estimated.
        pool: Pool of the first attempt.
        cluster: Envoy cluster of the route.
        prompt_tokens: Expected prompt tokens; None for requests that pass through.
        prompt_tokens_upper: Conservative prompt tokens.
        output_tokens: Output tokens provided for.
        output_is_given: True when the client stated the output limit.
        text: The prompt's bytes by category, for calibration; empty when the model reads more than the body holds.
        prompt_token_ids: Prompt tokens that were given as ids.
        messages: Number of messages.
        images: Number of images; a prompt with images does not calibrate text ratios.
        choices: Number of answers asked for.
    """

    decision_id: str
    api: Api
    model: str
    planned_model: str
    pool: str
    cluster: str
    prompt_tokens: int | None
    prompt_tokens_upper: int | None
    output_tokens: int | None
    output_is_given: bool
    text: TextProfile
    prompt_token_ids: int
    messages: int
    images: int
    choices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One finished request.

    Attributes:
        request_id: Envoy's `x-request-id`.
        traceparent: W3C context of the request's trace; empty when it is not traced.
        started_unix_seconds: When Envoy received the request.
        decision: None when the service did not decide (it was down, or the request was refused).
        served_address: `ip:port` of the instance that really served; None when none did.
        attempts: Upstream tries made; 0 when the request never left Envoy.
        status: HTTP status sent to the client; 0 when the client left first. An answer that broke off after it began
            has the status that it began with, and a flag.
        flags: Names of Envoy's response flags that are set, such as `UF`, `UT`, `DC`.
        usage: None when neither count was reported.
        ttft_seconds: From the request's start to the first byte from upstream; None when there was none.
        e2e_seconds: From the request's start to the last byte sent to the client; the client's upload and reading are in it.
        instance_seconds: From the first byte sent to the instance that served until its last byte; None when that is not
            known, or when the client's reading may be in it.
    """

    request_id: str
    traceparent: str
    started_unix_seconds: float
    decision: DecisionRecord | None
    served_address: str | None
    attempts: int
    status: int
    flags: tuple[str, ...]
    usage: Usage | None
    ttft_seconds: float | None
    e2e_seconds: float
    instance_seconds: float | None

    @property
    def is_served(self) -> bool:
        """True when an instance dealt with the request to the end, be it by refusing it as the client's mistake."""
        return (
            self.served_address is not None
            and 200 <= self.status < 500
            and BROKEN_FLAGS.isdisjoint(self.flags)
        )

    @property
    def is_answered(self) -> bool:
        """True when the client got an answer, or left while one came: something that can be right or wrong."""
        return (
            self.served_address is not None
            and 200 <= self.status < 300
            and _CUT_SHORT_FLAGS.isdisjoint(self.flags)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRecord:
    """What verification said of one answer.

    Attributes:
        decision_id: The plan that it belongs to.
        model: Who answered.
        address: Where.
        chance: What was given for the answer's being right; None when nobody estimated it.
        is_correct: The verdict.
        is_answer: False when the instance failed, and no answer came that could be right or wrong.
        goes_on: True when Envoy makes another attempt.
        next_address: Where; None for the plan's next instance.
        prompt_tokens: Tokens of the prompt; None when the instance did not say.
        completion_tokens: Tokens of all its choices together; None when the instance did not say.
        choices: Answers that were asked for.
        was_cut: True when a limit ended one of them, whoever set it and whatever the verdict.
        answer_seconds: From the try's start until the whole answer had come; None when that is not known.
    """

    decision_id: str
    model: str
    address: str
    chance: float | None
    is_correct: bool
    goes_on: bool
    next_address: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    is_answer: bool = True
    choices: int = 1
    was_cut: bool = False
    answer_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRecord:
    """One finished upstream try.

    Attributes:
        decision_id: The plan that it belongs to; empty when the service did not decide.
        address: `ip:port` of the instance; empty when no host was chosen.
        status: HTTP status of the instance; 0 when it gave none.
        flags: Names of Envoy's response flags that are set.
        is_failure: True when it speaks against the instance: no status, a 5xx, or a reset, of an answer that had begun, too.
    """

    decision_id: str
    address: str
    status: int
    flags: tuple[str, ...]
    is_failure: bool

    @property
    def has_begun(self) -> bool:
        """True when the instance's answer was on its way to the client: then Envoy makes no other try."""
        return 0 < self.status < 500
