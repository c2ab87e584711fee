"""What the proof says of a right model and of every wrong export that is made of it."""

from __future__ import annotations

import gc
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqship.export.equivalence import EquivalenceReport
from seqship.export.falsification.falsifications import FALSIFICATIONS, Falsification
from seqship.export.falsification.right_export import RightExport, judge
from seqship.export.falsification.subjects import Subject
from seqship.export.quantization_proof import Int8Proof
from seqship.export.quantized_weights import HALF_STEP
from seqship.models.flavour import load_flavour


@dataclass(frozen=True)
class Conviction:
    """What the proof says of one wrong export.

    Attributes:
        name: The fault.
        subject: The right model that it was done to.
        convicted: Whether the proof says that it is wrong.
        case: The case that shows it best; of an int8 file that no case convicts, the weight or constant that does.
        times: How many times as far from what it should be as is allowed; infinite where the outputs cannot be
            compared, or where no difference is allowed.
    """

    name: str
    subject: str
    convicted: bool
    case: str
    times: float


@dataclass(frozen=True)
class SubjectVerdict:
    """What the proof says of a right model and of what was made of it.

    Attributes:
        subject: Name of the model.
        passed: Whether its right exports are let pass.
        case: The case in which that is nearest to its limit.
        times: How near: above 1 is a false alarm.
        convictions: Every wrong export.
    """

    subject: str
    passed: bool
    case: str
    times: float
    convictions: tuple[Conviction, ...]


def falsify_subject(
    subject: Subject, *, seed: int, falsifications: Sequence[Falsification] = FALSIFICATIONS
) -> SubjectVerdict:
    """Exports a right model, and has the proof judge it and every wrong export that is made of it.

    Args:
        subject: The model.
        seed: Seed of its weights and cases.
        falsifications: Those of other subjects are left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        right = subject.export(Path(folder), seed=seed)
        found = [_worst(judge(right, export)) for export in right.exports]
        passed, case, times = min(found, key=lambda one: (one[0], -one[2]))
        convictions = tuple(convict(right, one) for one in falsifications if one.subject == subject.name)
    load_flavour(subject.keras).keras.backend.clear_session()
    gc.collect()
    return SubjectVerdict(subject.name, passed, case, times, convictions)


def convict(right: RightExport, falsification: Falsification) -> Conviction:
    """Makes a wrong export and has the proof judge it."""
    passed, case, times = _worst(judge(right, falsification.falsify(right)))
    return Conviction(falsification.name, falsification.subject, not passed, case, times)


def _worst(proof: EquivalenceReport | Int8Proof) -> tuple[bool, str, float]:
    worst = proof.worst
    if isinstance(proof, Int8Proof) and not proof and (worst is None or worst.passed):
        return False, *_worst_of_graph(proof)
    return (bool(proof), "", math.inf) if worst is None else (bool(proof), worst.case, worst.severity)


def _worst_of_graph(proof: Int8Proof) -> tuple[str, float]:
    """Returns what of an int8 file is wrong, though no case shows it, and how much."""
    if proof.changed:  # Which are to be the float32 file's to the bit.
        return proof.changed[0].removeprefix("int8 lacks or changes the ").removesuffix(
            " of the float32 file"
        ), math.inf
    wrong = [(f"{row.weight} of {row.node}", max(row.steps / HALF_STEP, row.coarse)) for row in proof.weights]
    return max(wrong, key=lambda one: one[1], default=("", math.inf))
