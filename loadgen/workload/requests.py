"""Turns calls into OpenAI requests: which endpoint, which model, streamed or plain, with what limits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from loadgen.arrivals import Times
from loadgen.schedule import ScheduledRequest
from loadgen.workload.calls import Call, Workload
from loadgen.workload.prompts import TextSource, draw_kind

AUTO = "auto"
"""The model name that leaves the choice to the router."""

MESSAGE_TOKENS = 512
"""A prompt with a shared prefix is cut into messages of about this size."""

SYSTEM_PROMPT = "You are a helpful assistant."

_LIMITS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMix:
    """How calls are put into requests.

    Attributes:
        stream_share: Share of requests that ask for server-sent events.
        usage_share: Share of streamed requests that ask for usage in the last event.
        completions_share: Share sent to `/v1/completions`; the others go to `/v1/chat/completions`.
        max_tokens_share: Share that limits the output, to the next power of two above its wanted size.
        auto_share: Share that asks for `auto`; the others name one of `models`, each equally often.
        models: Concrete model names.
        max_prompt_tokens: Longer prompts are clipped to this; None for no limit.
        max_output_tokens: Longer answers are clipped to this; None for no limit.
        sends_hints: True to tell a simulated server the wanted output size (`ttca_sim`); a real one ignores it.
    """

    stream_share: float = 0.5
    usage_share: float = 1.0
    completions_share: float = 0.1
    max_tokens_share: float = 0.5
    auto_share: float = 1.0
    models: tuple[str, ...] = ()
    max_prompt_tokens: int | None = None
    max_output_tokens: int | None = None
    sends_hints: bool = True

    def __post_init__(self) -> None:
        for name in ("stream_share", "usage_share", "completions_share", "max_tokens_share", "auto_share"):
            share: float = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {share}")
        for name in ("max_prompt_tokens", "max_output_tokens"):
            limit: int | None = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, not {limit}")
        if self.auto_share < 1 and not self.models:
            raise ValueError("an auto_share below 1 needs concrete model names for the others")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What one request looks like, drawn before the run."""

    call: Call
    kind: str
    key: str
    model: str
    is_chat: bool
    stream: bool
    wants_usage: bool
    max_tokens: int | None
    sends_hints: bool


def build_schedule(workload: Workload, arrivals: Times, mix: RequestMix, seed: int) -> list[ScheduledRequest]:
    """Decide every request of a run; the same arguments give the same requests, byte for byte.

    Args:
        workload: At least as many calls as `arrivals`.
        arrivals: Seconds since the start of the run, ascending.
        mix: How calls are put into requests.
        seed: Seed of everything drawn here.
    """
    source = TextSource(seed)
    rng = random.Random(seed)
    schedule: list[ScheduledRequest] = []
    for index, (start, call) in enumerate(zip(arrivals, workload.calls, strict=False)):
        kind = draw_kind(workload.mix, f"{seed}/{call.conversation}")
        source.prepare(kind)
        schedule.append(_scheduled(float(start), _form(str(index), call, kind, mix, rng), source))
    return schedule


def clipped_count(workload: Workload, count: int, mix: RequestMix) -> int:
    """How many of the first `count` prompts exceed `mix.max_prompt_tokens`."""
    if mix.max_prompt_tokens is None:
        return 0
    return sum(call.prompt_tokens > mix.max_prompt_tokens for call in workload.calls[:count])


def _form(key: str, call: Call, kind: str, mix: RequestMix, rng: random.Random) -> _Form:
    # Always the same number of draws per request: changing one share leaves the other choices as they were.
    draws = [rng.random() for _ in range(6)]
    clipped = Call(
        prompt_tokens=min(call.prompt_tokens, mix.max_prompt_tokens or call.prompt_tokens),
        output_tokens=min(call.output_tokens, mix.max_output_tokens or call.output_tokens),
        conversation=call.conversation,
        blocks=call.blocks,
        block_tokens=call.block_tokens,
    )
    stream = draws[0] < mix.stream_share
    is_auto = draws[4] < mix.auto_share
    limit = next((size for size in _LIMITS if size >= clipped.output_tokens), clipped.output_tokens)
    return _Form(
        call=clipped,
        kind=kind,
        key=key,
        model=AUTO if is_auto else mix.models[int(draws[5] * len(mix.models))],
        is_chat=draws[2] >= mix.completions_share,
        stream=stream,
        wants_usage=stream and draws[1] < mix.usage_share,
        max_tokens=limit if draws[3] < mix.max_tokens_share else None,
        sends_hints=mix.sends_hints,
    )


def _scheduled(start: float, form: _Form, source: TextSource) -> ScheduledRequest:
    return ScheduledRequest(
        start_seconds=start,
        path="/v1/chat/completions" if form.is_chat else "/v1/completions",
        body=partial(_render, form, source),
        model=form.model,
        kind=form.kind,
        stream=form.stream,
        prompt_tokens=form.call.prompt_tokens,
        output_tokens=form.call.output_tokens,
    )


def _render(form: _Form, source: TextSource) -> bytes:
    body: dict[str, Any] = {"model": form.model}
    messages = list(_messages(form, source))
    if form.is_chat:
        body["messages"] = [{"role": "system", "content": SYSTEM_PROMPT}] if not form.call.blocks else []
        body["messages"] += [
            {"role": "user" if index % 2 == 0 or index == len(messages) - 1 else "assistant", "content": text}
            for index, text in enumerate(messages)
        ]
    else:
        body["prompt"] = "".join(messages)
    if form.stream:
        body["stream"] = True
    if form.wants_usage:
        body["stream_options"] = {"include_usage": True}
    if form.max_tokens is not None:
        body["max_tokens"] = form.max_tokens
    if form.sends_hints:
        body["ttca_sim"] = {"output_tokens": form.call.output_tokens}
    return orjson.dumps(body)


def _messages(form: _Form, source: TextSource) -> Iterator[str]:
    """The prompt's text: shared blocks, the same for everybody who has them, then text of its own."""
    call = form.call
    if not call.blocks:
        yield source.text(form.kind, call.prompt_tokens, form.key)
        return
    shared = call.blocks[: call.prompt_tokens // call.block_tokens]
    per_message = max(1, MESSAGE_TOKENS // call.block_tokens)
    for first in range(0, len(shared), per_message):
        blocks = shared[first : first + per_message]
        yield "".join(source.text(form.kind, call.block_tokens, f"block {block}") for block in blocks)
    if rest := call.prompt_tokens - len(shared) * call.block_tokens:
        yield source.text(form.kind, rest, form.key)
