"""The int8 file of a bundle in a few lines, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seqship.export.bundle import INT8_FILE, ONNX_FILE

_MEASURES = ("accuracy", "auc", "f1", "mae", "rmse")


def int8_rows(int8: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns labelled lines: size and verdict, what it costs over data, and which layers stayed float32.

    Args:
        int8: What the manifest says of the file.
    """
    size = f"{INT8_FILE}, {int8['bytes'] / 1000:,.0f} kB (of {int8['float_bytes'] / 1000:,.0f})"
    if not int8["passed"]:
        more = f"; {int8['failures'] - 1} more in report.json" if int8["failures"] > 1 else ""
        verdict = f"NOT what int8 makes of {ONNX_FILE}: {int8['first_failure'] or 'nothing was compared'}{more}"
        return [("int8", f"{size}; {verdict}")]
    rows = [("int8", f"{size}; within what int8 explains over {int8['cases']} cases")]
    rows += [("", _cost(row)) for row in int8.get("data") or ()]
    if not int8.get("data"):
        rows.append(("", f"largest difference from float32 {_figure(int8['largest'])} over the cases"))
    stayed = [f"{layer['layer']} ({'; '.join(layer['reasons'])})" for layer in int8["layers"] if not layer["int8"]]
    return [*rows, *([("", f"float32 still: {', '.join(stayed)}")] if stayed else [])]


def with_int8(audit: Sequence[Mapping[str, Any]], int8: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Returns the rows of an audit; of a bundle with an int8 file, each says whether its weights are int8, or why not.

    Args:
        audit: Rows by layer.
        int8: What the manifest says of the int8 file.
    """
    if int8 is None:
        return [dict(row) for row in audit]
    found = zip(audit, int8["layers"], strict=True)
    return [{**row, "int8": layer["int8"], "int8_reasons": layer["reasons"]} for row, layer in found]


def _cost(row: Mapping[str, Any]) -> str:
    """Says what changes over real data."""
    largest = f"largest difference {_figure(row['max_abs'])} over {row['rows']:,} rows of data"
    named = next((name for name in _MEASURES if name in row["measures"]), None)
    said = ""
    if named is not None:
        one, two = row["measures"][named]["other"], row["measures"][named]["reference"]
        said = f", {named} {_share(one)} (float32 {_share(two)})"
    if row["changed"] is None:
        return f"{row['output']}: {largest}{said}"
    margin = f" (the surest had a margin of {_figure(row['widest_margin'])})" if row["changed"] else ""
    return f"{row['output']}: {row['changed']:,} of {row['rows']:,} decisions change{margin}{said}"


def _share(value: Any) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _figure(value: Any) -> str:
    return f"{value:.1e}" if isinstance(value, float | int) else str(value)
