"""What an exporter gets wrong, each with the right model that it is done to."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from seqship.export.falsification import (
    bundle_faults,
    mask_faults,
    model_faults,
    operator_faults,
    weight_faults,
    wiring_faults,
)
from seqship.export.falsification.int8_faults import INT8_FAULTS, Int8Fault
from seqship.export.falsification.right_export import Falsify, Int8File, RightExport


@dataclass(frozen=True)
class Falsification:
    """One fault, done to one right export.

    Attributes:
        subject: Name of the right model.
        falsify: Makes the wrong export; its docstring says what is wrong.
    """

    subject: str
    falsify: Falsify

    @property
    def name(self) -> str:
        """Name of the fault."""
        return self.falsify.__name__.replace("_", "-")


def _of_int8(fault: Int8Fault) -> Falsify:
    """Does a fault to the int8 file of a right export."""

    @functools.wraps(fault)
    def falsify(right: RightExport) -> Int8File:
        if right.int8 is None:
            raise LookupError("the model has no int8 file")
        return Int8File(fault(right.int8))

    return falsify


_DONE_TO: dict[str, tuple[Falsify, ...]] = {
    "tf-keras-gru": (
        weight_faults.gru_update_and_reset_swapped,
        weight_faults.input_and_recurrent_bias_swapped,
        operator_faults.reset_gate_on_the_other_side,
        weight_faults.one_weight_a_thousandth_off,
        weight_faults.layer_weights_a_thousandth_off,
        wiring_faults.softmax_over_the_first_axis,
        wiring_faults.softmax_left_out,
        mask_faults.rows_without_a_step_run,
        mask_faults.steps_not_moved_to_the_front,
    ),
    "tf-keras-hard-sigmoid": (
        operator_faults.hard_sigmoid_slope_of_the_other_keras,
        operator_faults.sigmoid_for_hard_sigmoid,
        operator_faults.reset_gate_on_the_other_side,
        operator_faults.activations_left_out,
    ),
    "hard-sigmoid": (
        operator_faults.hard_sigmoid_slope_of_the_other_keras,
        weight_faults.bias_dropped,
        weight_faults.bfloat16_weights,
    ),
    "lstm": (
        weight_faults.lstm_gates_in_keras_order,
        weight_faults.lstm_gates_in_basic_cell_order,
        weight_faults.lstm_input_and_forget_swapped,
        weight_faults.recurrent_weights_transposed,
        weight_faults.kernel_reshaped_for_transposed,
        weight_faults.forget_bias_added_twice,
        weight_faults.one_weight_a_thousandth_off,
        weight_faults.layer_weights_a_thousandth_off,
        weight_faults.float16_weights,
        weight_faults.weights_written_with_four_digits,
        weight_faults.int8_weights,
        weight_faults.int8_scale_wrong,
        operator_faults.hard_sigmoid_for_sigmoid,
        operator_faults.activations_swapped,
        operator_faults.input_forget_coupled,
        wiring_faults.last_step_for_last_valid,
        wiring_faults.cell_state_for_output,
        wiring_faults.classes_permuted,
        mask_faults.lengths_left_out,
        mask_faults.lengths_one_short,
        mask_faults.lengths_one_long,
        mask_faults.lengths_of_the_first_row,
        mask_faults.masked_where_any_feature_is,
        wiring_faults.batch_frozen,
        model_faults.mask_ignored,
        model_faults.mask_value_zero,
        model_faults.mask_taken_for_lengths,
        model_faults.weights_of_the_step_before,
        bundle_faults.saved_model_of_the_step_before,
    ),
    "series": (
        operator_faults.relu_for_tanh,
        wiring_faults.initial_state_of_ones,
        wiring_faults.time_and_batch_exchanged,
        wiring_faults.steps_one_late,
    ),
    "steps": (
        operator_faults.clip_set,
        weight_faults.gru_candidate_first,
        weight_faults.recurrent_bias_dropped,
        wiring_faults.softmax_over_time,
        wiring_faults.steps_one_late,
        mask_faults.steps_left_at_the_front,
        model_faults.masked_steps_zeroed,
        model_faults.mask_taken_for_lengths,
    ),
    "sequence": (
        wiring_faults.directions_joined_the_wrong_way,
        mask_faults.masked_steps_repeat,
        model_faults.directions_summed_for_joined,
    ),
    "bidirectional": (
        weight_faults.directions_swapped,
        wiring_faults.directions_joined_the_wrong_way,
        wiring_faults.last_step_for_last_valid,
        model_faults.directions_averaged,
    ),
    "backwards": (operator_faults.direction_lost, wiring_faults.steps_in_reverse),
    "stateful": (
        wiring_faults.state_dropped,
        wiring_faults.state_not_handed_on,
        wiring_faults.states_exchanged,
    ),
    "text": (
        weight_faults.embedding_row_off_by_one,
        weight_faults.embedding_shifted,
        wiring_faults.sigmoid_twice,
        wiring_faults.unknown_ids_taken_for_the_last_word,
        model_faults.mask_of_tokens_ignored,
        bundle_faults.vocabulary_shifted,
        bundle_faults.vocabulary_sorted,
        bundle_faults.texts_cut,
    ),
    "quantized": tuple(map(_of_int8, INT8_FAULTS)),
    "normalized": (
        wiring_faults.first_step_returned,
        wiring_faults.dropout_left_on,
        wiring_faults.dropout_scales_at_inference,
        model_faults.layer_norm_epsilon,
        model_faults.batch_norm_epsilon,
        model_faults.batch_norm_in_training_mode,
        model_faults.scaling_left_out,
        model_faults.scaled_by_the_variance,
    ),
    "heads": (wiring_faults.heads_exchanged, weight_faults.one_recurrent_weight_a_thousandth_off),
}

FALSIFICATIONS: tuple[Falsification, ...] = tuple(
    Falsification(subject, falsify) for subject, faults in _DONE_TO.items() for falsify in faults
)
"""By subject, so that one right export at a time is needed."""
