from __future__ import annotations

import pytest

from extproc.facts.answer import Choice, FinishReason, ToolCall
from extproc.verify.repetition import (
    WINDOW_CHARS,
    Loop,
    RepetitionSpec,
    check_repetition,
    distinct_share,
    find_tail_loop,
)

_SPEC = RepetitionSpec()

_INTRO = (
    "The committee met on Tuesday to look at the three proposals for the new bridge. The first of them crosses the river"
    " at its narrowest point and is the cheapest; its pillars, however, would stand in the shipping lane. "
)
_SENTENCE = "I think that the best way to do this is to make a plan first. "
_PARAGRAPH = (
    _INTRO
    + "In conclusion, the second proposal was preferred by most of the members, with two abstentions.\n\n"
)

_POEM = "\n\n".join(
    f"{verse}\n\nOh, the river runs and the river turns,\nand the river never tells me why;\noh, the lantern burns and"
    " the lantern burns\ntill the morning paints the sky."
    for verse in (
        "We left the town in early spring,\nthe roads were white with dust,\nmy brother had a ring,\nand I an axe of rust.",
        "We slept beneath a broken wall,\nwe woke to find it gone,\nthe thrush had ceased her call,\nthe stars moved on.",
        "The miller asked us for our names,\nwe gave him two he knew,\nhe fed us bread, he lit the flames,\nand let us go.",
        "Now I am old and he is far,\nand both of us are home,\nthe ring is round another's scar,\nthe axe in loam.",
    )
)
_TABLE = "| country | capital | people |\n|---------|---------|--------|\n" + "\n".join(
    f"| land {i * 37 % 211} | town {i * 53 % 197} | {i * 7919 % 100_000} |" for i in range(150)
)
_ZEROS = (
    "static const uint8_t table[256] = {\n"
    + "    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,\n" * 32
    + "};\n"
)
_CODE = "class Point:\n" + "\n".join(
    f"    @property\n    def {name}(self) -> float:\n        return self._values[{i}]\n\n    @{name}.setter\n"
    f"    def {name}(self, value: float) -> None:\n        self._values[{i}] = value\n"
    for i, name in enumerate(
        (
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "zeta",
            "eta",
            "theta",
            "iota",
            "kappa",
            "lambda",
            "mu",
            "nu",
            "xi",
        )
    )
)
_RECORDS = (
    "[\n"
    + ",\n".join(
        f'  {{"id": {i}, "status": "active", "role": "member", "permissions": ["read", "write"], "team": "platform"}}'
        for i in range(1, 80)
    )
    + "\n]"
)
_LIST = "\n".join(
    f"{i}. Check the number of item {i} against the list of the supplier." for i in range(1, 90)
)
_LAUGHTER = "Here you are:\n" + "ha" * 200
_RULE = "Title\n" + "=" * 300 + "\nText."
_ART = "\n".join(" " * (40 - i) + "*" * (2 * i + 1) for i in range(40))
_LABELS = "\n".join(["positive"] * 300)
_LABELS_JSON = "[" + ", ".join(['{"label": "positive", "reviewed": true, "needs_work": false}'] * 200) + "]"
_CHORUS = "Let it go, my darling, let it go. " * 5

_HONEST = {
    "poem with a refrain": _POEM,
    "table": _TABLE,
    "table of zeros": _ZEROS,
    "accessors": _CODE,
    "records": _RECORDS,
    "numbered list": _LIST,
    "laughter": _LAUGHTER,
    "rule": _RULE,
    "ASCII art": _ART,
    "labels": _LABELS,
    "labels, then words": _LABELS + "\nThat is all.",
    "labels as JSON": _LABELS_JSON,
    "chorus": _INTRO + _CHORUS,
    "prose": _PARAGRAPH,
    "empty": "",
}


def _choice(text: str | None, reason: FinishReason) -> Choice:
    return Choice(text=text, finish_reason=reason)


@pytest.mark.parametrize("name", _HONEST)
def test_honest_repetition_is_no_loop(name: str) -> None:
    """Refrains, tables, code, records and drawings repeat themselves on purpose."""
    assert check_repetition(_SPEC, _choice(_HONEST[name], FinishReason.STOP)) is None


@pytest.mark.parametrize(
    "name", ["poem with a refrain", "table", "accessors", "records", "numbered list", "prose"]
)
def test_honest_texts_may_be_cut_anywhere(name: str) -> None:
    """The stricter reading of an answer that was cut does not mistake any beginning of them for a loop."""
    text = _HONEST[name]
    cuts = range(100, len(text), 97)

    assert [] == [cut for cut in cuts if check_repetition(_SPEC, _choice(text[:cut], FinishReason.LENGTH))]


@pytest.mark.parametrize(
    "text",
    [
        _INTRO + _SENTENCE * 12,
        _INTRO + (_SENTENCE * 12)[:-17],
        _INTRO + _PARAGRAPH * 8,
        _INTRO + "the the " * 100,
        "!" * 900,
        _INTRO + "\n" * 700,
        '{"a": "' + "\\n" * 400,
        _INTRO + "我认为这是最好的方法。" * 60,
    ],
)
def test_a_loop_that_was_cut_is_rejected(text: str) -> None:
    """Sentences, paragraphs, words, marks and white space, ended in the middle of a round or not."""
    finding = check_repetition(_SPEC, _choice(text, FinishReason.LENGTH))

    assert finding is not None
    assert "repetition.loop" == finding.reason


def test_a_loop_that_stopped_by_itself_must_be_long() -> None:
    """What a model ended of its own accord may be wanted, up to a point."""
    short = check_repetition(_SPEC, _choice(_INTRO + _SENTENCE * 12, FinishReason.STOP))
    long = check_repetition(_SPEC, _choice(_INTRO + _SENTENCE * 60, FinishReason.STOP))

    assert short is None
    assert long is not None
    assert "repetition.loop" == long.reason


def test_sameness_without_a_loop_at_the_end_is_rejected() -> None:
    """A text that is one paragraph thirty times over is wrong even when it ends with other words."""
    finding = check_repetition(_SPEC, _choice(_PARAGRAPH * 30 + "And so it ended.", FinishReason.STOP))

    assert finding is not None
    assert "repetition.sameness" == finding.reason


def test_arguments_of_a_call_can_loop_too() -> None:
    """A call is generated like a text."""
    choice = Choice(
        text=None, finish_reason=FinishReason.LENGTH, tool_calls=(ToolCall("f", '{"a": "' + _SENTENCE * 20),)
    )

    assert check_repetition(_SPEC, choice) is not None


def test_an_instance_that_saw_the_loop_itself_is_believed() -> None:
    """An instance of vLLM can end a looping answer and say so."""
    finding = check_repetition(_SPEC, _choice("a", FinishReason.REPETITION))

    assert finding is not None
    assert "repetition.reported" == finding.reason


@pytest.mark.parametrize("period", [1, 2, 7, 48, 49, 300, 2_000])
def test_the_period_of_a_loop_is_found_at_any_phase(period: int) -> None:
    """A loop need not end with a whole round; one too short for any threshold is not looked for."""
    unit = "".join(chr(0x4E00 + index) for index in range(period))
    text = "before " + unit * 7 + unit[: period // 2]

    loop = find_tail_loop(text)

    if 7 * period + period // 2 < 48 + period:
        assert loop is None
    else:
        assert Loop(period, 7 * period + period // 2) == loop


def test_a_text_without_a_repeated_end_has_no_loop() -> None:
    """The tail occurs once."""
    assert find_tail_loop(_INTRO) is None


def test_a_passage_that_holds_its_own_end_does_not_hide_the_loop() -> None:
    """The nearest earlier occurrence of the tail is not always one round away."""
    end = "and that is how the story of the old bridge ends. "
    unit = "First, " + end + "Second, for those who ask again, " + end

    assert Loop(len(unit), 6 * len(unit)) == find_tail_loop("At the beginning" + unit * 6)


def test_plainly_varied_texts_are_not_counted() -> None:
    """Compression tells at once that there is no sameness."""
    assert distinct_share(_TABLE) is None
    assert distinct_share(_INTRO) is None


def test_the_share_is_one_over_the_rounds() -> None:
    """Ten times the same text has about a tenth of distinct passages."""
    share = distinct_share(_PARAGRAPH * 10)

    assert share is not None
    assert 0.09 < share < 0.12


def test_a_megabyte_is_sampled() -> None:
    """The beginning of a long answer counts, and only windows of it are looked at."""
    text = _PARAGRAPH * 30 + "".join(f"{i * 7919 % 10_007} " for i in range(100_000))

    share = distinct_share(text)

    assert len(text) > 20 * WINDOW_CHARS
    assert share is not None
    assert share < 0.1
