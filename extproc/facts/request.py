"""What was asked: the facts of one request that routing needs, independent of the API it came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from extproc.facts.text import TextProfile
from extproc.facts.wish import Wish


class Api(StrEnum):
    """Which API a request speaks; OTHER is passed through untouched to any healthy instance."""

    CHAT_COMPLETIONS = "chat_completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """The facts of one request.

    Attributes:
        api: API by path; OTHER for unknown paths and requests without a body.
        model: Model asked for; None only when `api` is OTHER.
        stream: True when the client asked for server-sent events.
        wants_stream_usage: True when a streamed answer will carry usage (`stream_options.include_usage`).
        max_output_tokens: The client's limit on output tokens of one choice, or the default that the API sets
            (16 for completions); 0 for embeddings; None when there is neither.
        choices: Number of answers asked for (`n`), at least 1. For embeddings and completions with several
            prompts: the number of sequences that the request occupies.
        text: UTF-8 bytes of everything that will be tokenised, by category (tools and their schemas included).
        grams: Hashed words and pairs of words of the text, as `facts.grams.hash_grams` gives them; empty when nobody
            wants to know them.
        has_unseen_text: True when the model reads more than the body holds: an answer that it refers to.
        prompt_token_ids: Number of prompt tokens given as token ids: exact, not estimated.
        longest_share: Share of `text` and `prompt_token_ids`, both sums over all sequences, that the longest
            sequence has, in (0, 1]; it alone is held against a context length, while the sums are the work.
        messages: Number of messages or prompts; each costs a few template tokens.
        images: Number of images; audio clips and videos count as one each, since none would be too few.
        tools: Number of declared tools.
        body_bytes: Size of the body as received.
        request_id: Envoy's `x-request-id`; empty when absent.
        has_contract: True when the answer can be held against what was asked: a format, a choice of texts, or tools.
        has_logprobs: True when the answer will carry token log-probabilities.
        expectation: `x-ttca-expect` as the client sent it; empty when absent.
        session: `x-ttca-session`: joins requests that ask the same thing again; empty when absent.
        deadline_seconds: `x-ttca-deadline-ms` in seconds: when the answer stops being useful; None when absent.
        wish: Weights that the client wishes for (`x-ttca-preset`, `x-ttca-weights`); None when it has none.
        is_deterministic: True when the same model would answer the same again (temperature 0 or a seed).
        subset: The only addresses that may serve (protocol 004); None when all may.
    """

    api: Api
    model: str | None = None
    stream: bool = False
    wants_stream_usage: bool = False
    max_output_tokens: int | None = None
    choices: int = 1
    text: TextProfile = field(default_factory=TextProfile)
    grams: bytes = b""
    has_unseen_text: bool = False
    prompt_token_ids: int = 0
    longest_share: float = 1.0
    messages: int = 0
    images: int = 0
    tools: int = 0
    body_bytes: int = 0
    request_id: str = ""
    has_contract: bool = False
    has_logprobs: bool = False
    expectation: str = ""
    session: str = ""
    deadline_seconds: float | None = None
    wish: Wish | None = None
    is_deterministic: bool = False
    subset: frozenset[str] | None = None
