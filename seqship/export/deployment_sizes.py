"""How large a server of a model should be: rows a batch, and memory.

These are starting points for the files in `tf_serving/`, made from what is known when a bundle is shipped: the weights,
the units and the lengths. What a cluster shows under load is better.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20

WORK = 4_000_000_000
"""Most multiply-adds of one batch. `imdb-lstm` at batch 32 has 2.6e9 and takes 22 ms on two cores in onnxruntime, about
1.5 times that in TensorFlow (docs/performance.md): a request that comes behind a full batch waits for it."""
MOST_ROWS = 128
"""Most rows of a batch: of `ecg-gru`, 128 rows cost 16 % less a row than 32 do (docs/performance.md), and twice as many
hold twice the memory for nothing that can be seen."""
FEWEST_ROWS = 8
USUAL_STEPS = 200
"""Steps of the longest sequence where no data says it."""

BASE_MEMORY = {"tensorflow": 768 * MIB, "seqship": 128 * MIB}
"""Of a server with one small model. `seqship serve` holds 105 MiB. For TensorFlow it is what a Python process holds
that has answered from a small SavedModel, 760 MiB: an upper bound, for `tensorflow_model_server` has no Python."""
STATE_FACTOR = 8
"""Numbers that a runtime keeps for a unit and a step: the gates of an LSTM (4), before and after activation."""
MEMORY_GRAIN = 64 * MIB


@dataclass(frozen=True)
class ModelSize:
    """What of a model decides how large its server is.

    Attributes:
        variable_bytes: Size of the weights.
        recurrent_weights: Number of the weights that every step multiplies with.
        units: Units of all recurrent layers together.
        steps: Steps of the longest sequence.
    """

    variable_bytes: int
    recurrent_weights: int
    units: int
    steps: int


def batch_rows(size: ModelSize) -> int:
    """Returns the most rows of a batch, a power of two."""
    row = max(size.recurrent_weights * size.steps, 1)
    rows = min(max(WORK // row, FEWEST_ROWS), MOST_ROWS)
    return 1 << (rows.bit_length() - 1)


def memory_request(size: ModelSize, *, server: str, rows: int, threads: int) -> int:
    """Returns the bytes that a server needs, a multiple of 64 MiB.

    Two versions are in memory while a new one takes the place of an old one (`AvailabilityPreservingPolicy`), and every
    thread works on one batch.

    Args:
        size: The model.
        server: "tensorflow" or "seqship".
        rows: Most rows of a batch.
        threads: How many batches run at the same time.
    """
    states = 4 * rows * size.steps * max(size.units, 1) * STATE_FACTOR * threads
    needed = BASE_MEMORY[server] + 2 * size.variable_bytes + states
    return -(-needed // MEMORY_GRAIN) * MEMORY_GRAIN
