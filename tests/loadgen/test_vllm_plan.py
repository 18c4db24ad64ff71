from __future__ import annotations

from statistics import median

import orjson

from loadgen.vllm.asked import Api, parse
from loadgen.vllm.plan import WORDS, plan_choices
from loadgen.vllm.spec import InstanceSpec

SPEC = InstanceSpec(max_model_len=8192, kv_blocks=4096, seed=1)


def a_body(**fields: object) -> bytes:
    """A chat body with these fields besides."""
    return orjson.dumps({"messages": [{"role": "user", "content": "hi"}], **fields})


def test_lengths_follow_the_lognormal_of_the_spec() -> None:
    """Over many bodies the median output is the spec's, and lengths differ."""
    bodies = [a_body(user=str(number)) for number in range(2000)]
    lengths = [plan_choices(parse(Api.CHAT, body), SPEC, body)[0].tokens for body in bodies]
    assert 115 <= median(lengths) <= 145
    assert len(set(lengths)) > 200


def test_the_limit_ends_an_answer_by_length() -> None:
    """An answer that wants more than max_tokens is cut and says so; one that fits exactly stops by itself."""
    cut, whole = (
        a_body(max_tokens=5, ttca_sim={"output_tokens": 6}),
        a_body(max_tokens=5, ttca_sim={"output_tokens": 5}),
    )
    found = [plan_choices(parse(Api.CHAT, body), SPEC, body)[0] for body in (cut, whole)]
    assert [(5, "length"), (5, "stop")] == [(choice.tokens, choice.finish_reason) for choice in found]


def test_another_model_or_seed_answers_otherwise() -> None:
    """The words depend on body, model and seed, and on nothing else."""
    body = a_body(ttca_sim={"output_tokens": 20})
    asked = parse(Api.CHAT, body)
    specs = [SPEC, SPEC, InstanceSpec(model="other", seed=1), InstanceSpec(seed=2)]
    texts = [plan_choices(asked, spec, body)[0].text() for spec in specs]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_every_stride_visits_every_word() -> None:
    """The number of words is prime, so answers do not fall into short cycles."""
    assert all(len(WORDS) % divisor for divisor in range(2, len(WORDS)))
    assert len(set(WORDS)) == len(WORDS)
