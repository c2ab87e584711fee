// Answers for sequences or texts with onnxruntime, whichever one it is: onnxruntime-node or onnxruntime-web.
import { DataError, answers, batches, checkedSequence } from './contract.mjs';
import { classified, padded, scoring, sequenceInput } from './contract.mjs';

/**
 * Loads a bundle's model.
 *
 * @param {typeof import('onnxruntime-common')} ort The runtime.
 * @param {Awaited<ReturnType<typeof import('./bundle.mjs').openBundle>>} bundle
 * @returns {Promise<(items: unknown[]) => Promise<object[]>>} Takes sequences, or texts where the bundle has a
 *   vocabulary. Gives for each its `class` and `probabilities`; where the model does not classify, its outputs by name.
 * @throws {DataError} The model takes something else than one sequence; on a call, an item breaks the contract.
 */
export async function createPredictor(ort, bundle) {
  const field = sequenceInput(bundle.inputs);
  const outputs = answers(bundle.outputs);
  const scores = scoring(outputs);
  const names = outputs.map((one) => one.name);
  // Small recurrent models gain nothing by a second thread.
  const session = await ort.InferenceSession.create(bundle.model, { intraOpNumThreads: 1, logSeverityLevel: 4 });

  return async (items) => {
    const rows = items.map((item, index) => checkedSequence(numbers(item, index, bundle.vectorizer), index, field));
    const answered = new Array(rows.length);
    if (!rows.length) return answered;
    for (const { members, steps } of batches(rows, field, outputs)) {
      const { type, data, dims } = padded(members.map((index) => rows[index]), field, steps);
      const made = await session.run({ [field.name]: new ort.Tensor(type, data, dims) }, names);
      const named = (name, row) => [name, nested(rowOf(made[name], row), made[name].dims)];
      members.forEach((index, row) => {
        answered[index] = scores
          ? classified(scores, rowOf(made[scores.name], row))
          : Object.fromEntries(names.map((name) => named(name, row)));
      });
    }
    return answered;
  };
}

/** Returns the ids of a text, and what is no text as it is. */
function numbers(item, index, vectorizer) {
  if (typeof item !== 'string') return item;
  if (vectorizer === null) throw new DataError(`sequence ${index} is a text, and the bundle has no vocabulary`);
  const ids = vectorizer.ids(item);
  if (!ids.length) throw new DataError(`text ${index} has no word: ${JSON.stringify(item.slice(0, 40))}; leave it out`);
  return ids;
}

function rowOf(tensor, row) {
  const size = tensor.data.length / tensor.dims[0];
  return Array.from(tensor.data.subarray(row * size, (row + 1) * size), Number);
}

/** Returns the numbers of one row as lists in lists, shaped as the axes behind the first. */
function nested(numbers, dims) {
  return dims
    .slice(2)
    .reverse()
    .reduce(
      (list, size) => Array.from({ length: list.length / size }, (_, at) => list.slice(at * size, (at + 1) * size)),
      dims.length > 1 ? numbers : numbers[0],
    );
}
