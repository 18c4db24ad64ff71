"""Time to the first token and to the last one on each instance, with intervals, learned online.

    ttft  = overhead + (prompt + backlog + crowd) / R + wait for a slot + 1.5 iterations
    total = ttft + (output - 1) iterations,      one iteration = W + H · sequences + interference · sequences beside

The one and a half iterations are the mean rest of the one under way and the first own one. A running sequence is
replaced once per answer's length, and every newcomer's prompt holds up the iterations in which it is prefilled: the
interference of one neighbour is the mean prompt over R and the mean answer's tokens. The crowd are prompts beside that
the load book takes for prefilled and are not. W, H, R, the overhead and the weights of the other parts belong to a
cluster (`latency_filter.LatencyLaw`) and start at the fleet file's speed; each instance has a factor to its cluster's
TTFT and one to its decoding, 1 for an instance never seen.
"""

from __future__ import annotations

import math

import numpy as np

from extproc.estimate.congestion import social_seconds
from extproc.estimate.latency_cluster import ClusterLatency, InstanceLatency, Lesson
from extproc.estimate.latency_filter import LEVELS, Part
from extproc.estimate.latency_parts import (
    Column,
    columns_of,
    prior_seconds,
    units_of_decoding,
    units_to_first,
)
from extproc.estimate.latency_records import LatencyPrediction, LoadAtDecision
from extproc.estimate.latency_upper import UpperFactors
from extproc.estimate.stored import as_name, as_object, as_version
from extproc.fleet.snapshot import FleetSnapshot, FleetTable, Floats, Ints
from extproc.fleet.topology import Speed

STATE_VERSION = 1

RESIDUAL_SHARE = 0.5
"""Mean share of a running sequence's output that is still to come, seen at a random moment."""

LEAST_DECODE_SHARE = 1 / 8
"""Decoding faster than this share of the prior's W is an answer that was not streamed: its first byte came last."""

DEFAULT_QUANTILE = 0.95

MOST_QUANTILES = 8
"""Quantiles that are kept ready by row; asking for more of them recomputes."""

MOST_CLUSTERS = 256
MOST_INSTANCES = 4096
"""Clusters and instances that are remembered; who learned least recently is forgotten first."""

SHOW_UPPER_EVERY = 8
SHOW_UPPER_ALWAYS = 200
"""Quantiles are read off again at every observation of a young cluster, else at each of these."""


class LatencyEstimator:
    """Latencies by instance, calibrated online from finished requests.

    Args:
        table: The fleet; replaced by `replace_fleet`, or by predicting on a snapshot of another one.
    """

    def __init__(self, table: FleetTable) -> None:
        self._clusters: dict[str, ClusterLatency] = {}
        self._instances: dict[str, InstanceLatency] = {}
        self._learned = 0
        self.replace_fleet(table)

    def replace_fleet(self, table: FleetTable) -> None:
        """Take over another fleet; what was learned of clusters and instances is kept by name and address."""
        self._table = table
        self._rows_by_cluster = {
            cluster.name: np.array(
                [table.row_by_address[i.address] for i in cluster.instances], dtype=np.int64
            )
            for cluster in table.fleet.clusters
        }
        for cluster in table.fleet.clusters:
            found = self._clusters.get(cluster.name)
            prior = prior_seconds(cluster.speed)
            if found is None:
                self._clusters[cluster.name] = ClusterLatency(prior)
            else:
                found.rebase(prior)
        self._forget()
        self._lay_out()

    def _forget(self) -> None:
        for name in [name for name in self._clusters if name not in self._rows_by_cluster]:
            if len(self._clusters) <= max(MOST_CLUSTERS, len(self._rows_by_cluster)):
                break
            del self._clusters[name]
        while len(self._instances) > max(MOST_INSTANCES, len(self._table)):
            del self._instances[next(iter(self._instances))]

    def _lay_out(self) -> None:
        rows = len(self._table)
        self._factors: Floats = np.ones((2, rows))
        self._columns: Floats = np.ones((len(Column), rows))
        self._columns[Column.SLOTS] = self._table.max_num_seqs
        self._upper: dict[float, Floats] = {}
        for address, row in self._table.row_by_address.items():
            self._show_instance(address, row)
        for name in self._rows_by_cluster:
            self._show_law(name)

    def _show_instance(self, address: str, row: int) -> None:
        found = self._instances.get(address)
        if found is not None and found.cluster == self._table.clusters[row].name:
            self._factors[:, row] = math.exp(found.ttft.log), math.exp(found.decode.log)

    def _show_law(self, name: str) -> None:
        """Price every column on every row of a cluster, the instances' factors included."""
        rows, cluster = self._rows_by_cluster[name], self._clusters[name]
        first, every = columns_of(cluster)
        self._columns[: Column.BASE, rows] = np.multiply.outer(first, self._factors[0, rows])
        self._columns[Column.BASE : Column.SLOTS, rows] = np.multiply.outer(every, self._factors[1, rows])
        self._columns[Column.SLOWING : Column.SLOTS, rows] = every[-2:, np.newaxis]

    def _show_upper(self, name: str, quantile: float) -> None:
        logs = self._clusters[name].log_quantiles(quantile)
        # Predictions that were made before keep the array that they know.
        shown = self._upper[quantile] = self._upper[quantile].copy()
        shown[:, self._rows_by_cluster[name]] = np.array(logs)[:, np.newaxis]

    def _upper_by_row(self, quantile: float) -> Floats:
        """Logarithms of the quantile's factors by row, TTFT first, by level of load."""
        found = self._upper.get(quantile)
        if found is None:
            if not 0.0 < quantile < 1.0:
                raise ValueError(f"quantile: expected a number between 0 and 1, got {quantile}")
            if len(self._upper) >= MOST_QUANTILES:
                self._upper.clear()
            self._upper[quantile] = np.zeros((2 * LEVELS, len(self._table)))
            for name in self._rows_by_cluster:
                self._show_upper(name, quantile)
            found = self._upper[quantile]
        return found

    # -- predicting ----------------------------------------------------------------------------------------------

    def predict(
        self,
        snapshot: FleetSnapshot,
        rows: Ints,
        *,
        prompt_tokens: float | Floats,
        output_tokens: float | Floats,
        sequences: int,
        quantile: float = DEFAULT_QUANTILE,
        output_log_spread: float | Floats = 0.0,
    ) -> LatencyPrediction:
        """Predict a request's latencies on each of `rows`.

        Args:
            snapshot: The fleet's load.
            rows: Rows of the snapshot to predict for, shape (k,).
            prompt_tokens: Prompt tokens of all sequences together, for all rows or by row.
            output_tokens: Expected output tokens of one sequence, for all rows or by row.
            sequences: Sequences that the request occupies at once.
            quantile: Share of requests that the upper figures are to hold for, between 0 and 1.
            output_log_spread: Deviation of the logarithm of the output's length around `output_tokens`, for all rows or
                by row; 0 when it is given. See the function of the same name.

        Raises:
            ValueError: `quantile` is out of range.
        """
        if snapshot.table is not self._table:
            self.replace_fleet(snapshot.table)
        alone, prefill, backlog, waiting, first_beside, base, own, each, causal, slowing, crowding, slots = (
            self._columns if rows is self._table.rows else self._columns.take(rows, axis=1)
        )
        present = self._of_rows(snapshot.sequences, rows)
        backlog_tokens = self._of_rows(snapshot.prefill_backlog_tokens, rows)
        beside = np.minimum(present, slots - min(sequences, 1.0))
        own_prefill = prefill * prompt_tokens
        ttft_alone = alone + own_prefill
        ttft = ttft_alone + backlog * backlog_tokens + first_beside * beside
        needed_tokens = prompt_tokens + sequences * output_tokens
        wait = _before_us(snapshot, rows, present + (sequences - slots), needed_tokens)
        if np.count_nonzero(wait):
            wait *= _slot_seconds(snapshot, rows, base + each * beside, beside, output_tokens)
            ttft += waiting * wait
        slowed = 1.0 + self._of_rows(snapshot.preemption_share, rows)
        iteration_alone = (base + own * sequences) * slowed
        iteration = iteration_alone + each * beside * slowed
        iterations = np.maximum(0.0, output_tokens - 1.0)
        total = ttft + iteration * iterations
        own_time = ttft + causal * (1.0 + slowing * beside) * slowed * iterations
        usual = self._of_rows(snapshot.usual_sequences, rows)
        price = social_seconds(own_time, beside * own_prefill, usual, crowding)
        return LatencyPrediction(
            ttft_seconds=ttft,
            total_seconds=total,
            upper=UpperFactors(
                logs=self._upper_by_row(quantile),
                rows=rows,
                quantile=quantile,
                output_log_spread=output_log_spread,
            ),
            caused_seconds=np.maximum(0.0, price - total),
            ttft_alone_seconds=ttft_alone,
            iteration_seconds=iteration,
            iteration_alone_seconds=iteration_alone,
            iterations=iterations,
            waiting_seconds=wait,
            sequences=present,
            backlog_tokens=backlog_tokens,
            preemption_share=slowed - 1.0,
            own_sequences=sequences,
            sequence_seconds=self._of_rows(snapshot.sequence_seconds, rows),
        )

    def _of_rows(self, figures: Floats, rows: Ints) -> Floats:
        return figures if rows is self._table.rows else figures.take(rows)

    # -- learning ------------------------------------------------------------------------------------------------

    def learn(
        self,
        address: str,
        load: LoadAtDecision,
        *,
        prompt_tokens: int,
        completion_tokens: int | None,
        ttft_seconds: float | None,
        e2e_seconds: float,
        attempts: int,
        sequences_meanwhile: float | None = None,
    ) -> bool:
        """Learn from one finished request; True when it taught something.

        Only a request that was answered by its first try teaches: of others it is not known who took the time. So does none
        with more tokens than the contexts of its sequences hold.

        Args:
            address: Instance that answered.
            load: The load that the request met there.
            prompt_tokens: As the instance reported them, else as they were estimated.
            completion_tokens: Of all answers together; None when they are not known, then only the TTFT teaches.
            ttft_seconds: To the first token; None when it is not known, as for an answer that was not streamed.
            e2e_seconds: To the last token.
            attempts: Tries that were made.
            sequences_meanwhile: Mean of the sequences beside this request while it was there; None when not known.
        """
        row = self._table.row_by_address.get(address)
        first = e2e_seconds if ttft_seconds is None else ttft_seconds
        if row is None or attempts != 1 or not 0.0 < first <= e2e_seconds < math.inf:
            return False
        cluster = self._table.clusters[row]
        # A count beyond the context is a slip of the instance, and would stay in the mean lengths for very long.
        most_tokens = cluster.max_model_len * max(1, load.own_sequences)
        if not (0 <= prompt_tokens <= most_tokens and 0 <= (completion_tokens or 0) <= most_tokens):
            return False
        iterations = _iterations(completion_tokens, load)
        if iterations is not None and ttft_seconds is not None:
            least = iterations * LEAST_DECODE_SHARE * cluster.speed.iteration_base_seconds
            ttft_seconds = None if e2e_seconds - ttft_seconds < least else ttft_seconds
        if ttft_seconds is None and iterations is None:
            return False
        learned = self._clusters[cluster.name]
        if completion_tokens is not None:
            learned.learn_lengths(prompt_tokens, completion_tokens)
        decoding, decoding_meanwhile = None, None
        if iterations is not None:
            decoding = units_of_decoding(load, load.sequences, cluster, learned) * iterations
            if sequences_meanwhile is not None:
                meanwhile = units_of_decoding(load, sequences_meanwhile, cluster, learned)
                decoding_meanwhile = meanwhile * iterations
        learned.teach(
            self._instance(address, cluster.name),
            Lesson(
                load=load,
                to_first=units_to_first(load, cluster, learned, prompt_tokens),
                decoding=decoding,
                decoding_meanwhile=decoding_meanwhile,
                iterations=iterations or 0,
                ttft_seconds=ttft_seconds,
                e2e_seconds=e2e_seconds,
            ),
            siblings=len(cluster.instances),
        )
        self._show_learned(address, row)
        return True

    def _show_learned(self, address: str, row: int) -> None:
        """Make what an instance has just taught known to predictions."""
        name = self._table.clusters[row].name
        self._show_instance(address, row)
        self._show_law(name)
        self._learned += 1
        if self._learned % SHOW_UPPER_EVERY == 0 or self._clusters[name].law.samples < SHOW_UPPER_ALWAYS:
            for quantile in self._upper:
                self._show_upper(name, quantile)

    def _instance(self, address: str, cluster: str) -> InstanceLatency:
        """What was learned of an instance, now the one that learned last."""
        found = self._instances.pop(address, None)
        if found is None or found.cluster != cluster:
            found = InstanceLatency(cluster)
        self._instances[address] = found
        self._forget()
        return found

    # -- looking at it -------------------------------------------------------------------------------------------

    def speed(self, cluster: str) -> Speed:
        """W, H and R of a cluster as learned, by the load meanwhile.

        Raises:
            KeyError: The fleet has no such cluster.
        """
        learned = self._clusters[cluster]
        causal = learned.causal_law.seconds
        return Speed(
            iteration_base_seconds=float(causal[Part.ITERATION_BASE]),
            iteration_per_sequence_seconds=float(causal[Part.ITERATION_PER_SEQUENCE]),
            prefill_tokens_per_second=1.0 / float(learned.law.seconds[Part.PREFILL]),
        )

    def factors(self, address: str) -> tuple[float, float]:
        """How many times its cluster's TTFT and decoding an instance takes.

        Raises:
            KeyError: The fleet has no such instance.
        """
        ttft, decode = self._factors[:, self._table.row_by_address[address]].tolist()
        return ttft, decode

    # -- keeping -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned, for `restore`."""
        return {
            "version": STATE_VERSION,
            "clusters": {name: cluster.state() for name, cluster in self._clusters.items()},
            "instances": {address: instance.state() for address, instance in self._instances.items()},
        }

    def restore(self, state: object) -> None:
        """Replace all that was learned by a copy that `state` made; clusters that are not in it start anew.

        Raises:
            ValueError: The state is malformed or of another version; the text says what, and nothing changes.
        """
        found = as_version(state, STATE_VERSION, "latency state")
        clusters: dict[str, ClusterLatency] = {}
        instances: dict[str, InstanceLatency] = {}
        for key, item in as_object(found.get("clusters"), "latency state: clusters").items():
            name = as_name(key, "latency state: clusters")
            try:
                clusters[name] = ClusterLatency.restored(item)
            except ValueError as error:
                raise ValueError(f"latency state: clusters.{name}: {error}") from error
        for key, item in as_object(found.get("instances"), "latency state: instances").items():
            address = as_name(key, "latency state: instances")
            try:
                instances[address] = InstanceLatency.restored(item)
            except ValueError as error:
                raise ValueError(f"latency state: instances.{address}: {error}") from error
        self._clusters, self._instances = clusters, instances
        self.replace_fleet(self._table)


def _iterations(completion_tokens: int | None, load: LoadAtDecision) -> int | None:
    """Tokens after the first; of several answers nobody knows the longest one's."""
    if completion_tokens is None or load.own_sequences != 1:
        return None
    return max(0, completion_tokens - 1)


def _before_us(
    snapshot: FleetSnapshot, rows: Ints, too_many: Floats, needed_tokens: float | Floats
) -> Floats:
    """Sequences that must end before the last of ours gets a slot; at least one where memory is short."""
    result: Floats = np.maximum(too_many, snapshot.kv_free_tokens.take(rows) < needed_tokens)
    return result


def _slot_seconds(
    snapshot: FleetSnapshot, rows: Ints, iteration: Floats, running: Floats, output_tokens: float | Floats
) -> Floats:
    """Time from one end of a running sequence to the next: they have half their length left on average."""
    mean_output = snapshot.mean_output_tokens.take(rows)
    residual = RESIDUAL_SHARE * np.where(mean_output > 0.0, mean_output, output_tokens)
    result: Floats = residual * iteration / np.maximum(1.0, running)
    return result
