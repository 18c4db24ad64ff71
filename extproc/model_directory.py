"""Model directories: arrays as `.npz`, everything else as a JSON manifest. No pickles, and no half-written state.

The manifest names the arrays file by its hash and is replaced last, in one step: a reader sees the old model or the new
one. Fitting writes them and the service reads them, with numpy alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from extproc.estimate.quality.features import NUMBERS
from extproc.estimate.quality.model import QualityModel, TextWeights
from extproc.facts.grams import GRAMS

FORMAT: Final = "ttca-quality"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"

_ARRAYS: Final = ("bias", "slopes", "offset", "centre", "least", "most", "number_weights")
_TEXT_ARRAYS: Final = ("weights", "scale", "rarity")
_TEXT_NUMBERS: Final = ("familiar", "novel", "alien", "novel_trust")
_MOST_BYTES: Final = 512 * 1024 * 1024
_ID_DIGITS: Final = 12

Identity = tuple[tuple[str, int, int, int, int], ...]


def save_model(model: QualityModel, directory: Path, about: Mapping[str, object]) -> None:
    """Write a model directory, replacing the model in it, if any, in one step.

    Args:
        model: What to write.
        directory: Created when it is not there.
        about: JSON-able facts for the manifest: data, metrics, settings, versions.

    Raises:
        OSError: It cannot be written; an older model stays as it was.
    """
    directory.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(model, name) for name in _ARRAYS}
    if model.text is not None:
        arrays |= {f"text_{name}": getattr(model.text, name) for name in _TEXT_ARRAYS}
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    content = packed.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "arrays": f"quality-{digest[:16]}.npz",
        "arrays_sha256": digest,
        "models": list(model.names),
        "numbers": list(NUMBERS),
        "grams": GRAMS,
        "novel_slope": model.novel_slope,
        "repeat_share": model.repeat_share,
        "text": {name: getattr(model.text, name) for name in _TEXT_NUMBERS} if model.text else None,
        "about": dict(about),
    }
    _write(directory / str(manifest["arrays"]), content)
    _write(directory / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    for stale in directory.glob("quality-*.npz"):
        if stale.name != manifest["arrays"]:
            stale.unlink(missing_ok=True)


def why_not_writable(directory: Path) -> str:
    """Say why no model can be written to `directory`, whether it is there or not; empty when one can."""
    nearest = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not nearest.is_dir():
        return f"{directory} cannot be a model directory: {nearest} is a file; name another place, or move the file away"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{directory} cannot be written: this user may not write to {nearest}"
    return ""


def identify(directory: Path) -> Identity:
    """Name, times of change in ns (of content and status), size and inode of each file; empty when there is none.

    Two identities differ when there may be something new to read.
    """
    try:
        paths = sorted((directory / MANIFEST, *directory.glob("quality-*.npz")))
        found = [(path.name, path.stat()) for path in paths]
    except OSError:
        return ()
    return tuple(
        (name, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        for name, status in found
    )


def load_model(directory: Path) -> QualityModel:
    """Read a model directory. The model's `fit_id` is the beginning of its manifest's SHA-256.

    Raises:
        ValueError: It is absent, incomplete, corrupt, or made for other features than this release's; the text says
            which.
    """
    raw = _read(directory / MANIFEST)
    manifest = _manifest(raw, f"{directory.name}/{MANIFEST}")
    content = _read(directory / Path(_text(manifest, "arrays")).name)
    if hashlib.sha256(content).hexdigest() != manifest.get("arrays_sha256"):
        raise ValueError(f"{directory.name}: the arrays are not those that the manifest was written for")
    try:
        model = _assemble(manifest, _unpacked(content))
    except (KeyError, TypeError, AttributeError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{directory.name}: incomplete model: {error}") from error
    except ValueError as error:
        raise ValueError(f"{directory.name}: {error}") from error
    return replace(model, fit_id=hashlib.sha256(raw).hexdigest()[:_ID_DIGITS])


def _unpacked(content: bytes) -> Mapping[str, npt.NDArray[np.float64]]:
    """The arrays by name; refused before it is unpacked is what would take too much memory."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > _MOST_BYTES:
        raise ValueError(f"the arrays would take {size} bytes, expected at most {_MOST_BYTES}")
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def _assemble(manifest: Mapping[str, object], arrays: Mapping[str, npt.NDArray[np.float64]]) -> QualityModel:
    text = manifest["text"]
    words = None
    if isinstance(text, dict):
        thresholds = {name: _number(text, name) for name in _TEXT_NUMBERS}
        words = TextWeights(
            weights=arrays["text_weights"].astype(np.float32),
            scale=arrays["text_scale"].astype(np.float32),
            rarity=arrays["text_rarity"].astype(np.float32),
            familiar=thresholds["familiar"],
            novel=thresholds["novel"],
            alien=thresholds["alien"],
            novel_trust=thresholds["novel_trust"],
        )
    names = manifest["models"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("models: expected a list of names")
    return QualityModel(
        names=tuple(names),
        text=words,
        novel_slope=_number(manifest, "novel_slope"),
        repeat_share=_number(manifest, "repeat_share"),
        bias=_plain(arrays["bias"]),
        slopes=_plain(arrays["slopes"]),
        offset=_plain(arrays["offset"]),
        centre=_plain(arrays["centre"]),
        least=_plain(arrays["least"]),
        most=_plain(arrays["most"]),
        number_weights=_plain(arrays["number_weights"]),
    )


def _plain(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return array.astype(np.float64)


def _manifest(raw: bytes, where: str) -> Mapping[str, object]:
    try:
        manifest = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{where}: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{where}: not the manifest of a quality model")
    expected = {"version": VERSION, "numbers": list(NUMBERS), "grams": GRAMS}
    for key, value in expected.items():
        if manifest.get(key) != value:
            raise ValueError(
                f"{where}: `{key}` is {manifest.get(key)!r:.80}, expected {value!r:.80}; fit it again"
            )
    return manifest


def _read(path: Path) -> bytes:
    where = f"{path.parent.name}/{path.name}"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{where}: larger than {_MOST_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{where}: {error.strerror}") from error


def _text(manifest: Mapping[str, object], key: str) -> str:
    value = manifest.get(key)
    if not isinstance(value, str):
        raise ValueError(f"manifest: `{key}`: expected a string, got {value!r:.40}")
    return value


def _number(manifest: Mapping[str, object], key: str) -> float:
    value = manifest.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"manifest: `{key}`: expected a number, got {value!r:.40}")
    return float(value)


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
