"""From a path to settings, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from extproc.settings.consistency import find_inconsistencies
from extproc.settings.document import Document, parse_document
from extproc.settings.document import Path as PlaceInTree
from extproc.settings.problems import Problem, SettingsError, path_text
from extproc.settings.schema import Settings
from extproc.settings.translate import Complaint, complaints_of, shown

_LARGEST_FILE_BYTES = 8 * 1024 * 1024


def load_settings(path: Path) -> Settings:
    """Read, parse and check a fleet file.

    Raises:
        SettingsError: The file cannot be used. It carries every mistake that was found.
    """
    return parse_settings(_read(path), path)


def parse_settings(text: str, path: Path) -> Settings:
    """Parse and check the text of a fleet file; the path only names it in messages.

    Raises:
        SettingsError: The text cannot be used. It carries every mistake that was found.
    """
    document = parse_document(text)
    problems = [
        Problem(
            file=path,
            line=defect.mark.line,
            column=defect.mark.column,
            path=path_text(defect.path),
            message=defect.message,
            hint=defect.hint,
        )
        for defect in document.defects
    ]
    settings, complaints = _validate(document)
    # Without a single value the YAML's own mistake says it all.
    if document.values is not None or not problems:
        problems.extend(_placed(complaint, document, path) for complaint in complaints)
    if problems:
        raise SettingsError(tuple(sorted(problems, key=lambda item: (item.line or 0, item.column or 0))))
    if settings is None:  # pragma: no cover - no settings without a complaint
        raise AssertionError
    return settings


def _validate(document: Document) -> tuple[Settings | None, list[Complaint]]:
    tree = document.values
    if tree is None:
        return None, [Complaint((), "the file is empty", "start from envoy/fleet.yaml")]
    if not isinstance(tree, dict):
        return None, [Complaint((), f"got {shown(tree)}, expected a mapping", "start from envoy/fleet.yaml")]
    complaints = find_inconsistencies(tree)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        return None, complaints_of(error) + complaints
    return settings, complaints


def _placed(complaint: Complaint, document: Document, file: Path) -> Problem:
    mark = document.mark(complaint.path)
    return Problem(
        file=file,
        line=mark.line if mark is not None else None,
        column=mark.column if mark is not None else None,
        path=path_text(complaint.path),
        message=complaint.message,
        hint="; ".join(part for part in (_whereabouts(complaint.other, document), complaint.hint) if part),
    )


def _whereabouts(other: PlaceInTree | None, document: Document) -> str:
    """Say on which line the other place stands; nothing when the text does not hold it."""
    mark = document.marks.get(other) if other is not None else None
    return f"{path_text(other)} is on line {mark.line}" if mark is not None and other is not None else ""


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise SettingsError(
            (_whole_file(path, message, "is the path right, and may this user read it?"),)
        ) from error
    if len(content) > _LARGEST_FILE_BYTES:
        raise SettingsError(
            (_whole_file(path, f"larger than {_LARGEST_FILE_BYTES} bytes", "is it a fleet file?"),)
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at byte {error.start}"
        raise SettingsError((_whole_file(path, message, "save the file as UTF-8"),)) from error


def _whole_file(path: Path, message: str, hint: str) -> Problem:
    return Problem(file=path, line=None, column=None, path="", message=message, hint=hint)
