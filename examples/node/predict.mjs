// node predict.mjs BUNDLE [FILE]: one JSON line an answer for each sequence or text, as `seqship predict` prints them.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BundleError, openBundle } from '../js/bundle.mjs';
import { DataError } from '../js/contract.mjs';
import { createPredictor } from '../js/predictor.mjs';
import { TextError } from '../js/text_vectorizer.mjs';

const USAGE = `usage: node predict.mjs BUNDLE [FILE]

Each line of FILE, or of standard input, is JSON: a sequence ([0.98, 1.0, 0.58], or a list of steps), or an object that
holds one under the input's name. For a bundle with a vocabulary it is a text: a JSON string, an object that holds one
under "text", or just the text.

Example:  echo '[0.98, 1.0, 0.58, 0.13]' | node predict.mjs bundles/ecg-gru`;

/** A mistake of whoever called; its message is one line. */
class UsageError extends Error {}

async function main(words) {
  if (words.includes('--help') || words.includes('-h')) {
    console.log(USAGE);
    return;
  }
  if (words.length < 1 || words.length > 2) {
    throw new UsageError('give a bundle, and at most one file; node predict.mjs --help explains');
  }
  const [directory, file = '-'] = words;
  const bundle = await openBundle(reader(directory));
  const source = file === '-' ? 'standard input' : file;
  const given = lines(await textOf(file, source), source);
  const items = given.map(bundle.vectorizer ? textItem : (line) => sequenceItem(line, bundle.inputs));
  const ort = await runtime();
  const predict = await createPredictor(ort, bundle);
  for (const answer of await predict(items)) console.log(JSON.stringify(answer));
}

/** Loads onnxruntime once the input is known to be well: its own installation may be missing. */
async function runtime() {
  try {
    return (await import('onnxruntime-node')).default;
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UsageError('onnxruntime-node is not installed; run npm ci in examples/');
  }
}

function reader(directory) {
  return async (name) => {
    try {
      return await readFile(join(directory, name));
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') {
        throw new UsageError(`cannot read ${error.path}: ${error.code}`);
      }
      const there = await stat(directory).then(() => true, () => false);
      if (!there) throw new UsageError(`no bundle at ${directory}: the path does not exist`);
      return null;
    }
  };
}

async function textOf(file, source) {
  const chunks = [];
  try {
    if (file === '-') for await (const chunk of process.stdin) chunks.push(chunk);
    else chunks.push(await readFile(file));
  } catch (error) {
    throw new UsageError(`cannot read ${source}: ${error.code ?? error.message}`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new UsageError(`${source} is not UTF-8 text`);
  }
}

function lines(text, source) {
  const found = text.split('\n').map((line, index) => ({ line: line.trim(), place: `${source} line ${index + 1}` }));
  const given = found.filter(({ line }) => line);
  if (!given.length) throw new UsageError(`${source} is empty; give JSON lines`);
  return given;
}

function sequenceItem({ line, place }, inputs) {
  let value;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new UsageError(`${place} is no JSON: ${error.message}`);
  }
  if (Array.isArray(value) || value === null || typeof value !== 'object') return value;
  const { name } = inputs.find((field) => !field.name.startsWith('state/'));
  if (!(name in value)) {
    throw new UsageError(`${place} has no ${name}; it has: ${Object.keys(value).join(', ') || 'nothing'}`);
  }
  return value[name];
}

/** A line is JSON where it begins as a JSON string or object does; else it is the text. */
function textItem({ line, place }) {
  if (!/^["{]/.test(line)) return line;
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    return line;
  }
  const text = typeof value === 'object' ? value?.text : value;
  if (typeof text !== 'string') {
    throw new UsageError(`${place} is neither a text nor an object with one, such as {"text": "..."}`);
  }
  return text;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const expected = [UsageError, BundleError, DataError, TextError].some((kind) => error instanceof kind);
  if (!expected) throw error;
  console.error(`predict.mjs: error: ${error.message.split('\n').join(' ')}`);
  process.exitCode = error.refused ? 1 : 2;
}
