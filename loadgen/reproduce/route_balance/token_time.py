"""Time per output token, as the paper predicts it: boosted trees per size, learned from a profiled run, or one number.

The paper feeds 25 figures of an engine to XGBoost. Here the trees see what a gateway can know without a patched
engine: sequences in the instance, their mean length, prompt tokens not yet prefilled, and the request's own prompt and
predicted length. Depth, rate, rows and columns per tree, and stopping are the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import GradientBoostingRegressor

from extproc.fleet.snapshot import FleetSnapshot

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEATURES: Final = (
    "sequences",
    "mean_output_tokens",
    "prefill_backlog_tokens",
    "prompt_tokens",
    "output_tokens",
)
LEAST_SECONDS: Final = 0.001
"""Predictions are held above this, as the paper's are."""

_TREES: Final = 500
_STOP_AFTER: Final = 30
_DEPTH: Final = 6


@dataclass(slots=True)
class FleetState:
    """What a batch starts from and what its own assignments add: the paper's dead reckoning. Shape (instances,).

    Attributes:
        sequences: Running or waiting.
        waiting: Of these, waiting; an assignment counts as waiting until the next batch looks again.
        mean_output_tokens: Mean expected output of the sequences.
        pending_decode_tokens: Output tokens still to come.
        prefill_backlog_tokens: Prompt tokens not yet prefilled.
        last_assigned: Number of the last assignment.
        slots: Most running sequences.
    """

    sequences: Floats
    waiting: Floats
    mean_output_tokens: Floats
    pending_decode_tokens: Floats
    prefill_backlog_tokens: Floats
    last_assigned: Ints
    slots: Floats

    @classmethod
    def of(cls, snapshot: FleetSnapshot) -> FleetState:
        """Read a snapshot; what runs has half of its output still to come on average."""
        slots = snapshot.table.max_num_seqs
        return cls(
            sequences=snapshot.sequences.copy(),
            waiting=np.maximum(0.0, snapshot.sequences - slots),
            mean_output_tokens=snapshot.mean_output_tokens,
            pending_decode_tokens=0.5 * snapshot.sequences * snapshot.mean_output_tokens,
            prefill_backlog_tokens=snapshot.prefill_backlog_tokens.copy(),
            last_assigned=snapshot.last_assigned.copy(),
            slots=slots,
        )

    def assign(self, row: int, *, prompt_tokens: int, output_tokens: float) -> None:
        """Add an assignment to what is known."""
        self.sequences[row] += 1.0
        self.waiting[row] += 1.0
        self.pending_decode_tokens[row] += output_tokens
        self.prefill_backlog_tokens[row] += prompt_tokens
        self.last_assigned[row] = self.last_assigned.max() + 1

    def features(self, prompt_tokens: int, output_tokens: float) -> Floats:
        """What the trees see of one request on every instance, in the order of `FEATURES`."""
        return np.column_stack(
            [
                self.sequences,
                self.mean_output_tokens,
                self.prefill_backlog_tokens,
                np.full(len(self.sequences), float(prompt_tokens)),
                np.full(len(self.sequences), output_tokens),
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Regression trees of several sizes as arrays; a leaf points at itself.

    Attributes:
        starts: Mean that the trees of each size correct, shape (sizes,).
        roots: Node of each tree's root, by size.
        feature, threshold, left, right, value: By node; a row goes left when its feature is at most the threshold.
        depth: Most steps from a root to a leaf.
    """

    starts: Floats
    roots: tuple[Ints, ...]
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    depth: int

    def predict(self, features: Floats, sizes: Ints) -> Floats:
        """Seconds per output token.

        Args:
            features: Shape (rows, features).
            sizes: Size of each row.
        """
        counts = np.array([len(roots) for roots in self.roots])[sizes]
        node = np.concatenate([self.roots[size] for size in sizes])
        row = np.repeat(np.arange(len(sizes)), counts)
        for _ in range(self.depth):
            is_left = features[row, self.feature[node]] <= self.threshold[node]
            node = np.where(is_left, self.left[node], self.right[node])
        sums = np.bincount(row, weights=self.value[node], minlength=len(sizes))
        result: Floats = np.maximum(self.starts[sizes] + sums, LEAST_SECONDS)
        return result


def grow(samples: Sequence[tuple[Floats, Floats]], *, seed: int) -> Forest:
    """Fit trees by size to profiled requests.

    Args:
        samples: By size, features of shape (requests, features) and seconds per output token.
        seed: Of rows and columns per tree.
    """
    starts: list[float] = []
    roots: list[Ints] = []
    feature: list[Ints] = []
    threshold: list[Floats] = []
    left: list[Ints] = []
    right: list[Ints] = []
    value: list[Floats] = []
    nodes = 0
    for rows, seconds in samples:
        fit = GradientBoostingRegressor(
            n_estimators=_TREES,
            max_depth=_DEPTH,
            learning_rate=0.1,
            subsample=0.8,
            max_features=0.8,
            min_samples_leaf=5,
            n_iter_no_change=_STOP_AFTER,
            random_state=seed,
        ).fit(rows.astype(np.float32), seconds)
        starts.append(float(np.ravel(fit.init_.constant_)[0]))
        own_roots = []
        for (tree,) in fit.estimators_:
            arrays = tree.tree_
            own = np.arange(arrays.node_count)
            is_leaf = arrays.children_left < 0
            own_roots.append(nodes)
            feature.append(np.where(is_leaf, 0, arrays.feature))
            threshold.append(arrays.threshold)
            left.append(np.where(is_leaf, own, arrays.children_left) + nodes)
            right.append(np.where(is_leaf, own, arrays.children_right) + nodes)
            value.append(fit.learning_rate * arrays.value[:, 0, 0])
            nodes += arrays.node_count
        roots.append(np.array(own_roots, dtype=np.int64))
    return Forest(
        starts=np.array(starts),
        roots=tuple(roots),
        feature=np.concatenate(feature).astype(np.int64),
        threshold=np.concatenate(threshold),
        left=np.concatenate(left).astype(np.int64),
        right=np.concatenate(right).astype(np.int64),
        value=np.concatenate(value),
        depth=_DEPTH,
    )
