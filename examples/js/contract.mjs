// The contract of a model's inputs and outputs, as it stands in a bundle's manifest: what a sequence may hold, how
// sequences become one array, and which class the scores name. The rules are those of seqship.serving.Predictor.

const ARRAYS = { float32: Float32Array, float64: Float64Array, int32: Int32Array, int64: BigInt64Array };

/** A sequence that breaks the contract. Its message is one line and names the sequence. */
export class DataError extends Error {
  name = 'DataError';
}

const isState = (field) => field.name.startsWith('state/');
const hasTime = (field) => field.shape.length >= 2 && typeof field.shape[1] === 'string';
const stepSize = (field) => field.shape.slice(2).reduce((size, axis) => size * axis, 1);

/**
 * Returns the contract of the one input that is a sequence of numbers.
 *
 * @throws {DataError} The model has several inputs, or one of another kind.
 */
export function sequenceInput(inputs) {
  const given = inputs.filter((field) => !isState(field));
  if (given.length !== 1) {
    throw new DataError(`the model takes several inputs (${given.map((field) => field.name).join(', ')}), not one`);
  }
  const [field] = given;
  if (field.shape.length < 2 || !(field.dtype in ARRAYS)) {
    const kind = `${field.dtype}, ${field.shape.length} axes`;
    throw new DataError(`the input ${field.name} is no sequence of numbers (${kind})`);
  }
  return field;
}

/** Returns the outputs that are answers, not states. */
export function answers(outputs) {
  return outputs.filter((field) => !isState(field));
}

/** Returns the output that has the scores of classes, null where there is none. */
export function scoring(outputs) {
  return outputs.find((field) => field.classes && field.shape.length === 2) ?? null;
}

/**
 * Returns the likeliest class and the probability of each.
 *
 * @param {object} field The output that has the scores; a single one is the probability of the second of two classes.
 * @param {ArrayLike<number>} scores Those of one sequence.
 */
export function classified(field, scores) {
  const all = scores.length === 1 ? [Math.fround(1 - scores[0]), scores[0]] : Array.from(scores);
  return { class: field.classes[all.indexOf(Math.max(...all))], probabilities: all };
}

/**
 * Returns the numbers of one sequence, step after step, once it keeps the contract.
 *
 * @param {unknown} value A list of numbers, or of steps that are lists of numbers.
 * @param {number} index Which sequence it is.
 * @param {object} field Contract of the input.
 * @returns {{ values: Float32Array | Float64Array | Int32Array | BigInt64Array, steps: number }}
 * @throws {DataError}
 */
export function checkedSequence(value, index, field) {
  const features = stepSize(field);
  const what = `sequence ${index}`;
  if (!Array.isArray(value)) {
    throw new DataError(`${what} is no list of numbers`);
  }
  if (!value.length) {
    throw new DataError(`${what} is empty; a sequence has at least one step`);
  }
  const numbers = value.map((step) => (Array.isArray(step) ? step.flat(Infinity) : [step])).flat();
  if (!numbers.every((number) => typeof number === 'number')) {
    throw new DataError(`${what} is no list of numbers, each step alike`);
  }
  const sizes = new Set(value.map((step) => (Array.isArray(step) ? step.flat(Infinity).length : 1)));
  if (sizes.size !== 1 || !sizes.has(features)) {
    throw new DataError(`${what} has steps of ${[...sizes].join(' and ')} numbers; the model takes ${features}`);
  }
  checkLength(value.length, what, field);
  const values = asType(numbers, what, field);
  checkValues(values, what, field, features);
  return { values, steps: value.length };
}

/**
 * Puts sequences of unequal length into one array, each filled behind its end with the pad value.
 *
 * @param {{ values: ArrayLike<number>, steps: number }[]} rows
 * @param {object} field Contract of the input.
 * @param {number} steps Length of the array's rows.
 * @returns {{ type: string, data: Float32Array | Float64Array | Int32Array | BigInt64Array, dims: number[] }}
 */
export function padded(rows, field, steps) {
  const width = steps * stepSize(field);
  const data = new ARRAYS[field.dtype](rows.length * width);
  const padValue = field.pad_value ?? 0;
  data.fill(field.dtype === 'int64' ? BigInt(padValue) : padValue);
  rows.forEach((row, index) => data.set(row.values, index * width));
  return { type: field.dtype, data, dims: [rows.length, steps, ...field.shape.slice(2)] };
}

/**
 * Groups sequences into what may run at once: by similar length where there is a pad value, else by equal length.
 *
 * @param {{ steps: number }[]} rows
 * @param {object} field Contract of the input.
 * @param {object[]} outputs Contracts of the answers.
 * @returns {{ members: number[], steps: number }[]} The places of the sequences, and the length of each batch.
 * @throws {DataError} The model answers every step, has no pad value, and the lengths differ.
 */
export function batches(rows, field, outputs, most = 256) {
  const longest = Math.max(...rows.map((row) => row.steps));
  const order = rows.map((_, index) => index).sort((a, b) => rows[a].steps - rows[b].steps || a - b);
  const stepwise = outputs.some(hasTime);
  const isPadded = field.pad_value !== undefined;
  if (stepwise && !isPadded && rows.some((row) => row.steps !== longest)) {
    throw new DataError('the model answers each step and has no pad value; give sequences of one length');
  }
  const made = [];
  for (const index of order) {
    const last = made.at(-1);
    const fits = last && last.members.length < most && (isPadded || last.steps === rows[index].steps);
    if (fits) {
      last.members.push(index);
      last.steps = Math.max(last.steps, rows[index].steps);
    } else {
      made.push({ members: [index], steps: rows[index].steps });
    }
  }
  // Answers to each step have as many steps as the longest sequence; a model of fixed length takes its own.
  const wanted = hasTime(field) ? (stepwise ? longest : 0) : field.shape[1];
  return made.map((batch) => ({ members: batch.members, steps: wanted || batch.steps }));
}

function checkLength(steps, what, field) {
  if (hasTime(field)) return;
  const length = field.shape[1];
  if (steps > length || (steps < length && field.pad_value === undefined)) {
    throw new DataError(`${what} has ${steps} steps; the model takes ${length}`);
  }
}

function asType(numbers, what, field) {
  if (field.dtype.startsWith('float')) return ARRAYS[field.dtype].from(numbers);
  const wrong = numbers.find((number) => !Number.isSafeInteger(number));
  if (wrong !== undefined) throw new DataError(`${what} holds ${wrong}; the model takes whole numbers`);
  if (field.dtype === 'int64') return BigInt64Array.from(numbers, BigInt);
  const outside = numbers.find((number) => number !== (number | 0));
  if (outside !== undefined) throw new DataError(`${what} holds ${outside}, which is no int32`);
  return Int32Array.from(numbers);
}

function checkValues(values, what, field, features) {
  const low = field.minimum ?? -Infinity;
  const high = field.maximum ?? Infinity;
  for (let start = 0; start < values.length; start += features) {
    const step = Array.from(values.slice(start, start + features), Number);
    const place = `${what} at step ${start / features}`;
    if (field.pad_value !== undefined && step.every((value) => value === field.pad_value)) {
      throw new DataError(
        `${what} holds the pad value ${field.pad_value} at step ${start / features}, which would be ignored; ` +
          'cut the padding off',
      );
    }
    const wrong = step.find((value) => !Number.isFinite(value));
    if (wrong !== undefined) throw new DataError(`${place} is ${wrong}; values are finite numbers`);
    const outside = step.find((value) => value < low || value > high);
    if (outside !== undefined) {
      const unit = field.unit || 'no unit';
      throw new DataError(`${place} is ${outside}, outside ${low}..${high}; the model takes: ${unit}`);
    }
  }
}
