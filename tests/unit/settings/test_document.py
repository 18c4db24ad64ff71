from __future__ import annotations

import pytest

from extproc.settings.document import Mark, parse_document


def test_every_value_knows_its_place() -> None:
    """Entries of a mapping stand where their key stands, items of a list where they begin."""
    document = parse_document("a:\n  - x\n  - b: 1\n")

    assert {"a": ["x", {"b": 1}]} == document.values
    assert Mark(1, 1) == document.mark(("a",))
    assert Mark(2, 5) == document.mark(("a", 0))
    assert Mark(3, 5) == document.mark(("a", 1, "b"))


def test_a_place_that_is_missing_is_its_parents() -> None:
    """What is not in the text is reported where it should have been."""
    document = parse_document("a:\n  b: 1\n")

    assert Mark(2, 3) == document.mark(("a", "b", "c"))
    assert Mark(1, 1) == document.mark(("a", "missing"))
    assert Mark(1, 1) == document.mark(("missing",))


def test_duplicate_keys_are_told_and_the_first_is_kept() -> None:
    """YAML would take the last one in silence."""
    document = parse_document("a: 1\na: 2\n")

    assert {"a": 1} == document.values
    [defect] = document.defects
    assert (Mark(2, 1), ("a",)) == (defect.mark, defect.path)
    assert "line 1" in defect.hint


def test_anchors_stand_for_what_they_name() -> None:
    """A price or speed may be written once and named afterwards."""
    document = parse_document("a: &p {x: 1}\nb: *p\n")

    assert {"a": {"x": 1}, "b": {"x": 1}} == document.values
    assert [] == document.defects


def test_tags_are_not_followed() -> None:
    """A file can not make Python objects."""
    document = parse_document("a: !!python/object/apply:os.system ['true']\n")

    assert document.values is None or document.values == {"a": ["true"]}


def test_scalars_that_yaml_cannot_make_are_told() -> None:
    """A date that does not exist is a mistake of the file, not of the program."""
    document = parse_document("a: 2024-99-99\n")

    assert 1 == len(document.defects)
    assert "not YAML" in document.defects[0].message


def test_a_tab_gets_a_hint() -> None:
    """The usual cause is named."""
    [defect] = parse_document("a:\n\tb: 1\n").defects

    assert (2, "indent with spaces, not tabs") == (defect.mark.line, defect.hint)


@pytest.mark.parametrize("value", ["!!bool x", '!!int ""', '!!timestamp "x"', "!!float x", "2024-99-99"])
def test_a_value_that_does_not_fit_its_tag_is_told_with_its_place(value: str) -> None:
    """PyYAML's constructors raise whatever they like, and name no line."""
    document = parse_document(f"a: 1\nb: {value}\n")

    assert [Mark(2, 4)] == [defect.mark for defect in document.defects]
    assert "not YAML" in document.defects[0].message


def test_too_deep_a_nesting_is_a_mistake_of_the_text() -> None:
    """Thousands of levels exhaust the parser's stack, not the program."""
    [defect] = parse_document("a: " + "[" * 3000 + "]" * 3000 + "\n").defects

    assert "nested too deeply" in defect.message
