from __future__ import annotations

from extproc.fit.report import BEGIN, END, place


def test_a_section_starts_a_document() -> None:
    """An empty document gets a title and the marked section."""
    assert f"# Estimators\n\n{BEGIN}\ntext\n{END}\n" == place("text", "")


def test_a_section_replaces_only_itself() -> None:
    """What stands before and after the marks stays."""
    document = place("old", "# Title\n\nbefore\n") + "\n## After\n"
    replaced = place("new", document)
    assert document.replace("old", "new").split() == replaced.split()
    assert replaced == place("new", replaced)


def test_a_section_joins_a_document_that_has_none() -> None:
    """Other sections are kept, and the new one is appended."""
    placed = place("text", "# Title\n\nother section\n")
    assert placed.startswith("# Title\n\nother section\n\n" + BEGIN)
