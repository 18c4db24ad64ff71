from __future__ import annotations

from collections.abc import Callable

import numpy as np

from extproc.estimate.quality.features import NUMBERS, PromptFeatures
from extproc.fit.design import gram_matrix, learn_design
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
