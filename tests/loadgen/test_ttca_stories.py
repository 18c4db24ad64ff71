from __future__ import annotations

import pytest

from extproc.fleet.topology import Price
from loadgen.questions.question import Question
from loadgen.ttca.bodies import NUMBER_HEADER
from loadgen.ttca.client import Asking
from loadgen.ttca.stories import UpstreamTry, read_journal, success_within, tell_stories
from loadgen.virtual.simulation import Story

QUESTION = Question(
    key="q",
    kind="sum",
    text="1 + 1?",
    prompt_tokens=4,
    correct={"small": False, "large": True},
    output_tokens={"small": 10, "large": 30},
)
PRICES = {
    "small": Price(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0),
    "large": Price(input_usd_per_mtok=10.0, output_usd_per_mtok=20.0),
}


def asking(number: int = 0) -> Asking:
    return Asking(
        number=number,
        question=QUESTION,
        intended_seconds=1.0,
        sent_seconds=1.1,
        ended_seconds=3.0,
        is_solved=True,
        prompt_tokens=100,
    )


def test_a_story_counts_every_try_that_went_upstream() -> None:
    """Attempts, tokens and money include those of rejected answers that the client never saw."""
    tries = [UpstreamTry(0, "large", 20.0), UpstreamTry(0, "small", 10.0), UpstreamTry(1, "small", 5.0)]
    (story,) = tell_stories([asking()], tries, PRICES, time_scale=4.0)
    assert 2 == story.attempts
    assert 200 == story.prompt_tokens
    assert 40 == story.output_tokens
    assert pytest.approx((100 * 1 + 10 * 2 + 100 * 10 + 30 * 20) / 1e6) == story.usd
    assert story.is_first_correct is False


def test_ttca_counts_from_the_intended_start_in_simulated_seconds() -> None:
    """A client that was late would otherwise hide the wait."""
    (story,) = tell_stories([asking()], [UpstreamTry(0, "large", 1.0)], PRICES, time_scale=4.0)
    assert pytest.approx(8.0) == story.seconds
    assert story.is_first_correct is True


def test_a_request_that_reached_nobody_has_no_attempts() -> None:
    """An unanswered request costs nothing and is no first success."""
    (story,) = tell_stories([asking()], [], PRICES, time_scale=1.0)
    assert (0, 0, False) == (story.attempts, story.output_tokens, story.is_first_correct)


def test_a_journal_gives_the_study_s_requests_only() -> None:
    """Other traffic of a server, without a number, is left out."""
    entries = [
        {"headers": [[NUMBER_HEADER, "7"], ["host", "x"]], "received_at": 3.5},
        {"headers": [["host", "x"]], "received_at": 4.0},
    ]
    assert [UpstreamTry(7, "small", 3.5)] == read_journal(entries, "small")


def test_success_within_a_deadline_counts_solved_requests_that_were_in_time() -> None:
    """The first tenth is warm-up; late and unsolved requests fail."""

    def story(*, seconds: float, is_solved: bool) -> Story:
        return Story(question=QUESTION, arrived_seconds=0.0, ended_seconds=seconds, is_solved=is_solved)

    stories = [
        story(seconds=99.0, is_solved=True),
        *[story(seconds=1.0, is_solved=True)] * 3,
        *[story(seconds=6.0, is_solved=True)] * 3,
        *[story(seconds=1.0, is_solved=False)] * 3,
    ]
    figure = success_within(stories, 5.0, seed=1)
    assert pytest.approx(1 / 3) == figure.value
    assert figure.low <= figure.value <= figure.high
