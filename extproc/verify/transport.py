"""Did the answer arrive whole? Status, error body, finish reason, and whether there is anything in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extproc.facts.answer import Choice, FinishReason, ResponseFacts
from extproc.facts.request import Api
from extproc.verify.finding import Finding, passed, printable, rejected, undecided

CHECK: Final = "transport"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSpec:
    """What an answer must be before its content matters.

    Attributes:
        client_limit: Output tokens of one choice that the client allowed; None when it set no limit. Never the
            value that a body was clamped to for an instance.
        choices: Answers asked for; for embeddings, vectors.
        own_limit_is_failure: An answer cut by the client's own limit is wrong, and not what was asked for.
        content_filter_is_failure: A filtered answer is wrong.
        refusal_is_failure: A refusal is wrong, so that another model is asked what this one refused.
    """

    client_limit: int | None = None
    choices: int = 1
    own_limit_is_failure: bool = False
    content_filter_is_failure: bool = True
    refusal_is_failure: bool = False


def check_transport(spec: TransportSpec, response: ResponseFacts) -> Finding:
    """Reject an answer that failed on its way, was cut, or is empty; undecided when it cannot be looked into."""
    if not 200 <= response.status < 300:
        message = response.error.message if response.error is not None else None
        return rejected(CHECK, "transport.status", f"{response.status} {printable(message or '')}".strip())
    if response.error is not None:
        return rejected(CHECK, "transport.error", printable(response.error.message or "error in the body"))
    if response.api is Api.OTHER or not response.is_json:
        return undecided(CHECK, "transport.not-json", "only plain JSON answers of known APIs are verified")
    if not response.is_readable:
        return rejected(CHECK, "transport.unreadable", "the body is not an answer of this API")
    found = response.embeddings if response.embeddings is not None else len(response.choices)
    if found != spec.choices:
        return rejected(CHECK, "transport.choices", f"{found} answers, {spec.choices} were asked for")
    cut = sum(choice.finish_reason is FinishReason.LENGTH for choice in response.choices)
    for choice in response.choices:
        finding = _check_finish(spec, choice, response.usage.completion_tokens, cut)
        if finding is not None:
            return finding
    return passed(CHECK)


def _check_finish(spec: TransportSpec, choice: Choice, tokens: int | None, cut: int) -> Finding | None:
    match choice.finish_reason:
        case FinishReason.ABORT | FinishReason.ERROR:
            return rejected(CHECK, "transport.abort", f"finish reason {choice.finish_reason_text}")
        case FinishReason.CONTEXT_FULL:
            return rejected(CHECK, "transport.context-full", "the instance's context was full")
        case FinishReason.LENGTH:
            finding = _check_cut(spec, tokens, cut)
            if finding is not None:
                return finding
        case FinishReason.CONTENT_FILTER if spec.content_filter_is_failure:
            return rejected(CHECK, "transport.content-filter", "a content filter ended the answer")
        case FinishReason.REFUSAL if choice.refusal is None:
            return _refusal(spec, choice.text or "")
    if choice.refusal is not None:
        return _refusal(spec, choice.refusal)
    if choice.finish_reason is FinishReason.CONTENT_FILTER:
        return undecided(CHECK, "transport.content-filter", "a content filter ended the answer")
    if choice.is_blank and spec.client_limit != 0:
        return rejected(CHECK, "transport.empty", "no text and no tool call")
    return None


CONTEXT_OVERFLOW: Final = "transport.context_overflow"
"""Reason of a rejection that says nothing of an answer: the instance found the request too long."""

NO_ANSWER_REASONS: Final = frozenset({
    "transport.status", "transport.error", "transport.unreadable", "transport.abort",
})  # fmt: skip
"""Reasons of rejections that say that the instance failed: no model's answer came that could be right or wrong."""


def _check_cut(spec: TransportSpec, tokens: int | None, cut: int) -> Finding | None:
    """Tell who cut an answer.

    Of several choices only the sum of their tokens is known; that sum is at least `limit * cut` when each of the
    `cut` choices ran into the client's limit. Without usage the client's limit is believed.
    """
    limit = spec.client_limit
    if limit is None:
        return rejected(CHECK, "transport.context-full", "cut by the instance: the request sets no limit")
    if tokens is not None and tokens < limit * cut:
        return rejected(CHECK, "transport.context-full", f"cut after {tokens} of {limit} tokens")
    if spec.own_limit_is_failure:
        return rejected(CHECK, "transport.own-limit", f"cut by the request's own limit of {limit} tokens")
    return None


def _refusal(spec: TransportSpec, text: str) -> Finding:
    build = rejected if spec.refusal_is_failure else undecided
    return build(CHECK, "transport.refusal", printable(text))
