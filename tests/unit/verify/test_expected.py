from __future__ import annotations

import pytest

from extproc.facts.answer import Choice
from extproc.verify.expectation import parse_expectation
from extproc.verify.expected import check_expectation, quoted_spans
from extproc.verify.finding import Finding, Outcome
from extproc.verify.work import WorkBudget, WorkExceededError

_PROMPT = (
    "Chapter one.\nThe harbour master's log for 3 May reads:",
    "the “Aurora” left at dawn —\n  with forty barrels of tar, and nobody saw her again.",
)


def _check(header: str, text: str | None, prompt: tuple[str, ...] | None = _PROMPT) -> Finding:
    return check_expectation(parse_expectation(header), Choice(text=text), prompt, WorkBudget(100_000))


@pytest.mark.parametrize(
    ("header", "text", "outcome"),
    [
        ("exact:Paris", " Paris\n", Outcome.PASSED),
        ("exact:Paris", "Paris.", Outcome.REJECTED),
        ("contains:Paris", "It is Paris.", Outcome.PASSED),
        ("contains:Paris", "It is paris.", Outcome.REJECTED),
        (r"regex:(?m)^answer: \d+$", "So:\nanswer: 42\n", Outcome.PASSED),
        (r"regex:^\d+$", "about 42", Outcome.REJECTED),
    ],
)
def test_texts_and_patterns(header: str, text: str, outcome: Outcome) -> None:
    """Exact forgives white space around, and nothing else."""
    assert outcome is _check(header, text).outcome


@pytest.mark.parametrize(
    ("header", "text", "is_met"),
    [
        ("json-pointer:/a/b=1", '{"a": {"b": 1.0}}', True),
        ("json-pointer:/a/b=1", '{"a": {"b": true}}', False),
        ("json-pointer:/a/b=1", '{"a": {}}', False),
        ("json-pointer:/list/1=x", '{"list": [0, "x"]}', True),
        ("json-pointer:/list/2=x", '{"list": [0, "x"]}', False),
        ("json-pointer:/list/-=x", '{"list": ["x"]}', False),
        ('json-pointer:/a="1"', '{"a": "1"}', True),
        ("json-pointer:/a=Paris", '{"a": "Paris"}', True),
        ("json-pointer:/a~1b/~0=null", '{"a/b": {"~": null}}', True),
        ("json-pointer:=[1]", "[1]", True),
        ("json-pointer:/a=1", '```json\n{"a": 1}\n```', True),
        ("json-pointer:/a=1", "no JSON", False),
        ("json-pointer:=" + "[" * 1_500, "[" * 500 + "]" * 500, False),
    ],
)
def test_pointers(header: str, text: str, is_met: bool) -> None:
    """Values are compared as JSON; a value that is no JSON is a text."""
    assert (Outcome.PASSED if is_met else Outcome.REJECTED) is _check(header, text).outcome


@pytest.mark.parametrize(
    "text",
    [
        'She left, as the log says: "The Aurora left at dawn" ...',
        "Im Buch steht „with forty barrels of tar,“ und mehr.",
        "« nobody saw   her again »",
        'It says "the harbour master’s log … with forty barrels of TAR."',  # noqa: RUF001
        'The "Aurora" carried "forty barrels of tar".',
        "「harbour master`s log」",
    ],
)
def test_quotations_from_the_prompt_are_found(text: str) -> None:
    """Case, white space, kinds of quotation marks and dashes, edges and omissions do not matter."""
    prompt = tuple(part.replace("“Aurora”", "Aurora") for part in _PROMPT)

    assert Outcome.PASSED is _check("quoted", text, prompt).outcome


def test_an_invented_quotation_is_rejected() -> None:
    """One that is not in the prompt is enough, whatever the others are."""
    finding = _check("quoted", '"with forty barrels of tar" and "with fifty barrels of wine"')

    assert (Outcome.REJECTED, "expectation.quoted") == (finding.outcome, finding.reason)
    assert "fifty barrels" in finding.detail


@pytest.mark.parametrize(
    ("header", "reason"),
    [("quoted", "expectation.quoted-missing"), ("quoted:0", ""), ("quoted:2", "expectation.quoted-missing")],
)
def test_a_number_of_quotations_may_be_demanded(header: str, reason: str) -> None:
    """One by default; with zero, an answer without quotations passes."""
    assert reason == _check(header, 'A 5" pipe, the "Aurora", and no more.').reason


def test_the_prompt_must_be_known() -> None:
    """Without the request's body there is nothing to look the spans up in."""
    assert "expectation.no-prompt" == _check("quoted", '"forty barrels"', None).reason


def test_a_choice_without_text_is_undecided() -> None:
    """A turn that calls tools has not answered yet."""
    assert Outcome.UNDECIDED is _check("exact:Paris", None).outcome


def test_spans_cost_their_passes_over_the_prompt() -> None:
    """A large prompt and a small budget leave the answer undecided."""
    expectation = parse_expectation("quoted")

    with pytest.raises(WorkExceededError):
        check_expectation(
            expectation, Choice(text='"forty barrels of tar"'), ("x" * 1_000_000,), WorkBudget(1_000)
        )


@pytest.mark.parametrize("text", ['"' * 99_999, "“" * 100_000, "«»" * 50_000, '"' + "a … " * 25_000 + '"'])
def test_many_marks_are_one_pass(text: str) -> None:
    """Unbalanced and nested marks end, and yield no span that is too short."""
    assert [] == list(quoted_spans(text))


def test_details_show_little_of_the_answer() -> None:
    """A detail goes into logs and headers."""
    assert len(_check("exact:Paris", "secret " * 1_000).detail) < 120
