"""The offline checker's look at the fitted quality model that a fleet file names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from extproc.model_directory import load_model
from extproc.settings import Problem, Settings
from extproc.settings.document import parse_document

_PLACE: Final = ("quality", "model_directory")


def model_problem(settings: Settings, path: Path) -> Problem | None:
    """Say what is wrong with the model directory; None when there is none, or it can be used."""
    directory = settings.quality.model_directory
    if directory is None:
        return None
    try:
        load_model(Path(directory))
    except ValueError as error:
        mark = parse_document(path.read_text(encoding="utf-8")).mark(_PLACE)
        return Problem(
            file=path,
            line=mark.line if mark else None,
            column=mark.column if mark else None,
            path=".".join(_PLACE),
            message=f"{directory} cannot be used: {error}",
            hint="the service would go on with the model before it, or with priors; write it again with `ttca fit`",
        )
    return None


def unfitted_models(settings: Settings) -> Iterator[str]:
    """Warn of models that the fit does not know although there is one."""
    if settings.quality.model_directory is None:
        return
    model = load_model(Path(settings.quality.model_directory))
    unknown = sorted({cluster.model for cluster in settings.clusters if not model.knows(cluster.model)})
    if unknown:
        yield (
            f"the model in {settings.quality.model_directory} was not fitted for {', '.join(unknown)}: "
            "they start from quality_prior"
        )
