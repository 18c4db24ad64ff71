"""Time to the first token and to the last one on each instance, with intervals, learned online.

    ttft  = overhead + (prompt + backlog) / R + wait for a slot + 1.5 iterations
    total = ttft + (output - 1) iterations,                    one iteration = W + H · sequences beside

The one and a half iterations are the mean rest of the one under way and the first own one. W, H, R, the overhead and
the weights of backlog and wait belong to a cluster (`latency_filter.LatencyLaw`) and start at the fleet file's speed;
each instance has a factor to its cluster's TTFT and one to its decoding, 1 for an instance never seen.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from extproc.estimate.latency_cluster import SPREADS, ClusterLatency, InstanceLatency
from extproc.estimate.latency_filter import PARTS, LatencyLaw
from extproc.estimate.latency_records import LatencyPrediction, LoadAtDecision
from extproc.estimate.stored import as_name, as_object, as_version
from extproc.fleet.snapshot import Floats, FleetSnapshot, FleetTable, Ints
from extproc.fleet.topology import Cluster, Speed

STATE_VERSION = 1

OVERHEAD_SECONDS = 0.01
"""Prior of what a request costs beside the engine's work: gateway, network, tokenizing."""

RESIDUAL_SHARE = 0.5
"""Mean share of a running sequence's output that is still to come, seen at a random moment."""

FIRST_ITERATIONS = 1.5
"""Iterations until the first token: half of the one under way and the own one."""

LEAST_DECODE_SHARE = 1 / 8
"""Decoding faster than this share of the prior's W is an answer that was not streamed: its first byte came last."""

DEFAULT_QUANTILE = 0.95

MOST_QUANTILES = 8
"""Quantiles that are kept ready by row; asking for more of them recomputes."""

MOST_CLUSTERS = 256
MOST_INSTANCES = 4096
"""Clusters and instances that are remembered; who learned least recently is forgotten first."""

_SLOTS, _TTFT_FACTOR, _DECODE_FACTOR, _COLUMNS = PARTS, PARTS + 1, PARTS + 2, PARTS + 3


def output_log_spread(median_tokens: float, upper_tokens: float, quantile: float) -> float:
    """Deviation of the logarithm of a log-normal length that has these quantiles; 0 when they do not ascend.

    Args:
        median_tokens: Its median, above 0.
        upper_tokens: Its quantile `quantile`.
        quantile: Above 0.5 and below 1.
    """
    if upper_tokens <= median_tokens:
        return 0.0
    return math.log(upper_tokens / median_tokens) / NormalDist().inv_cdf(quantile)


def prior_seconds(speed: Speed) -> Floats:
    """What one unit of each part costs by the fleet file."""
    prefill = 1.0 / speed.prefill_tokens_per_second
    base = speed.iteration_base_seconds
    # An H of zero could not be learned as a multiple of itself.
    per_sequence = max(speed.iteration_per_sequence_seconds, 1e-3 * base)
    return np.array([OVERHEAD_SECONDS, prefill, prefill, 1.0, base, per_sequence])


class LatencyEstimator:
    """Latencies by instance, calibrated online from finished requests.

    Args:
        table: The fleet; replaced by `replace_fleet`, or by predicting on a snapshot of another one.
    """

    def __init__(self, table: FleetTable) -> None:
        self._clusters: dict[str, ClusterLatency] = {}
        self._instances: dict[str, InstanceLatency] = {}
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
                self._clusters[cluster.name] = ClusterLatency(LatencyLaw(prior))
            else:
                found.law.rebase(prior)
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
        self._columns: Floats = np.ones((_COLUMNS, len(self._table)))
        self._columns[_SLOTS] = self._table.max_num_seqs
        self._upper: dict[float, Floats] = {}
        for name in self._rows_by_cluster:
            self._show_law(name)
        for address, row in self._table.row_by_address.items():
            self._show_factors(address, row)

    def _show_law(self, cluster: str) -> None:
        rows = self._rows_by_cluster[cluster]
        self._columns[:PARTS, rows] = self._clusters[cluster].law.seconds[:, np.newaxis]

    def _show_factors(self, address: str, row: int) -> None:
        found = self._instances.get(address)
        if found is not None and found.cluster == self._table.clusters[row].name:
            self._columns[_TTFT_FACTOR, row] = math.exp(found.ttft.log)
            self._columns[_DECODE_FACTOR, row] = math.exp(found.decode.log)

    def _upper_by_row(self, quantile: float) -> Floats:
        """Logarithms of the quantile's factors by row, in the order of `SPREADS`."""
        found = self._upper.get(quantile)
        if found is None:
            if not 0.0 < quantile < 1.0:
                raise ValueError(f"quantile: expected a number between 0 and 1, got {quantile}")
            if len(self._upper) >= MOST_QUANTILES:
                self._upper.clear()
            found = np.zeros((len(SPREADS), len(self._table)))
            self._upper[quantile] = found
            for name in self._rows_by_cluster:
                self._show_upper(name, quantile)
        return found

    def _show_upper(self, cluster: str, quantile: float) -> None:
        spreads = self._clusters[cluster].spreads.values()
        factors = np.array([[spread.quantile(quantile)] for spread in spreads])
        self._upper[quantile][:, self._rows_by_cluster[cluster]] = factors

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
        output_log_spread: float = 0.0,
    ) -> LatencyPrediction:
        """Predict a request's latencies on each of `rows`.

        Args:
            snapshot: The fleet's load.
            rows: Rows of the snapshot to predict for, shape (k,).
            prompt_tokens: Prompt tokens of all sequences together, for all rows or by row.
            output_tokens: Expected output tokens of one sequence, for all rows or by row.
            sequences: Sequences that the request occupies at once.
            quantile: Share of requests that the upper figures are to hold for, between 0 and 1.
            output_log_spread: Deviation of the logarithm of the output's length around `output_tokens`; 0 when it
                is given. See the function of the same name.

        Raises:
            ValueError: `quantile` is out of range.
        """
        if snapshot.table is not self._table:
            self.replace_fleet(snapshot.table)
        columns = self._columns.take(rows, axis=1)
        overhead, prefill, backlog, waiting, base, per_sequence, slots, ttft_factor, decode_factor = columns
        present = snapshot.sequences.take(rows)
        backlog_tokens = snapshot.prefill_backlog_tokens.take(rows)
        running = np.minimum(present, slots)
        before_us = np.maximum(0.0, present + (sequences - slots))
        needs = prompt_tokens + sequences * output_tokens
        before_us = np.maximum(before_us, needs > snapshot.kv_free_tokens.take(rows))
        is_queued = before_us > 0.0
        step = (base + per_sequence * running) * decode_factor
        mean_output = snapshot.mean_output_tokens.take(rows)
        residual = RESIDUAL_SHARE * np.where(mean_output > 0.0, mean_output, output_tokens)
        # A full instance frees one slot each time a running sequence ends; whoever waits already comes first.
        wait = before_us * residual * step / np.maximum(1.0, running)
        beside = np.minimum(present + sequences, slots)
        iteration = base + per_sequence * beside
        own_prefill = prefill * prompt_tokens
        ttft = ttft_factor * (
            overhead + own_prefill + backlog * backlog_tokens + waiting * wait + FIRST_ITERATIONS * iteration
        )
        preempted = snapshot.preemption_share.take(rows)
        slowed = decode_factor * (1.0 + preempted)
        decode = np.maximum(0.0, output_tokens - 1.0) * iteration * slowed
        total = ttft + decode
        upper = self._upper_by_row(quantile).take(rows, axis=1)
        ttft_log = np.where(is_queued, upper[1], upper[0])
        total_log = np.where(is_queued, upper[3], upper[2])
        if output_log_spread > 0.0:
            of_length = NormalDist().inv_cdf(quantile) * output_log_spread * decode / total
            total_log = np.copysign(np.hypot(total_log, of_length), of_length)
        return LatencyPrediction(
            ttft_seconds=ttft,
            total_seconds=total,
            ttft_upper_seconds=ttft * np.exp(ttft_log),
            total_upper_seconds=total * np.exp(total_log),
            caused_seconds=running
            * (per_sequence * decode_factor * (sequences * output_tokens) + own_prefill),
            waiting_seconds=wait,
            sequences=present,
            backlog_tokens=backlog_tokens,
            preemption_share=preempted,
            own_sequences=sequences,
        )

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
    ) -> bool:
        """Learn from one finished request; True when it taught something.

        Only a request that was answered by its first try teaches: of others it is not known who took the time.

        Args:
            address: Instance that answered.
            load: The load that the request met there.
            prompt_tokens: As the instance reported them, else as they were estimated.
            completion_tokens: Of all answers together; None when they are not known, then only the TTFT teaches.
            ttft_seconds: To the first token; None when it is not known, as for an answer that was not streamed.
            e2e_seconds: To the last token.
            attempts: Tries that were made.
        """
        row = self._table.row_by_address.get(address)
        times = (e2e_seconds,) if ttft_seconds is None else (ttft_seconds, e2e_seconds)
        if row is None or attempts != 1 or not all(0.0 < t < math.inf for t in times) or prompt_tokens < 0:
            return False
        cluster = self._table.clusters[row]
        # The number of iterations is the longest answer's, which only a single answer tells.
        iterations = None
        if completion_tokens is not None and load.own_sequences == 1:
            iterations = max(0, completion_tokens - 1)
            least = iterations * LEAST_DECODE_SHARE * cluster.speed.iteration_base_seconds
            if ttft_seconds is not None and e2e_seconds - ttft_seconds < least:
                ttft_seconds = None
        if ttft_seconds is None and iterations is None:
            return False
        is_queued = load.waiting_seconds > 0.0
        self._clusters[cluster.name].teach(
            self._instance(address, cluster.name),
            to_first=_units_to_first(load, cluster, prompt_tokens),
            decoding=None if iterations is None else _units_of_decoding(load, cluster, iterations),
            is_queued=is_queued,
            iterations=iterations or 0,
            ttft_seconds=ttft_seconds,
            e2e_seconds=e2e_seconds,
        )
        self._show_law(cluster.name)
        self._show_factors(address, row)
        for quantile in self._upper:
            self._show_upper(cluster.name, quantile)
        return True

    def _instance(self, address: str, cluster: str) -> InstanceLatency:
        """What was learned of an instance, now the one that learned last."""
        found = self._instances.pop(address, None)
        if found is None or found.cluster != cluster:
            found = InstanceLatency(cluster)
        self._instances[address] = found
        self._forget()
        return found

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


def _units_to_first(load: LoadAtDecision, cluster: Cluster, prompt_tokens: int) -> Floats:
    """Units of each part until the first token."""
    beside = min(load.sequences + load.own_sequences, cluster.max_num_seqs)
    return np.array(
        [
            1.0,
            prompt_tokens,
            load.backlog_tokens,
            load.waiting_seconds,
            FIRST_ITERATIONS,
            FIRST_ITERATIONS * beside,
        ]
    )


def _units_of_decoding(load: LoadAtDecision, cluster: Cluster, iterations: int) -> Floats:
    """Units of each part from the first token to the last."""
    beside = min(load.sequences + load.own_sequences, cluster.max_num_seqs)
    slowed = iterations * (1.0 + load.preemption_share)
    return np.array([0.0, 0.0, 0.0, 0.0, slowed, slowed * beside])
