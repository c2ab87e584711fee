"""Documents that the tests of the report page share, as `report.json` has them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

CLASSES = ["N", "S", "V", "F", "Q"]
LIMIT = 2.4e-6


def sample(*, seed: int = 0) -> dict[str, Any]:
    """The document of a heartbeat classifier, as `seqship ship ecg-gru` would write it."""
    random = np.random.default_rng(seed)
    cases = [case_row(random, batch, time, mask, runner)
             for batch in (1, 3, 8) for time in (1, 2, 33, 187) for mask in ("none", "right", "left", "gaps", "all")
             for runner in ("saved_model", "onnx")]  # fmt: skip
    cases += [case_row(random, 3, 9, "holes", runner, front=f"relation={relation} ")
              for relation in ("row-alone", "permuted-rows") for runner in ("saved_model", "onnx")]  # fmt: skip
    cases += [case_row(random, 7, 24, "searched", "onnx", values="adversary"),
              case_row(random, 3, 1, "text", "saved_model:serving_text", values="emoji")]  # fmt: skip
    worst = max(cases, key=lambda row: row["severity"])
    return {
        "format": 1,
        "name": "ecg-gru",
        "created": "2026-11-22T03:10:45Z",
        "equivalent": True,
        "source": {"kind": "recipe", "name": "ecg-gru", "sha256": "9f" * 32},
        "tolerance": {"rule": "rounding", "multiple": 8, "places": 4, "why": "It was measured to be at most 3.6."},
        "worst": agreement(worst),
        "cases": cases,
        "test_split": [
            {"runner": runner, "output": "probabilities", "rows": 4000, "max_abs": size, "max_rel": size * 310,
             "severity": size / LIMIT, "worst_index": [17, 2], "expected": 0.5, "actual": 0.5 + size, "note": "",
             "changed_classes": 0, "passed": True, "task": task(difference=size)}
            for runner, size in (("saved_model", 0.0), ("onnx", 4.2e-7))
        ],
        "drift": drift(),
        "errors": {"saved_model": errors(random, -9.1, 41000), "onnx": errors(random, -7.8, 900)},
        "onnx": {"operators": {"GRU": 2}, "loops": 0, "opset": 24, "nodes": 80, "bytes": 70123},
        "layers": copy.deepcopy(LAYERS),
        "contract": copy.deepcopy(CONTRACT),
        "metrics": {"test_accuracy": 0.9712, "majority_accuracy": 0.8265, "test_loss": 0.1043},
        "training": training(random),
        "classification": classification(),
        "examples": [example(random, true, index) for true in range(5) for index in range(4)],
        "versions": {"seqship": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1", "onnx": "1.23.2",
                     "onnxruntime": "1.31.1", "tf2onnx": "1.17.0", "numpy": "2.4.6", "python": "3.11.2"},
    }  # fmt: skip


def case_row(
    random: np.random.Generator, batch: int, time: int, mask: str, runner: str, *, values: str = "data", front: str = ""
) -> dict[str, Any]:
    """A row of the document's `cases`; `front` is the relation that a runtime is checked against itself in."""
    size = float(10 ** random.normal(-7.4 if runner == "onnx" else -8.3, 0.4)) if random.random() > 0.1 else 0.0
    expected, name = float(random.random()), f"batch={batch} time={time} mask={mask}"
    row = {
        "case": front + name + ("" if values == "data" else f" values={values}"), "batch": batch, "time": time,
        "mask": mask, "values": values, "runner": runner, "output": "probabilities", "max_abs": size,
        "max_rel": size * float(random.uniform(2, 60)), "severity": size / LIMIT,
        "worst_index": [int(random.integers(batch)), int(random.integers(5))], "expected": expected,
        "actual": expected + size, "passed": True, "note": "",
    }  # fmt: skip
    return row if front else row | {"limit": LIMIT}


def agreement(row: dict[str, Any]) -> dict[str, Any]:
    """The worst of all as the document names it: without the columns."""
    return {key: value for key, value in row.items() if key not in ("batch", "time", "mask", "values", "limit")}


def drift() -> dict[str, Any]:
    """Errors of a right SavedModel, and of an ONNX file that drifts away."""
    steps = [1, 2, 3, 5, 9, 16, 29, 52, 93, 120]
    keras = [6e-8 * (1 + 0.2 * step**0.5) for step in steps]
    runners = {"keras": keras, "saved_model": keras, "onnx": [5e-8 * step**1.5 for step in steps]}
    return {"steps": steps, "outputs": {"probabilities": {"scale": 0.97, "runners": runners}}}


def task(*, changed: int = 0, difference: float = 4.2e-7) -> dict[str, Any]:
    """What a runtime's differences do to the decisions, as `TaskAgreement.to_json` tells it."""
    return {
        "rows": 4000,
        "changed": [{"row": 40 + one, "reference": 2, "other": 0, "margin": 1e-5 * (one + 1)}
                    for one in range(changed)],
        "top_k": {"1": 1 - changed / 4000, "3": 1.0},
        "measures": {"accuracy": {"reference": 0.9712, "other": 0.97125}, "auc": {"reference": None, "other": None},
                     "f1": {"reference": 0.883, "other": 0.8829}},
        "smallest_margin": 1.3e-4, "smallest_margin_row": 2718, "largest_difference": difference,
        "margin_times": 1.3e-4 / difference if difference else "Infinity",
    }  # fmt: skip


def int8() -> dict[str, Any]:
    """What the document says of a right int8 file, which changes three decisions; one of three layers is float32."""
    cases = [
        {"runner": runner, "case": f"batch=3 time={time} mask=holes", "output": "probabilities", "max_abs": 1e-4 * time,
         "max_rel": 1e-3, "severity": 0.01 * time, "worst_index": [1, 2], "expected": 0.25,
         "actual": 0.25 + 1e-4 * time, "passed": True, "note": ""}
        for time in (1, 9) for runner in ("int8", "int8_off", "int8_1_thread")
    ]  # fmt: skip
    weights = [("first_LSTM__98", "W"), ("first_LSTM__98", "R"), ("functional/wide/MatMul", "B")]
    return {
        "passed": True, "verified": "2026-11-22T03:10:45Z", "bytes": 23_456, "float_bytes": 70_123,
        "int8_weights": 14_000, "all_weights": 15_000, "operators": {"LSTM": 1, "MatMul": 1},
        "layers": [{"layer": "first", "int8": True, "reasons": []},
                   {"layer": "gru_1", "int8": False, "reasons": ["onnxruntime has no int8 kernel for GRU"]}],
        "rule": {"rule": "int8", "multiple": 6, "places": 32, "why": "it was measured to be at most 2.0."},
        "worst": cases[5], "largest": 0.0123, "failures": [], "changed": [], "cases": cases,
        "weights": [{"node": node, "weight": weight, "steps": 0.49996, "index": [0, 107, 103], "expected": -0.0172266,
                     "actual": -0.0178206, "coarse": 0.984375, "passed": True} for node, weight in weights],
        "drift": [{"time": time, "output": "probabilities", "max_abs": 3e-6 * time, "scale": 0.97}
                  for time in (24, 120, 480)],
        "test_split": [{"output": "probabilities", "rows": 4000, "max_abs": 4.6e-4, "changed": 3,
                        "task": task(changed=3, difference=4.6e-4)}],
    }  # fmt: skip


def int8_failing() -> dict[str, Any]:
    """What it says of a wrong one: a scale is off, a tensor and an output are missing."""
    found = int8()
    found["weights"][1] |= {"passed": False, "steps": 32.2, "actual": -0.1}
    found["weights"][2] |= {"passed": False, "steps": "Infinity", "index": [], "coarse": "Infinity",
                            "expected": "NaN", "actual": "NaN"}  # fmt: skip
    found["cases"][4] |= {"passed": False, "severity": "Infinity", "max_abs": "Infinity", "max_rel": "Infinity",
                          "worst_index": [], "expected": "NaN", "actual": "NaN",
                          "note": "output is missing"}  # fmt: skip
    failures = [
        "int8 has no weight B of functional/wide/MatMul that could be compared with the float32 file's",
        "int8 has -0.1 for R[0, 107, 103] of first_LSTM__98, the float32 file -0.0172266: 32.2 steps of its grid apart",
        "int8_off differs from its weights at batch=3 time=9 mask=holes: probabilities: output is missing",
    ]
    return found | {"passed": False, "failures": failures, "worst": found["cases"][4]}


WHERE = {
    "layer": "gru_1", "kind": "GRU", "operator": "GRU node gru_1_GRU__98", "output_index": 0, "row": 7, "step": 31,
    "element": [13], "expected": 0.144320905, "actual": 0.17701444, "times": 1342.7, "reason": "weights",
    "detail": "its recurrent weights R are not those of the Keras layer", "unseen": ["masking"],
}  # fmt: skip


def errors(random: np.random.Generator, centre: float, zeros: int) -> dict[str, Any]:
    counts, edges = np.histogram(random.normal(centre, 0.5, 20000), bins=np.linspace(-12, 0, 49))
    return {"zeros": zeros, "edges": edges.tolist(), "counts": counts.tolist()}


def training(random: np.random.Generator) -> dict[str, Any]:
    epoch = np.arange(20)
    loss = 0.08 + 0.55 * np.exp(-epoch / 4) + random.normal(0, 0.006, 20)
    val_loss = 0.11 + 0.5 * np.exp(-epoch / 3.5) + 0.004 * np.maximum(0, epoch - 11) + random.normal(0, 0.008, 20)
    history = {"loss": loss, "accuracy": 1 - loss / 3.3, "val_loss": val_loss, "val_accuracy": 1 - val_loss / 3.4}
    return {
        "data": "heartbeat CSV files, one beat a row, 125 Hz, zero tail removed", "train_rows": 9000,
        "validation_rows": 1000, "test_rows": 4000, "parameters": 5000, "seed": 0, "seconds": 210.4,
        "best_epoch": int(np.argmin(val_loss)) + 1, "history": {key: line.tolist() for key, line in history.items()},
    }  # fmt: skip


def classification() -> dict[str, Any]:
    confusion = np.array(
        [[3281, 11, 9, 2, 3], [31, 69, 2, 0, 1], [12, 1, 252, 5, 2], [6, 0, 5, 20, 0], [8, 0, 3, 0, 277]]
    )
    support = confusion.sum(1)
    return {"classes": CLASSES, "confusion": confusion.tolist(), "support": support.tolist(),
            "recall": (confusion.diagonal() / support).tolist()}  # fmt: skip


def example(random: np.random.Generator, true: int, index: int) -> dict[str, Any]:
    steps = np.arange(int(random.integers(80, 187))) / 125
    width = (0.02, 0.02, 0.06, 0.045, 0.03)[true]
    wave = np.exp(-(((steps - 0.02) / width) ** 2)) + 0.25 * np.exp(-(((steps - 0.3 - 0.05 * true) / 0.08) ** 2))
    wave += (0.9 - 0.1 * true) * np.exp(-(((steps - steps[-1] + 0.04) / width) ** 2)) + random.normal(
        0.08, 0.01, len(steps)
    )
    predicted = 0 if true in (1, 3) and index == 2 else true
    scores = random.normal(0, 0.8, 5)
    scores[predicted] += 4.5
    shares = np.exp(scores) / np.exp(scores).sum()
    return {"true": CLASSES[true], "predicted": CLASSES[predicted], "values": np.clip(wave, 0, 1).round(4).tolist(),
            "probabilities": shares.round(5).tolist()}  # fmt: skip


LAYERS = [
    {"layer": "masking", "kind": "Masking", "units": 0, "params": 0, "cudnn_eligible": True, "reasons": [],
     "onnx": "sequence_lens", "onnx_reasons": []},
    {"layer": "gru", "kind": "GRU", "units": 20, "params": 1380, "cudnn_eligible": True, "reasons": [],
     "onnx": "GRU", "onnx_reasons": []},
    {"layer": "gru_1", "kind": "GRU", "units": 20, "params": 2520, "cudnn_eligible": False,
     "reasons": ["recurrent_dropout is 0.1, must be 0", "activation is relu, must be tanh"],
     "onnx": "GRU", "onnx_reasons": []},
]  # fmt: skip
CONTRACT = {
    "inputs": [{"name": "beat", "dtype": "float32", "shape": ["batch", "time", 1], "unit": "normalised voltage",
                "pad_value": -1.0, "minimum": 0.0, "maximum": 1.0, "sampling_hz": 125.0}],
    "outputs": [{"name": "probabilities", "dtype": "float32", "shape": ["batch", 5], "unit": "probability",
                 "minimum": 0.0, "maximum": 1.0, "classes": CLASSES}],
}  # fmt: skip


def users_model() -> dict[str, Any]:
    document = sample()
    for key in ("training", "classification", "examples", "test_split", "metrics", "drift"):
        del document[key]
    return document | {
        "name": "my_model.keras",
        "source": {"kind": "file", "name": "my_model.keras", "sha256": "0a" * 32},
    }


def failing() -> dict[str, Any]:
    document = sample()
    broken, shapeless, relation = document["cases"][17], document["cases"][40], document["cases"][121]
    broken |= {"max_abs": 0.0213, "max_rel": 0.31, "actual": broken["expected"] + 0.0213, "passed": False,
               "severity": 0.0213 / LIMIT}  # fmt: skip
    shapeless |= {"max_abs": "Infinity", "max_rel": "Infinity", "severity": "Infinity", "worst_index": [],
                  "expected": "NaN", "actual": "NaN", "passed": False,
                  "note": "output has shape (3, 1, 5), expected (3, 5)"}  # fmt: skip
    document["cases"][55] |= {"max_abs": "NaN", "max_rel": "NaN", "severity": "Infinity", "actual": "NaN",
                              "passed": False}  # fmt: skip
    relation |= {"max_abs": 0.004, "max_rel": 0.01, "severity": 1.5, "passed": False}
    document["test_split"][1] |= {"task": task(changed=3, difference=0.02), "changed_classes": 3}
    return document | {"equivalent": False, "worst": agreement(shapeless), "where": dict(WHERE)}
