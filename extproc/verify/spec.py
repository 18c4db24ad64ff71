"""What one request's answer must meet: its demands, its client's expectation and the operator's policy in one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from extproc.facts.chat import read_chat
from extproc.facts.completions import read_completions
from extproc.facts.embeddings import read_embeddings
from extproc.facts.json_body import JsonObject
from extproc.facts.messages import read_messages
from extproc.facts.prompt import Reading
from extproc.facts.request import Api
from extproc.facts.responses import read_responses
from extproc.verify.demands import NO_DEMANDS, FormDemands, read_demands
from extproc.verify.expectation import Expectation, ExpectationKind
from extproc.verify.policy import VerifyPolicy
from extproc.verify.transport import TransportSpec

_READERS: Final[Mapping[Api, Callable[[JsonObject], Reading]]] = MappingProxyType(
    {
        Api.CHAT_COMPLETIONS: read_chat,
        Api.COMPLETIONS: read_completions,
        Api.EMBEDDINGS: read_embeddings,
        Api.RESPONSES: read_responses,
        Api.MESSAGES: read_messages,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationSpec:
    """What an answer must meet.

    Attributes:
        api: API that the request speaks.
        transport: What the answer must be before its content matters.
        demands: What its form must be.
        expectation: What the client expects of its content.
        prompt: Texts of the prompt, only when the expectation needs them; None when they are not known.
        policy: What the operator decided.
        echoes_prompt: The answer repeats the prompt before its own text, so that its content cannot be judged.
    """

    api: Api
    transport: TransportSpec
    demands: FormDemands = NO_DEMANDS
    expectation: Expectation | None = None
    prompt: tuple[str, ...] | None = None
    policy: VerifyPolicy
    echoes_prompt: bool = False

    @property
    def says_something(self) -> bool:
        """True when some check of the content may apply, so that an answer can be accepted and not just pass."""
        return not self.echoes_prompt and (
            self.demands != NO_DEMANDS
            or self.expectation is not None
            or self.policy.confidence is not None
            or self.policy.judge is not None
        )


def specify(
    api: Api, document: JsonObject, expectation: Expectation | None, policy: VerifyPolicy
) -> VerificationSpec:
    """Say what the answer to a request must meet.

    The document must be the client's own: a `max_tokens` clamped for an instance would be taken for the client's.

    Raises:
        BadRequestError: A field is malformed, as `parse_request` would have found before.
    """
    reader = _READERS.get(api)
    if reader is None:
        return VerificationSpec(api=api, transport=transport_spec(policy), policy=policy)
    reading = reader(document)
    expectation = expectation if policy.expectation else None
    needs_prompt = expectation is not None and expectation.kind is ExpectationKind.QUOTED
    return VerificationSpec(
        api=api,
        transport=replace(
            transport_spec(policy), client_limit=reading.max_output_tokens, choices=reading.choices
        ),
        demands=read_demands(api, document) if policy.contract else NO_DEMANDS,
        expectation=expectation,
        prompt=tuple(reading.prompt.parts) if needs_prompt else None,
        policy=policy,
        echoes_prompt=bool(document.get("echo")) and api in {Api.COMPLETIONS, Api.CHAT_COMPLETIONS},
    )


def needs_request_body(spec: VerificationSpec) -> bool:
    """Tell whether verification takes more of the request than `encode_spec` carries."""
    needs_prompt = spec.expectation is not None and spec.expectation.kind is ExpectationKind.QUOTED
    return spec.says_something and (
        needs_prompt or spec.demands.needs_request_body or spec.policy.judge is not None
    )


def transport_spec(policy: VerifyPolicy) -> TransportSpec:
    """Return the operator's part of the transport's demands."""
    return TransportSpec(
        own_limit_is_failure=policy.own_limit_is_failure,
        content_filter_is_failure=policy.content_filter_is_failure,
        refusal_is_failure=policy.refusal_is_failure,
    )
