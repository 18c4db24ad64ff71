from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from extproc.calibrate.outcome import DecisionRecord, Usage
from extproc.decide.plan import Plan, TokenBudget
from extproc.estimate.tokens import TokenEstimate
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import Category, TextProfile
from extproc.protocol.decision_metadata import (
    decode_text,
    encode_text,
    read_decision,
    read_usage,
    write_decision,
)

MakePlan = Callable[..., Plan]
MakeFacts = Callable[..., RequestFacts]

FIRST, SECOND, *_ = Category


def struct(values: dict[str, Any]) -> Struct:
    """Build a struct from plain values."""
    result = Struct()
    result.update(values)
    return result


def test_what_is_held_against_usage_is_the_chosen_models_estimate(
    make_plan: MakePlan, make_facts: MakeFacts
) -> None:
    """The budget provides for the model with the largest need, which counts the prompt in another way."""
    budget = TokenBudget(
        prompt_tokens=848,
        prompt_tokens_upper=1100,
        output_tokens=500,
        output_is_given=True,
        by_model={"a": TokenEstimate(600, 700, 9), "b": TokenEstimate(848, 1100, 9)},
    )
    written = Struct()
    write_decision(written.fields, make_plan(budget=budget), make_facts())
    read = read_decision(written.fields)

    assert read is not None
    assert (600, 700, "a") == (read.prompt_tokens, read.prompt_tokens_upper, read.planned_model)


def test_a_decision_survives_the_access_log(make_plan: MakePlan, make_facts: MakeFacts) -> None:
    """What DECIDE wrote is what the access log's reader gets, through bytes."""
    facts = make_facts(
        text=TextProfile(((FIRST, 4000), (SECOND, 17))), prompt_token_ids=3, messages=2, images=1, choices=4
    )
    written = Struct()
    write_decision(written.fields, make_plan(), facts)

    read = read_decision(Struct.FromString(written.SerializeToString()).fields)

    assert (
        DecisionRecord(
            decision_id="decision-1",
            api=Api.CHAT_COMPLETIONS,
            model="a",
            planned_model="a",
            pool="short",
            cluster="a-short",
            prompt_tokens=100,
            prompt_tokens_upper=130,
            output_tokens=500,
            output_is_given=True,
            text=facts.text,
            prompt_token_ids=3,
            messages=2,
            images=1,
            choices=4,
        )
        == read
    )


def test_the_fields_are_readable(make_plan: MakePlan, make_facts: MakeFacts) -> None:
    """An operator who prints the metadata sees one plain value per fact."""
    written = Struct()
    write_decision(written.fields, make_plan(), make_facts(text=TextProfile(((FIRST, 12), (SECOND, 3)))))

    fields = dict(written)
    assert f"{FIRST}:12,{SECOND}:3" == fields["text"]
    assert "fits short" == fields["reason"]
    assert 4 == fields["candidates"]


def test_text_is_left_out_where_the_model_reads_more(make_plan: MakePlan, make_facts: MakeFacts) -> None:
    """The reported tokens are of all that it read, so that they say nothing of this text."""
    written = Struct()
    facts = make_facts(text=TextProfile(((FIRST, 12),)), has_unseen_text=True)
    write_decision(written.fields, make_plan(), facts)

    read = read_decision(written.fields)
    assert TextProfile() == (read.text if read else None)


def test_what_became_of_a_wish_is_there_for_envoy_to_tell(make_plan: MakePlan, make_facts: MakeFacts) -> None:
    """The route makes a response header of it; without a wish there is none."""
    written, silent = Struct(), Struct()
    write_decision(written.fields, make_plan(wish="preset=cost"), make_facts())
    write_decision(silent.fields, make_plan(), make_facts())

    assert "preset=cost" == dict(written)["wish"]
    assert "wish" not in silent.fields


def test_a_passed_through_request_has_no_budget(make_plan: MakePlan, make_facts: MakeFacts) -> None:
    """Its counts are absent, never zero, and it has no model."""
    written = Struct()
    write_decision(written.fields, make_plan(budget=None, pool=""), make_facts(api=Api.OTHER, model=None))

    read = read_decision(written.fields)

    assert read is not None
    assert "" == read.model
    assert (None, None, None) == (read.prompt_tokens, read.prompt_tokens_upper, read.output_tokens)
    assert (Api.OTHER, 1, False) == (read.api, read.choices, read.output_is_given)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"decision_id": "", "api": "chat_completions"},
        {"decision_id": "d"},
        {"decision_id": "d", "api": "telepathy"},
        {"decision_id": 7, "api": "chat_completions"},
        {"decision_id": {"a": 1}, "api": ["chat_completions"]},
    ],
)
def test_what_is_no_decision_is_none(values: dict[str, Any]) -> None:
    """Missing and foreign values cost the record, and raise nothing."""
    assert read_decision(struct(values).fields) is None


def test_foreign_values_of_single_fields_are_left_out() -> None:
    """The rest of the record is kept."""
    read = read_decision(
        struct(
            {
                "decision_id": "d",
                "api": "completions",
                "prompt_tokens": "many",
                "output_tokens": -1,
                "choices": None,
                "text": f"{FIRST}:5,unheard-of:7,{SECOND}:x,{SECOND}:-3,:,{SECOND}",
                "output_is_given": "yes",
            }
        ).fields
    )

    assert read is not None
    assert (None, None, 1, False) == (
        read.prompt_tokens,
        read.output_tokens,
        read.choices,
        read.output_is_given,
    )
    assert TextProfile(((FIRST, 5),)) == read.text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 20}, Usage(prompt_tokens=10, completion_tokens=20)),
        ({"prompt_tokens": "10", "completion_tokens": "20"}, Usage(prompt_tokens=10, completion_tokens=20)),
        ({"prompt_tokens": 10}, Usage(prompt_tokens=10, completion_tokens=None)),
        ({"completion_tokens": 0}, Usage(prompt_tokens=None, completion_tokens=0)),
        ({"prompt_tokens": -1, "completion_tokens": "x"}, None),
        ({"prompt_tokens": "nan", "completion_tokens": "inf"}, None),
        ({"prompt_tokens": 2.0**31, "completion_tokens": "1e300"}, None),
        ({"prompt_tokens": True, "completion_tokens": None}, None),
        ({}, None),
    ],
)
def test_usage_that_was_not_reported_is_none(values: dict[str, Any], expected: Usage | None) -> None:
    """Counts come as numbers or texts; what is absent or no count is None, never zero."""
    assert expected == read_usage(struct(values).fields)


@given(st.lists(st.tuples(st.sampled_from(Category), st.integers(1, 10**12)), unique_by=lambda pair: pair[0]))
def test_any_text_profile_survives(pairs: list[tuple[Category, int]]) -> None:
    """The compact form loses nothing."""
    profile = TextProfile(tuple(pairs))

    assert profile == decode_text(encode_text(profile))


@given(st.text())
def test_no_text_profile_is_an_error(encoded: str) -> None:
    """Any text gives a profile, and nothing raises."""
    assert isinstance(decode_text(encoded), TextProfile)
