"""A bundle in a few lines, for people and for machines."""

from __future__ import annotations

from typing import Any

from seqship.export.bundle import PARTS, Bundle
from seqship.export.int8_summary import int8_rows


def summary(bundle: Bundle) -> dict[str, Any]:
    """Returns what `ship`, `export` and `verify` print with `--json`."""
    proof, onnx = bundle.manifest["equivalence"], bundle.manifest.get("onnx")
    worst = proof.get("worst")
    document = {
        "bundle": str(bundle.path),
        "equivalent": bundle.equivalent,
        "worst": worst and {key: worst[key] for key in ("runner", "case", "output", "max_abs", "max_rel")},
        "cases": proof["cases"],
        "onnx": onnx and {key: onnx[key] for key in ("operators", "loops", "opset")},
        "metrics": bundle.manifest.get("metrics", {}),
    }
    if int8 := bundle.manifest.get("int8"):
        keys = ("passed", "bytes", "float_bytes", "operators", "layers", "cases", "largest", "first_failure", "data")
        document["int8"] = {key: int8.get(key) for key in keys}
    return document


def summary_rows(bundle: Bundle) -> list[tuple[str, str]]:
    """Returns labelled lines: what was trained, how well it does, its operators, the verdict, and where it is."""
    manifest = bundle.manifest
    rows: list[tuple[str, str]] = []
    if training := manifest.get("training"):
        rows.append(("trained", _trained(bundle, training)))
    rows += [(str(label), str(text)) for label, text in manifest.get("reached") or ()]
    if onnx := manifest.get("onnx"):
        operators = ", ".join(f"{count} {name}" for name, count in onnx["operators"].items()) or "no recurrent operator"
        loops = f"{onnx['loops']} Loop" if onnx["loops"] else "no Loop"
        rows.append(("onnx", f"{operators}, {loops} (opset {onnx['opset']}, {onnx['bytes'] / 1000:,.0f} kB)"))
        for row in manifest.get("audit", []):
            rows += (
                [("", f"{row['layer']} became a Loop: {'; '.join(row['onnx_reasons'])}")]
                if row["onnx"] == "Loop"
                else []
            )
    rows.append(("verdict", _verdict(manifest["equivalence"])))
    if where := manifest["equivalence"].get("where"):
        rows.append(("where", str(where)))
    if int8 := manifest.get("int8"):
        rows += int8_rows(int8)
    rows += [("", f"{PARTS}/{name}: {_verdict(proof)}") for name, proof in (manifest.get("parts") or {}).items()]
    return [*rows, ("bundle", str(bundle.path))]


def _trained(bundle: Bundle, training: dict[str, Any]) -> str:
    keras = "Keras 3" if bundle.manifest["source"].get("keras") == 3 else "tf-keras"
    return (
        f"{bundle.name} ({keras}, {training['parameters']:,} parameters) on {training['train_rows']:,} rows of "
        f"{training['data']}; best epoch {training['best_epoch']} of {training['epochs']}, {training['seconds']:.0f} s"
    )


def _verdict(proof: dict[str, Any]) -> str:
    rows = f" and {proof['rows']:,} rows of test data" if proof["rows"] else ""
    worst = proof["worst"]
    if worst is None:
        return "NOT equivalent: nothing was compared"
    place = f"{worst['runner']}, {worst['case']}, {worst['output']}"
    if proof["equivalent"]:
        left_open = proof.get("left_open") or {"values": 0, "of": 0}
        of = (
            f"; float32 leaves {left_open['values']:,} of {left_open['of']:,} values open"
            if left_open["values"]
            else ""
        )
        return f"equivalent over {proof['cases']} cases{rows}; largest difference {_figure(proof['largest'])}{of}"
    differ = f"{proof['failures']} comparisons differ over {proof['cases']} cases{rows}"
    return f"NOT equivalent: {differ}; worst {_figure(worst['max_abs'])} at {place}"


def _figure(value: Any) -> str:
    return f"{value:.1e}" if isinstance(value, float | int) else str(value)
