from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from extproc.estimate.quality.features import NUMBERS, PromptFeatures
from extproc.fit import design as designs
from extproc.fit.design import LEAST_DOCUMENTS, WORD_SCALE, gram_matrix, learn_design
from extproc.fit.table import OutcomeTable

MakeTable = Callable[..., OutcomeTable]


def test_numbers_come_first_and_are_standardised(make_table: MakeTable) -> None:
    """Columns of numbers have mean 0 and about the same spread; those that never vary are left out."""
    prompts = make_table(120).prompts
    columns = learn_design(prompts, 4, 0).matrix(prompts)[:, : len(NUMBERS)]
    assert np.allclose(0.0, columns.mean(axis=0), atol=1e-9)
    spread = columns.std(axis=0)
    assert ((spread < 1e-12) | ((spread > 0.8) & (spread <= 1.0))).all()
    assert 0.0 == spread[NUMBERS.index("images")]


def test_prompts_are_rows_of_length_one(make_table: MakeTable) -> None:
    """Words weigh by rarity, and every prompt weighs the same."""
    prompts = make_table(60).prompts
    rows = learn_design(prompts, 4, 0).words(gram_matrix(prompts))
    assert np.allclose(1.0, np.asarray(rows.multiply(rows).sum(axis=1)))


def test_no_words_make_no_directions() -> None:
    """Prompts known by their length alone have numbers only."""
    prompts = [PromptFeatures((float(size), *(0.0,) * (len(NUMBERS) - 1))) for size in range(40)]
    assert (40, len(NUMBERS)) == learn_design(prompts, 8, 0).matrix(prompts).shape


def test_directions_do_not_depend_on_the_run(make_table: MakeTable) -> None:
    """The same prompts and seed give the same design."""
    prompts = make_table(80).prompts
    first, second = (learn_design(prompts, 6, 3).matrix(prompts) for _ in range(2))
    assert np.array_equal(first, second)


def test_few_prompts_keep_all_that_their_words_say(make_table: MakeTable) -> None:
    """With directions enough, prompts are as alike as by the words that more than one of them has."""
    prompts = make_table(90).prompts
    design = learn_design(prompts, 384, 0)
    words = design.words(gram_matrix(prompts)).toarray() * (design.documents >= LEAST_DOCUMENTS)
    columns = design.matrix(prompts)[:, len(NUMBERS) :] / WORD_SCALE
    assert 45 < columns.shape[1] <= 90
    assert np.allclose(words @ words.T, columns @ columns.T, atol=1e-4)


def test_a_prompt_asked_twice_adds_no_direction(make_table: MakeTable) -> None:
    """Directions are orthonormal, and none of them is rounding."""
    prompts = make_table(40).prompts
    once, twice = learn_design(prompts, 384, 0), learn_design([*prompts, *prompts], 384, 0)
    assert twice.directions.shape[1] <= len(prompts) < 2 * len(prompts)
    for directions in (once.directions, twice.directions):
        assert np.allclose(np.eye(directions.shape[1]), directions.T @ directions, atol=1e-6)


def test_many_prompts_are_sampled_to_about_the_same_directions(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The strongest directions span the same space, found exactly or by sampling."""
    prompts = make_table(120).prompts
    exact = learn_design(prompts, 3, 0).directions
    monkeypatch.setattr(designs, "EXACT", 0)
    sampled = learn_design(prompts, 3, 0).directions
    assert exact.shape == sampled.shape
    overlap = np.linalg.svd(exact.T @ sampled, compute_uv=False)
    assert overlap[0] > 0.999
    assert 0.9 < overlap.min() <= 1.0 + 1e-9


def test_many_prompts_get_fewer_directions(make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the work that is allowed, directions fall off, but not below the least."""
    prompts = make_table(200).prompts
    monkeypatch.setattr(designs, "LEAST_RANK", 5)
    for work, expected in ((200 * 20, 20), (200, 5)):
        monkeypatch.setattr(designs, "WORK", work)
        assert expected == learn_design(prompts, 384, 0).directions.shape[1]
