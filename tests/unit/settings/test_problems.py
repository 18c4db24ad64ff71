from __future__ import annotations

from pathlib import Path

from extproc.settings.problems import Problem, SettingsError, path_text


def a_problem(**changes: object) -> Problem:
    """Make a problem at a place."""
    fields = {"file": Path("fleet.yaml"), "line": 3, "column": 5, "path": "a.b", "message": "wrong"}
    return Problem(**(fields | changes))  # type: ignore[arg-type]


def test_a_problem_is_one_clickable_line() -> None:
    """File, line and column come first, as editors read them."""
    assert "fleet.yaml:3:5 a.b: wrong" == str(a_problem())


def test_a_problem_of_the_whole_file_names_the_file_alone() -> None:
    """There is no line to point to."""
    assert "fleet.yaml: wrong" == str(a_problem(line=None, column=None, path=""))


def test_the_error_tells_every_problem_with_its_hint() -> None:
    """Who logs the error loses nothing."""
    error = SettingsError((a_problem(), a_problem(line=9, hint="do this")))

    assert "fleet.yaml:3:5 a.b: wrong\nfleet.yaml:9:5 a.b: wrong\n    hint: do this" == str(error)


def test_paths_are_written_as_in_python() -> None:
    """Keys are joined by dots, items stand in brackets."""
    assert "clusters[2].instances[0]" == path_text(("clusters", 2, "instances", 0))
    assert "" == path_text(())


def test_a_log_gets_one_line_of_at_most_so_many_mistakes() -> None:
    """Hints stand in brackets, and what was left out is counted."""
    error = SettingsError((a_problem(hint="do this"), *(a_problem(line=n) for n in range(20))))

    assert (
        "fleet.yaml:3:5 a.b: wrong (do this); fleet.yaml:0:5 a.b: wrong; and 19 more: run `ttca check`"
        == error.in_one_line(most=2)
    )
