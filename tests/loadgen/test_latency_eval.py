from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from extproc.fleet.load import LoadBook
from loadgen.calibration.measured import LoadPoint
from loadgen.engine.core import Engine
from loadgen.latency_eval import __main__ as command
from loadgen.latency_eval import studies
from loadgen.latency_eval.points import point_errors, staggered
from loadgen.latency_eval.replay import replay, usual_length
from loadgen.latency_eval.report import render
from loadgen.latency_eval.rivals import Ended, Guess, Moment, Ours, RouteBalance, Static
from loadgen.latency_eval.routing import routed_latencies, scaled
from loadgen.latency_eval.scores import median_interval, score_total
from loadgen.latency_eval.simulated import SLOTS, Arrivals, engine_config, one_after_another, simulated_trace
from loadgen.latency_eval.trace import A100_8B, ANY, MEDIAN_OUTPUT, TimedRequest, Trace, fleet_of


class Witness:
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.moments: list[Moment] = []

    def predict(self, moment: Moment) -> Guess:
        self.told.append(("arrived", moment.number))
        self.moments.append(moment)
        return Guess(ttft_seconds=1.0, total_seconds=1.0)

    def learn(self, moment: Moment, ended: Ended) -> None:
        self.told.append(("ended", moment.number))


def trace_of(*times: tuple[float, float], address: str = "10.0.0.1:8000", instances: int = 1) -> Trace:
    """Requests that arrive at and take so many seconds, of 100 prompt and 50 output tokens."""
    return Trace(
        name="trace",
        requests=tuple(
            TimedRequest(
                address=address,
                arrival=arrival,
                prompt_tokens=100,
                output_tokens=50,
                ttft_seconds=total / 10,
                total_seconds=total,
            )
            for arrival, total in times
        ),
        fleet=fleet_of(A100_8B, instances, 4),
    )


def test_nothing_is_known_before_it_happened() -> None:
    """A request is predicted at its arrival and learned at its end, in the order of time."""
    witness = Witness()

    replay(trace_of((0.0, 10.0), (1.0, 1.0), (5.0, 1.0)), {"witness": witness})

    assert [
        ("arrived", 0),
        ("arrived", 1),
        ("ended", 1),
        ("arrived", 2),
        ("ended", 2),
        ("ended", 0),
    ] == witness.told


def test_the_load_is_what_is_in_flight() -> None:
    """The snapshot of an arrival holds those that came before and have not ended."""
    witness = Witness()

    replay(trace_of((0.0, 10.0), (1.0, 1.0), (5.0, 1.0)), {"witness": witness})

    assert [0.0, 1.0, 1.0] == [float(moment.snapshot.sequences[0]) for moment in witness.moments]


def test_unrecorded_instances_share_the_load() -> None:
    """Where it is not known who served, every prediction is made on the mean instance."""
    witness = Witness()

    replay(trace_of((0.0, 10.0), (1.0, 10.0), (2.0, 10.0), address=ANY, instances=2), {"witness": witness})

    assert [0.0, 0.5, 1.0] == [float(moment.snapshot.sequences[moment.row]) for moment in witness.moments]


def test_usual_length_is_the_median_of_what_ended() -> None:
    """Before enough answers have ended it is the median of a public trace."""
    request = trace_of((0.0, 1.0)).requests[0]

    assert usual_length(request, [10] * 5) == MEDIAN_OUTPUT
    assert 30.0 == usual_length(request, [10] * 10 + [30] * 15)


def test_routebalance_queues_only_at_a_full_instance() -> None:
    """T = TPOT · L while a slot is free, TPOT · (d / b + L) from then on."""
    witness = Witness()
    replay(trace_of(*((0.0, 100.0 + n) for n in range(6))), {"witness": witness})
    free, full = witness.moments[0], witness.moments[5]

    form = RouteBalance(learns=False)

    tpot = A100_8B.iteration_base_seconds + A100_8B.iteration_per_sequence_seconds
    assert form.predict(free).total_seconds == pytest.approx(tpot * 50)
    tpot += 4 * A100_8B.iteration_per_sequence_seconds
    expected = tpot * (full.pending_decode_tokens / 4 + 50)
    assert form.predict(full).total_seconds == pytest.approx(expected)


def test_a_right_prior_predicts_a_lone_request_exactly() -> None:
    """On idle engines of the declared speed the static form is the engine's own arithmetic."""
    arrivals = Arrivals.poisson(20, 0.02, seed=1)
    trace = simulated_trace("slow", prior=A100_8B, speeds=[A100_8B], arrivals=arrivals)

    guesses = replay(trace, {"static": Static()})["static"]

    errors = [
        abs(guess.total_seconds / request.total_seconds - 1.0)
        for guess, request in zip(guesses, trace.requests, strict=True)
        if request.prompt_tokens <= 2048
    ]
    assert np.median(errors) < 0.001


def test_learning_mends_a_wrong_prior() -> None:
    """Half the declared speed: after 200 requests the error is a fraction of what it was."""
    arrivals = Arrivals.poisson(400, 8.0, seed=1)
    trace = simulated_trace("x", prior=scaled(A100_8B, 0.5), speeds=[A100_8B] * 4, arrivals=arrivals)

    said = replay(trace, {"static": Static(), "ours": Ours(LoadBook(trace.fleet).table)})

    static, ours = (score_total(said[name][200:], trace.requests[200:], 0) for name in ("static", "ours"))
    assert static.median > 0.4
    assert ours.median < 0.12
    assert 0.75 < ours.coverage <= 1.0


def test_traces_can_follow_one_another() -> None:
    """The second trace starts when the first one has ended, with the same latencies."""
    first, second = trace_of((0.0, 10.0)), trace_of((1.0, 2.0))

    both = one_after_another(first, second)

    assert [0.0, 11.0] == [request.arrival for request in both.requests]
    assert 2.0 == both.requests[1].total_seconds


def test_a_router_that_learns_mends_speeds_declared_the_wrong_way_round() -> None:
    """Mean latency with learning is clearly below that of a router that believes the fleet file."""
    true = [A100_8B, scaled(A100_8B, 3.0)]
    means = []
    for learns in (False, True):
        engines = [Engine(engine_config(speed)) for speed in true for _ in range(2)]
        fleet = studies.two_clusters(true[::-1])
        totals = routed_latencies(fleet, engines, Arrivals.poisson(600, 8.0, seed=2), learns=learns)
        means.append(float(np.mean(totals)))

    assert SLOTS == fleet.clusters[0].max_num_seqs
    assert means[1] < 0.9 * means[0]


def test_loads_are_predicted_before_they_are_learned() -> None:
    """The first load of each order is predicted from the prior alone, whatever the engine."""
    points = [LoadPoint(1000, 100, concurrency, 0.1, 0.02) for concurrency in (1, 2, 4, 8, 16, 32)]

    errors = point_errors({"engine": points}, {"ours": Ours}, backlog=staggered, seed=0)["ours"]["engine"]

    assert (5, 6, 2) == errors.shape
    assert errors[:, 0, 1].mean() > errors[:, -1, 1].mean()


def test_intervals_hold_the_median() -> None:
    """The bootstrap interval lies around the sample's median and narrows with the sample."""
    rng = np.random.default_rng(0)
    widths = []
    for count in (100, 10_000):
        errors = rng.exponential(1.0, count)
        low, high = median_interval(errors, block=25, seed=0)
        assert low <= np.median(errors) <= high
        widths.append(high - low)

    assert widths[1] < widths[0] / 3


def test_without_data_the_document_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The simulated studies run, their figures are written, and the output says what is missing."""
    monkeypatch.setattr(command, "data_folder", lambda _environ: None)
    monkeypatch.setattr(command, "evaluate", lambda folder, seed: {"seen": [folder is None, seed]})

    status = command.main(
        ["--seed", "3", "--out", str(tmp_path / "a" / "b.json"), "--doc", str(tmp_path / "d.md")]
    )

    assert 0 == status
    assert [True, 3] == json.loads((tmp_path / "a" / "b.json").read_text(encoding="utf-8"))["seen"]
    assert not (tmp_path / "d.md").exists()
    assert "no data folder" in capsys.readouterr().out


def test_the_report_shows_every_study_that_ran() -> None:
    """Small studies render to tables without a hole."""
    result = {
        "simulated": studies.simulated(0, requests=60),
        "wrong priors": studies.wrong_priors(0, requests=600),
        "changes": studies.changes(0, requests=600),
        "routing": studies.routing(0, requests=60, seeds=1),
        "compute": {"16": {"predict": 1.0, "learn": 2.0}},
    }

    text = render(result, seed=0, seconds=1.0)

    assert "nan" not in text
    for heading in ("Simulated engines", "From a wrong prior", "What it is worth to a router", "Compute"):
        assert f"## {heading}" in text
