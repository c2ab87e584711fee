"""Measures seqship beside stock tf2onnx, Keras' own export and TensorFlow: `python -m benchmarks`.

Prints ratios (the other's time by seqship's) with their spread, and whether they reach the targets.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import conversion, latency, tables
from benchmarks.architectures import ARCHITECTURES, Architecture, Version
from benchmarks.targets import TARGETS, judge, judge_conversion

BENCHMARKS = ("latency", "conversion")
QUICK = ("ecg-gru", "series-lstm", "mnist-rows")
"""What --quick measures unless --only says otherwise."""
PACKAGES = ("tensorflow", "tf-keras", "keras", "tf2onnx", "onnxruntime")


def main() -> None:
    """Runs the named benchmarks, or both."""
    arguments = _arguments()
    only = tuple(arguments.only or (QUICK if arguments.quick else [one.name for one in ARCHITECTURES]))
    effort = latency.Effort(threads=arguments.threads, keras=arguments.keras)
    if arguments.quick:
        effort = replace(effort, batches=(1,), rounds=3, seconds=0.02)
    models: list[tuple[Architecture, Version]] = [
        (one, keras) for one in ARCHITECTURES if one.name in only for keras in one.flavours
    ]
    document: dict[str, Any] = {"settings": _settings(effort), "targets": TARGETS}
    print(_heading(document["settings"]))
    latencies: list[latency.Row] = []
    conversions: list[conversion.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        if "latency" in arguments.names:
            latencies = latency.measure(models, effort, folder, _tell)
            print("\nhow many times as long as seqship one call takes, median (middle half of the rounds)\n")
            print(tables.latency_table(latencies))
        if "conversion" in arguments.names:
            flavours: tuple[Version, ...] = (2,) if arguments.quick else (2, 3)
            some = ("series-lstm",) if arguments.quick and not arguments.only else conversion.MODELS
            todo: list[tuple[str, Version]] = [(name, keras) for name in some if name in only for keras in flavours]
            conversions = conversion.measure(todo, 1 if arguments.quick else 3, folder, _tell)
            print("\nconversion to ONNX, seqship : tf2onnx, ratio tf2onnx by seqship\n")
            print(tables.conversion_table(conversions))
    judged = [*(one for row in latencies for one in judge(row))]
    judged += [one for row in conversions for one in judge_conversion(row)]
    for text in (tables.failures([*latencies, *conversions]), tables.verdicts(judged)):
        print(f"\n{text}" if text else "", end="\n" if text else "")
    document["settings"]["load_average_after"] = os.getloadavg()[0]
    print(f"\nload average after: {os.getloadavg()[0]:.1f}")
    document |= {
        "latency": [row.to_json() for row in latencies],
        "conversion": [row.to_json() for row in conversions],
        "judged": [asdict(one) for one in judged],
    }
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"written: {arguments.out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=BENCHMARKS, metavar="NAME", help="latency or conversion, or both")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure this architecture; may be repeated")
    parser.add_argument("--quick", action="store_true", help="three architectures at batch 1, few repetitions")
    parser.add_argument("--keras", action="store_true", help="time the model itself, in a tf.function, too")
    parser.add_argument("--threads", type=int, default=2, help="threads of every runtime (default: 2)")
    parser.add_argument("--out", type=Path, metavar="PATH", help="JSON file to write")
    parser.add_argument("--data", help=argparse.SUPPRESS)  # make bench DATA=...: values do not change the time
    arguments = parser.parse_args()
    for given, known in ((arguments.names, BENCHMARKS), (arguments.only or (), [one.name for one in ARCHITECTURES])):
        if unknown := sorted(set(given) - set(known)):
            parser.error(f"nothing is named {', '.join(unknown)}; there are {', '.join(known)}")
    return arguments


def _settings(effort: latency.Effort) -> dict[str, Any]:
    return {
        "threads": effort.threads,
        "cores": os.cpu_count(),
        "batches": list(effort.batches),
        "rounds": effort.rounds,
        "round_seconds": effort.seconds,
        "load_average_before": os.getloadavg()[0],
        "versions": {package: version(package) for package in PACKAGES},
    }


def _heading(settings: dict[str, Any]) -> str:
    threads = settings["threads"]
    return (
        f"threads: onnxruntime intra_op={threads} inter_op=1; TensorFlow intra_op={threads} inter_op={threads}; "
        f"{settings['cores']} cores, load average before: {settings['load_average_before']:.1f}\n"
        + ", ".join(f"{package} {number}" for package, number in settings["versions"].items())
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
