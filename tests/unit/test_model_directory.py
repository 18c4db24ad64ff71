from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from extproc.estimate.quality.features import describe
from extproc.estimate.quality.model import QualityModel
from extproc.estimate.quality.priors import prior_model
from extproc.facts.grams import hash_grams
from extproc.facts.text import profile_text
from extproc.model_directory import MANIFEST, identify, load_model, save_model


@pytest.fixture
def fitted(make_quality_model: Callable[..., QualityModel]) -> QualityModel:
    return make_quality_model(("weak", "strong"), (-1.0, 1.0), good_words="river", bad_words="lemma")


def change(directory: Path, **values: object) -> None:
    manifest = orjson.loads((directory / MANIFEST).read_bytes())
    (directory / MANIFEST).write_bytes(orjson.dumps({**manifest, **values}))


def test_a_model_comes_back_as_it_was(fitted: QualityModel, tmp_path: Path) -> None:
    """Chances before and after the disk are the same, failures included."""
    save_model(fitted, tmp_path / "model", {"note": "any"})
    loaded = load_model(tmp_path / "model")
    for words in ("river", "lemma", "of the river, a lemma", "1 + 1", ""):
        prompt = describe(text=profile_text([words]), grams=hash_grams([words]))
        asked = (prompt, ["weak", "new", "strong"], ["weak"])
        assert np.array_equal(fitted.chances(*asked), loaded.chances(*asked))


def test_a_model_without_words_comes_back(tmp_path: Path) -> None:
    """The model that knows no model can be stored, too."""
    save_model(prior_model(), tmp_path, {})
    assert load_model(tmp_path).text is None


def test_a_new_model_replaces_the_old_one_and_its_arrays(fitted: QualityModel, tmp_path: Path) -> None:
    """One manifest and one file of arrays are left."""
    save_model(fitted, tmp_path, {})
    save_model(prior_model(), tmp_path, {})
    assert () == load_model(tmp_path).names
    assert 2 == len(list(tmp_path.iterdir()))


def test_nothing_is_pickled(fitted: QualityModel, tmp_path: Path) -> None:
    """The arrays load with pickles forbidden."""
    save_model(fitted, tmp_path, {})
    with np.load(next(tmp_path.glob("*.npz")), allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind == "f" for name in arrays.files)


def test_an_absent_directory_is_refused(tmp_path: Path) -> None:
    """The complaint names the file that is not there."""
    with pytest.raises(ValueError, match="No such file"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"version": 99}, "version"),
        ({"format": "something else"}, "not the manifest"),
        ({"numbers": ["length"]}, "numbers"),
        ({"grams": 12}, "grams"),
        ({"arrays": 3}, "arrays"),
        ({"arrays_sha256": "0" * 64}, "not those"),
        ({"models": "weak"}, "models"),
        ({"models": ["weak"]}, "shape"),
        ({"novel_slope": None}, "novel_slope"),
        ({"text": {"familiar": 0.1}}, "novel"),
    ],
)
def test_a_mismatched_manifest_is_refused(
    fitted: QualityModel, tmp_path: Path, values: dict[str, object], complaint: str
) -> None:
    """Another version, other features, other arrays: each is a value error that says which."""
    save_model(fitted, tmp_path, {})
    change(tmp_path, **values)
    with pytest.raises(ValueError, match=complaint):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_corrupt_manifest_is_refused(fitted: QualityModel, tmp_path: Path, content: bytes) -> None:
    """What is no JSON object is a value error."""
    save_model(fitted, tmp_path, {})
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ValueError, match="manifest"):
        load_model(tmp_path)


def test_truncated_arrays_are_refused(fitted: QualityModel, tmp_path: Path) -> None:
    """Half a file is not the file that the manifest was written for."""
    save_model(fitted, tmp_path, {})
    path = next(tmp_path.glob("*.npz"))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="not those"):
        load_model(tmp_path)


def test_a_manifest_cannot_point_outside_its_directory(fitted: QualityModel, tmp_path: Path) -> None:
    """Only the name of the arrays' file counts, never its folder."""
    inner = tmp_path / "inner"
    save_model(fitted, inner, {})
    path = next(inner.glob("*.npz"))
    path.rename(tmp_path / path.name)
    change(inner, arrays=f"../{path.name}")
    with pytest.raises(ValueError, match="No such file"):
        load_model(inner)


def test_a_fit_is_told_from_another_by_its_id(fitted: QualityModel, tmp_path: Path) -> None:
    """The same directory twice is the same fit; another model, or the same one fitted to other data, is another."""
    ids = []
    for model, about in [(fitted, {}), (fitted, {}), (fitted, {"data": "new"}), (prior_model(), {})]:
        save_model(model, tmp_path, about)
        ids.append(load_model(tmp_path).fit_id)

    assert ids[0] == ids[1]
    assert 3 == len(set(ids))
    assert all(len(fit_id) == 12 for fit_id in ids)


def test_arrays_that_would_fill_the_memory_are_refused(
    fitted: QualityModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a small file claims to unpack to is looked at before it is unpacked."""
    save_model(fitted, tmp_path, {})
    size = next(tmp_path.glob("*.npz")).stat().st_size
    monkeypatch.setattr("extproc.model_directory._MOST_BYTES", 2 * size)

    with pytest.raises(ValueError, match="would take"):
        load_model(tmp_path)


def test_a_directory_is_identified_by_its_files(fitted: QualityModel, tmp_path: Path) -> None:
    """No manifest is no identity; each way of writing anew is another one; foreign files do not count."""
    assert () == identify(tmp_path)
    save_model(fitted, tmp_path, {})
    before = identify(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert before == identify(tmp_path)
    save_model(fitted, tmp_path, {"note": "again"})
    assert before != identify(tmp_path)
