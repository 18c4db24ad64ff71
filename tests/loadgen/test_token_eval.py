from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from extproc.facts.text import Category, TextProfile, profile_text
from loadgen import token_eval
from loadgen.token_fit import fit_priors, fit_tokens_per_byte
from loadgen.token_rivals import FixedRatio, OurEstimate, PaperRatio, ShippedRatio, TokenEstimator
from loadgen.token_samples import VOCABULARIES, Sample, read_samples
from loadgen.token_trials import (
    Document,
    Misroutes,
    converge,
    documents,
    interval,
    misroutes,
    output_coverage,
    stream,
)

WORDS = "The reader of this letter will find the answer to the question at the end of the last section. "
TEXT = TextProfile(((Category.ENGLISH, 1000),))


def sample(number: int, group: str = "English prose") -> Sample:
    """A text that costs a fifth of a token per byte in every vocabulary."""
    text = WORDS * (number % 5 + 1) + str(number)
    profile = profile_text([text])
    tokens = dict.fromkeys(VOCABULARIES, round(len(text) / 5))
    return Sample(group=group, text=text, profile=profile, tokens=tokens, is_held_out=bool(number % 2))


def write_data(folder: Path) -> None:
    """A small data folder in the form of the recorded one."""
    rows, texts = [], []
    for number in range(240):
        kind, language = (("crux_code", "py"), ("alpaca_eval", "en"), ("udhr_par", "sw"))[number % 3]
        text = sample(number).text
        text_id = f"{kind}/{language}/{number}"
        counts = dict.fromkeys(VOCABULARIES, round(len(text) / 4.4))
        rows.append({"text_id": text_id, "kind": kind, "language": language, "has_text": "1", **counts})
        texts.append({"text_id": text_id, "text": text})
    (folder / "tokens").mkdir()
    (folder / "traffic").mkdir()
    (folder / "latency").mkdir()
    with gzip.open(folder / "tokens" / "byte_token_counts.csv.gz", "wt") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with gzip.open(folder / "tokens" / "texts.jsonl.gz", "wt") as lines:
        lines.writelines(json.dumps(text) + "\n" for text in texts)
    with gzip.open(folder / "traffic" / "azure_conv.csv.gz", "wt") as table:
        table.write("output_tokens\n" + "100\n300\n" * 20)
    with gzip.open(folder / "traffic" / "mooncake_conversation.jsonl.gz", "wt") as lines:
        lines.write('{"output_tokens": 50}\n' * 40)
    with gzip.open(folder / "latency" / "llmservingsim_requests.csv.gz", "wt") as table:
        table.write("model,output_tokens\n" + "tiny,70\n" * 40)


def test_the_fixed_ratio_never_learns() -> None:
    """Four bytes per token, whatever was observed."""
    fixed = FixedRatio()
    fixed.learn(TEXT, 500)
    assert (250, 250) == fixed.predict(TEXT)


def test_the_papers_ratio_moves_by_a_twentieth() -> None:
    """Decay 0.95 from 4 bytes per token; the conservative ratio is one deviation lower."""
    paper = PaperRatio()
    paper.learn(TEXT, 500)
    mean = 0.95 * 4 + 0.05 * 2
    deviation = (0.95 * 0.05 * 2 * 2) ** 0.5
    assert (np.ceil(1000 / mean), np.ceil(1000 / (mean - deviation))) == paper.predict(TEXT)


def test_the_shipped_ratio_waits_for_ten_samples() -> None:
    """Static before, then the first sample's ratio; the conservative one follows shortfalls almost at once."""
    shipped = ShippedRatio()
    for _ in range(9):
        shipped.learn(TEXT, 500)
    assert (250, 250) == shipped.predict(TEXT)
    shipped.learn(TEXT, 500)
    assert (500, 500) == shipped.predict(TEXT)
    shipped.learn(TEXT, 1000)
    tokens, upper = shipped.predict(TEXT)
    assert 502 == tokens
    assert np.ceil(1000 / (2 - 0.9)) == upper


def test_the_fit_finds_the_ratio_that_made_the_data() -> None:
    """Tokens that are a fifth of the bytes are fitted as such, and unseen categories get the guess."""
    samples = [sample(number) for number in range(100)]
    fit = fit_tokens_per_byte(samples)["cl100k"]
    size = sum(fit[category] * count for category, count in samples[0].profile.bytes_by_category)
    assert pytest.approx(samples[0].tokens["cl100k"], rel=0.05) == size
    priors = fit_priors(samples)
    assert 0.4 == priors[Category.HAN].tokens_per_unit


def test_a_text_is_predicted_before_it_is_learned() -> None:
    """The first prediction of a stream is that of a cold estimator."""
    samples = [sample(number) for number in range(20)]
    seen = stream(PaperRatio(), samples, range(20), "llama3", learn=True)
    cold = stream(PaperRatio(), samples, range(20), "llama3", learn=False)
    assert cold.expected[0] == seen.expected[0]
    assert seen.error()[10:].mean() < cold.error()[10:].mean()


def test_the_interval_holds_the_mean() -> None:
    """A bootstrap interval is around the mean and has width."""
    found = interval(np.arange(100, dtype=float), np.random.default_rng(1))
    assert found.low < found.mean == 49.5 < found.high


def test_converge_skips_groups_that_are_too_small() -> None:
    """A group needs texts to learn from and as many to be tested on."""
    samples = [sample(number) for number in range(120)] + [sample(number, "few") for number in range(20)]
    found = converge({"ours": OurEstimate}, samples, np.random.default_rng(0))
    assert ["English prose"] == list(found)
    assert found["English prose"]["ours"][0] < 0.05


def test_misroutes_tells_both_directions_apart() -> None:
    """A prompt over the limit taken for short, and one under it taken for long."""
    estimators: dict[str, TokenEstimator] = {"o200k": FixedRatio()}
    small = TextProfile(((Category.HAN, 4 * 8000),))
    large = TextProfile(((Category.HAN, 4 * 9000),))
    made = [
        Document(small, {"o200k": 9000}),
        Document(large, {"o200k": 8000}),
        Document(large, {"o200k": 9000}),
        Document(small, {"o200k": 8000}),
    ]
    assert Misroutes(0.25, 0.25) == misroutes(estimators, made, upper=False)


def test_documents_have_the_size_that_was_drawn() -> None:
    """Long prompts lie between the bounds, give or take one text."""
    made = documents(
        [sample(number, f"group {number % 4}") for number in range(40)], np.random.default_rng(0)
    )
    sizes = [document.profile.total_bytes for document in made]
    assert 3_500 < min(sizes)
    assert max(sizes) < 245_000
    assert min(sizes) < 8_000
    assert max(sizes) > 100_000


def test_output_coverage_is_near_the_quantile() -> None:
    """Nine tenths of evenly spread lengths lie within the 0.9 quantile once it is learned."""
    lengths = [100 + number * 37 % 401 for number in range(3000)]
    share, provided = output_coverage(lengths, [0.9])[0.9]
    assert pytest.approx(0.9, abs=0.04) == share
    assert 400 < provided < 520


def test_without_data_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program says that it evaluated nothing, and fails."""
    monkeypatch.setattr(token_eval, "data_folder", lambda environ: None)
    doc = tmp_path / "doc.md"
    assert 1 == token_eval.main(["--doc", str(doc), "--out", str(tmp_path / "out.json")])
    assert "Nothing was evaluated" in capsys.readouterr().out
    assert not doc.exists()


def test_evaluates_a_data_folder_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files are written, with a row for each estimator and the figures where they belong."""
    write_data(tmp_path)
    assert 240 == len(read_samples(tmp_path))
    monkeypatch.setenv("TTCA_DATA", str(tmp_path))
    doc, out = tmp_path / "docs" / "token.md", tmp_path / "out" / "token.json"
    assert 0 == token_eval.main(["--seed", "3", "--doc", str(doc), "--out", str(out)])
    result = json.loads(out.read_text())
    assert ["4 bytes/token", "paper", "authors' code", "this service"] == list(result["online"])
    assert result["online"]["this service"]["all"]["mape"]["mean"] < 0.2
    assert 3 == result["seed"]
    text = doc.read_text()
    assert "--seed 3" in text
    assert "| **this service** | **all** |" in text
