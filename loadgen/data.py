"""Where the recorded traffic lies on this machine, if it lies here at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

VARIABLE = "TTCA_DATA"
"""Environment variable that names the data folder."""

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


def data_folder(environ: Mapping[str, str], *, default: Path = _DEFAULT) -> Path | None:
    """Find the folder of recorded data: `TTCA_DATA`, else `../shared/data` beside the repository.

    Returns:
        The folder, or None when the variable is unset or empty and the default is not there.

    Raises:
        FileNotFoundError: `TTCA_DATA` names something that is not a folder. A path that was asked for and is
            missing is a mistake, unlike a default that is missing.
    """
    if named := environ.get(VARIABLE):
        folder = Path(named)
        if not folder.is_dir():
            raise FileNotFoundError(f"{VARIABLE}={named} is not a folder; unset it to use fitted generators")
        return folder
    return default if default.is_dir() else None
