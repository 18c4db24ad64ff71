from __future__ import annotations

import pytest

from extproc.facts.answer import Choice, ToolCall


@pytest.mark.parametrize("text", [None, "", " \n\t "])
def test_a_choice_without_text_is_blank(text: str | None) -> None:
    """White space is no answer."""
    assert Choice(text=text).is_blank


@pytest.mark.parametrize(
    "choice",
    [
        Choice(text="a"),
        Choice(text=None, tool_calls=(ToolCall("f", "{}"),)),
        Choice(text=None, refusal="No."),
    ],
)
def test_text_calls_and_refusals_are_answers(choice: Choice) -> None:
    """A choice that holds any of the three is not blank."""
    assert not choice.is_blank
