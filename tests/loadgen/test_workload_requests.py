from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from loadgen.workload.calls import Call, Workload
from loadgen.workload.catalog import load_workload
from loadgen.workload.prompts import BYTES_PER_TOKEN
from loadgen.workload.requests import RequestMix, build_schedule, clipped_count


def a_workload(*calls: Call, kind: str = "prose") -> Workload:
    """A workload of given calls, all of one kind, one second apart."""
    return Workload(
        name="test",
        description="",
        is_recorded=False,
        arrivals=np.arange(len(calls), dtype=np.float64),
        calls=calls,
        mix=((kind, 1.0),),
    )


def bodies(workload: Workload, mix: RequestMix, seed: int = 1) -> list[dict[str, Any]]:
    """The bodies of a whole workload, parsed."""
    return [json.loads(request.body()) for request in build_schedule(workload, workload.arrivals, mix, seed)]


def prompt_bytes(body: dict[str, Any]) -> int:
    """UTF-8 bytes of a chat's text."""
    return sum(len(message["content"].encode()) for message in body["messages"])


def test_shares_come_out_as_asked() -> None:
    """Streams, usage, completions, limits and `auto` have their shares; other models are used equally."""
    workload = load_workload("azure_conv", 2000, folder=None, seed=1)
    mix = RequestMix(
        stream_share=0.3, usage_share=0.5, completions_share=0.2, max_tokens_share=0.4, auto_share=0.6,
        models=("a", "b"), max_prompt_tokens=20,
    )  # fmt: skip
    drawn = bodies(workload, mix)
    streams = [body for body in drawn if body.get("stream")]

    assert 0.3 == pytest.approx(len(streams) / 2000, abs=0.04)
    assert 0.5 == pytest.approx(sum("stream_options" in body for body in streams) / len(streams), abs=0.08)
    assert 0.2 == pytest.approx(sum("prompt" in body for body in drawn) / 2000, abs=0.04)
    assert 0.4 == pytest.approx(sum("max_tokens" in body for body in drawn) / 2000, abs=0.04)
    assert 0.6 == pytest.approx(sum(body["model"] == "auto" for body in drawn) / 2000, abs=0.04)
    assert 0.2 == pytest.approx(sum(body["model"] == "b" for body in drawn) / 2000, abs=0.04)


def test_the_wanted_output_is_hinted_and_fits_the_limit() -> None:
    """The hint carries the output size; a limit, where there is one, never cuts it. Real servers need no hint."""
    call = Call(prompt_tokens=10, output_tokens=200, conversation=1)
    (body,) = bodies(a_workload(call), RequestMix(max_tokens_share=1.0, completions_share=0))
    (plain,) = bodies(a_workload(call), RequestMix(sends_hints=False, completions_share=0))

    assert {"output_tokens": 200} == body["ttca_sim"]
    assert 256 == body["max_tokens"]
    assert "ttca_sim" not in plain


def test_prompts_and_outputs_are_clipped_and_counted() -> None:
    """Calls beyond the limits shrink to them, and the number of clipped prompts is known."""
    workload = a_workload(
        Call(prompt_tokens=5000, output_tokens=900, conversation=1),
        Call(prompt_tokens=100, output_tokens=10, conversation=2),
    )
    mix = RequestMix(max_prompt_tokens=1000, max_output_tokens=50, completions_share=0)
    long, short = bodies(workload, mix)

    assert 1000 * BYTES_PER_TOKEN["prose"] == pytest.approx(prompt_bytes(long), rel=0.02)
    assert {"output_tokens": 50} == long["ttca_sim"]
    assert {"output_tokens": 10} == short["ttca_sim"]
    assert 1 == clipped_count(workload, 2, mix)
    assert 0 == clipped_count(workload, 2, RequestMix())


def test_calls_with_equal_blocks_share_the_text_of_those_blocks() -> None:
    """A follow-up begins with the messages of the prompt that it repeats; a stranger does not."""
    first = Call(prompt_tokens=1100, output_tokens=1, conversation=1, blocks=(1, 2), block_tokens=512)
    follow_up = Call(
        prompt_tokens=2048, output_tokens=1, conversation=1, blocks=(1, 2, 3, 4), block_tokens=512
    )
    stranger = Call(prompt_tokens=1100, output_tokens=1, conversation=2, blocks=(8, 9), block_tokens=512)
    mix = RequestMix(completions_share=0)
    one, two, three = (body["messages"] for body in bodies(a_workload(first, follow_up, stranger), mix))

    assert one[:2] == two[:2]
    assert one[0] != three[0]
    assert "user" == one[-1]["role"] == two[-1]["role"]
    assert 2048 * BYTES_PER_TOKEN["prose"] == pytest.approx(prompt_bytes({"messages": two}), rel=0.02)


def test_small_blocks_are_joined_into_messages() -> None:
    """Blocks of 60 tokens are gathered to messages of about 512, always the same ones together."""
    calls = [
        Call(prompt_tokens=60 * n, output_tokens=1, conversation=1, blocks=tuple(range(n)), block_tokens=60)
        for n in (16, 24)
    ]
    one, two = (body["messages"] for body in bodies(a_workload(*calls), RequestMix(completions_share=0)))

    assert [2, 3] == [len(one), len(two)]
    assert one == [{**message, "role": role["role"]} for message, role in zip(two[:2], one, strict=True)]


def test_a_schedule_is_the_same_for_the_same_seed() -> None:
    """Bodies, models and times depend on the arguments alone; another seed gives other requests."""
    workload = load_workload("mooncake_conversation", 20, folder=None, seed=1)
    mix = RequestMix(max_prompt_tokens=500)

    assert bodies(workload, mix) == bodies(workload, mix)
    assert bodies(workload, mix) != bodies(workload, mix, seed=2)


def test_changing_one_share_leaves_other_choices_alone() -> None:
    """A request that streams at a share of 0.5 asks for the same model and limit at a share of 0."""
    workload = load_workload("azure_conv", 100, folder=None, seed=1)
    some = bodies(workload, RequestMix(max_prompt_tokens=10, stream_share=0.5))
    none = bodies(workload, RequestMix(max_prompt_tokens=10, stream_share=0.0))

    assert [body.get("max_tokens") for body in some] == [body.get("max_tokens") for body in none]
    assert not any("stream" in body for body in none)


def test_impossible_mixes_are_refused() -> None:
    """Shares outside 0 to 1, limits below 1 and missing model names are named in the error."""
    with pytest.raises(ValueError, match="stream_share must lie between 0 and 1"):
        RequestMix(stream_share=1.5)
    with pytest.raises(ValueError, match="max_prompt_tokens must be at least 1"):
        RequestMix(max_prompt_tokens=0)
    with pytest.raises(ValueError, match="needs concrete model names"):
        RequestMix(auto_share=0.5)
