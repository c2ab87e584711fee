"""Where an export goes wrong: the first layer and the first step whose value is not what Keras gives there.

What each layer gives in Keras is compared with what the nodes of the ONNX graph compute for the same feed. A recurrent
operator is known by its name, which the lowering derives from the layer's, and compared as it runs: on the valid steps,
in their order. Any other layer is looked for by its value first, as converters rename and merge nodes, and by its name
where no node computes that value. What a loop computes inside is not seen; it is told of the layer around it.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from seqship.errors import ModelError
from seqship.export.agreement import json_value
from seqship.export.layer_taps import Taps, tapped
from seqship.export.layer_trail import Found, follow
from seqship.export.onnx_values import run_every_node
from seqship.export.operator_faults import Reason
from seqship.export.oracle import Oracle, make_oracle, measure
from seqship.export.runners import Feed, Runner, keras_runner
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature


@dataclass(frozen=True)
class Divergence:
    """The first place at which an ONNX graph does not compute what Keras does.

    Attributes:
        layer: Name of the layer; of a direction that of its Bidirectional.
        kind: Its class, such as "GRU", "Bidirectional LSTM" or "Dense".
        operator: The ONNX node, as "GRU node second_GRU__248"; empty where none is known.
        output_index: Which of the layer's outputs it is.
        row: Row of the batch.
        step: Step of the sequence, counted as the data has it; None for what has no steps. "First" is meant as the
            layer runs: for a backward one it is the last.
        element: Index within that row and step.
        expected: What Keras gives there, without rounding where the model has a float64 twin.
        actual: What the ONNX graph gives.
        times: How many times as far from it as rounding explains.
        reason: What differs.
        detail: The same in words; empty where it is unknown.
        unseen: Layers before it of which nothing is seen in the graph: it may have begun in one of these.
    """

    layer: str
    kind: str
    operator: str
    output_index: int
    row: int
    step: int | None
    element: tuple[int, ...]
    expected: float
    actual: float
    times: float
    reason: Reason
    detail: str = ""
    unseen: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Says in one line where it begins, and why."""
        node = f", ONNX {self.operator}" if self.operator else ""
        place = f"row {self.row}" + ("" if self.step is None else f", step {self.step}")
        text = f"first differs in layer {self.layer} ({self.kind}{node}), {place}: {self.actual:.6g} instead of "
        text += f"{self.expected:.6g}, {self.times:.3g} times what rounding explains"
        if self.unseen:
            text += f"; nothing is seen of {', '.join(self.unseen)} before it"
        return f"{text}; {self.detail}" if self.detail else text

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; numbers that JSON lacks are the strings "NaN" and "Infinity"."""
        return json_value(asdict(self))


@dataclass(frozen=True, eq=False)
class LayerReference:
    """What every layer of a model gives, traced once for any number of feeds and files.

    Attributes:
        signature: The model's.
        taps: The calls of its layers.
        run: The model with all of them.
        oracle: Its float64 twin; None where it has none.
    """

    signature: ModelSignature
    taps: Taps
    run: Runner
    oracle: Oracle | None


def layer_reference(model: Any, *, signature: ModelSignature | None = None) -> LayerReference:
    """Traces a model so that what each layer gives can be seen.

    Args:
        model: The tf-keras or Keras 3 model.
        signature: The signature where it has been made already.

    Raises:
        ModelError: The model is of neither Keras, or cannot be traced.
    """
    signature = signature or export_signature(model)
    watched, taps = tapped(model, signature)
    concrete = watched.traced()
    run = keras_runner(watched, concrete=concrete)
    try:
        return LayerReference(signature, taps, run, make_oracle(watched, concrete=concrete))
    except ModelError:  # An operation has no float64 kernel: Keras itself is the measure.
        return LayerReference(signature, taps, run, None)


def find_divergence(reference: LayerReference, onnx: str | os.PathLike[str], feed: Feed) -> Divergence | None:
    """Finds where an ONNX file begins to differ from the Keras model it was made of.

    The feed is that of a case that failed. The file runs as it is written: where the result is None and the case fails
    all the same, it is an optimization of onnxruntime that fails.

    Args:
        reference: The model, as `layer_reference` gives it.
        onnx: The ONNX file.
        feed: Inputs by name.

    Raises:
        ModelError: The model cannot be run on the feed, or onnxruntime refuses the file.
    """
    expected = measure(feed, reference.run, reference.oracle)
    values = run_every_node(onnx, feed)
    found = follow(reference.taps, expected, values, [field.name for field in reference.signature.outputs])
    return None if found is None else _divergence(found)


def _divergence(found: Found) -> Divergence:
    first = found.faults[0] if found.faults else None
    return Divergence(
        layer=found.layer,
        kind=found.kind,
        operator=found.operator,
        output_index=found.output_index,
        row=found.place.row,
        step=found.place.step,
        element=found.place.element,
        expected=found.place.expected,
        actual=found.place.actual,
        times=found.place.times,
        reason="unknown" if first is None else first.reason,
        detail="; ".join(fault.text for fault in found.faults),
        unseen=found.unseen,
    )
