"""From a checked request to the work an engine gets: context checks, output lengths, the answer's words."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass

from loadgen.vllm.asked import Api, Asked
from loadgen.vllm.errors import (
    model_not_found,
    output_too_long,
    prompt_fills_context,
    prompt_too_long,
    total_too_long,
)
from loadgen.vllm.spec import InstanceSpec

WORDS = (
    "time", "first", "answer", "model", "token", "value", "result", "number", "because", "when", "each", "then",
    "small", "large", "check", "order", "given", "total", "since", "step", "case", "here", "that", "with", "from",
    "this", "more", "less", "equal", "both", "point", "line", "open", "close", "even", "prime", "state", "next",
    "long", "short", "right", "left", "find", "show", "hold", "true", "part", "whole", "same", "other", "sum",
    "list", "count", "start", "end", "half", "twice", "thus", "also", "still", "above",
)  # fmt: skip
"""A prime number of words, one token each, so that any stride visits all of them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One output to generate.

    Attributes:
        prompt_tokens: Of its prompt.
        tokens: Output tokens, at least 1.
        finish_reason: `stop` or `length`.
        offset: First word of the answer.
        stride: Distance between words, at least 1.
        answer: The whole text, where the request fixed it; it comes with the first token.
    """

    prompt_tokens: int
    tokens: int
    finish_reason: str
    offset: int
    stride: int
    answer: str = ""

    def word(self, position: int) -> str:
        """The text of output token `position`, from 0."""
        if self.answer:
            return self.answer if position == 0 else ""
        word = WORDS[(self.offset + position * self.stride) % len(WORDS)]
        return word if position == 0 else f" {word}"

    def text(self) -> str:
        """The whole answer."""
        return "".join(map(self.word, range(self.tokens)))


def check_servable(asked: Asked, spec: InstanceSpec) -> None:
    """Refuse what this instance cannot serve, with vLLM's words.

    Raises:
        ApiError: 404 for another model, 400 for too many tokens.
    """
    if asked.model and asked.model != spec.model and asked.model not in spec.aliases:
        raise model_not_found(asked.model)
    context, limit = spec.max_model_len, asked.max_tokens
    if limit is not None and limit > context:
        raise output_too_long(asked.max_tokens_param, limit, context)
    longest = max(asked.prompts)
    if spec.strict_context and limit is not None and longest + limit > context:
        raise total_too_long(context, limit)
    if longest > context:
        raise prompt_too_long(context)
    if longest == context and asked.api is not Api.EMBEDDINGS:
        raise prompt_fills_context(context)


def plan_choices(asked: Asked, spec: InstanceSpec, body: bytes) -> tuple[Choice, ...]:
    """The outputs of a servable request: the same for the same body, model and seed."""
    digest = hashlib.blake2b(body, key=f"{spec.seed} {spec.model}".encode()[:64], digest_size=8).digest()
    draw = random.Random(digest)
    choices = []
    for prompt_tokens in asked.prompts:
        for _ in range(asked.n):
            offset, stride = draw.randrange(len(WORDS)), draw.randrange(1, len(WORDS))
            tokens, finish = _length(asked, spec, prompt_tokens, draw)
            answer = asked.answers.get(spec.model, "")
            choices.append(Choice(prompt_tokens, tokens, finish, offset, stride, answer))
    return tuple(choices)


def _length(asked: Asked, spec: InstanceSpec, prompt_tokens: int, draw: random.Random) -> tuple[int, str]:
    drawn = math.ceil(draw.lognormvariate(math.log(spec.output_tokens_median), spec.output_tokens_sigma))
    if asked.api is Api.EMBEDDINGS:
        return 1, "stop"
    room = spec.max_model_len - prompt_tokens
    limit = room if asked.max_tokens is None else min(room, asked.max_tokens)
    wanted = (
        limit + 1
        if asked.ignore_eos
        else asked.wanted_tokens.get(spec.model, asked.wanted_tokens.get(None, drawn))
    )
    return (wanted, "stop") if wanted <= limit else (limit, "length")
