"""Recurrent layers that run on the CPU and, with cuDNN, on a GPU, out of the same SavedModel.

TensorFlow's graph optimizer chooses between functions that say they implement the same (`api_implements`) by the
device that each prefers (`api_preferred_device`): it is how tf-keras' own LSTM and GRU work
(`tensorflow/core/grappler/optimizers/implementation_selector.h`). Keras 3 chooses while it traces, by the device that
is there. Here, layers of both are traced as such a pair, without the gradient functions that tf-keras saves beside it.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from seqship.export.interception import replacing_calls
from seqship.export.layer_call import LayerCall
from seqship.export.marking import read_specs, result_shape, unmarkable
from seqship.export.recurrent_functions import Form, on_cudnn, standard
from seqship.export.saved_functions import API, DEVICE
from seqship.models.cudnn import ineligible_reasons
from seqship.models.flavour import Flavour
from seqship.models.spec import STATES


def portable_layers(flavour: Flavour) -> contextlib.AbstractContextManager[None]:
    """Traces the layers that cuDNN can run as pairs, for as long as the block runs, in this context alone."""
    return replacing_calls(flavour, _pair)


def _pair(call: LayerCall) -> tuple[Any, list[Any]] | None:
    """Calls one layer as a pair of functions; None where Keras runs it as it does."""
    import tensorflow as tf

    specs = read_specs(call)
    if len(specs) != 1 or specs[0].dtype != "float32" or ineligible_reasons(specs[0]) or unmarkable(call, specs):
        return None
    spec = specs[0]
    sequence, mask = call.sequence, None if call.mask is None else tf.cast(call.mask, tf.bool)
    if spec.time_major:
        sequence, mask = tf.transpose(sequence, [1, 0, 2]), None if mask is None else tf.transpose(mask)
    cell = call.layer.cell
    weights = [tf.convert_to_tensor(weight) for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)]
    zeros = [tf.zeros([tf.shape(sequence)[0], spec.units])] * STATES[spec.kind]
    arguments = [sequence, *(call.states or zeros), *weights, *([] if mask is None else [mask])]
    # As tf-keras names them: a name that no other pair has, in this model or in another.
    name = f"{spec.kind.lower()}_{uuid.uuid4()}"
    form = Form.of(spec)
    last, whole, *finals, _ = _function(form, standard, name, "CPU")(*arguments)
    _function(form, on_cudnn, name, "GPU").get_concrete_function(*arguments).add_to_graph()
    output = whole if spec.return_sequences else last
    if spec.time_major and spec.return_sequences:
        output = tf.transpose(output, [1, 0, 2])
    batch = call.sequence.shape[1 if spec.time_major else 0]
    return tf.ensure_shape(output, result_shape(call, spec)), [tf.ensure_shape(s, [batch, spec.units]) for s in finals]


def _function(form: Form, run: Callable[..., list[Any]], name: str, device: str) -> Any:
    """Returns one side of a pair, with the arguments, results and attributes of tf-keras' functions.

    (`standard_lstm`, `standard_gru` and `generate_defun_backend` in `tf_keras/src/layers/rnn/`): what knows those knows
    these too.
    """
    import tensorflow as tf

    def results(made: list[Any]) -> list[Any]:
        output, *finals = made
        last, whole = (output[:, -1], output) if form.return_sequences else (output, output[:, None])
        return [last, whole, *finals, tf.constant({"CPU": 1.0, "GPU": 2.0}[device], name="runtime")]

    def lstm(
        inputs: Any, init_h: Any, init_c: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any = None
    ) -> list[Any]:
        return results(run(form, inputs, (kernel, recurrent_kernel, bias), (init_h, init_c), mask))

    def gru(inputs: Any, init_h: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any = None) -> list[Any]:
        return results(run(form, inputs, (kernel, recurrent_kernel, bias), (init_h,), mask))

    recurrent: Any = lstm if form.kind == "LSTM" else gru
    recurrent.__name__ = f"{'standard' if device == 'CPU' else 'gpu'}_{form.kind.lower()}"
    attributes = {API: name, DEVICE: device, "time_major": False, "go_backwards": form.go_backwards}
    return tf.function(recurrent, autograph=False, experimental_attributes=attributes)
