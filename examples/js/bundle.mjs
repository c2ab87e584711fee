// Opens a bundle: its manifest, its model and its vocabulary, each held to its digest. Runs in Node.js and in browsers.
import { TextVectorizer } from './text_vectorizer.mjs';

const FORMAT = 1;
const MANIFEST = 'manifest.json';
const MODEL = 'model.onnx';

/** A fault of a bundle: it is none, or not the one that was proven. Its message is one line. */
export class BundleError extends Error {
  /** @param {string} message  @param {{ refused?: boolean }} [options] refused: a bundle, but not to be run */
  constructor(message, { refused = false } = {}) {
    super(message);
    this.name = 'BundleError';
    this.refused = refused;
  }
}

/**
 * Opens a bundle and checks what it is about to run.
 *
 * @param {(name: string) => Promise<Uint8Array | null>} read Returns a file of the bundle, null where it is not there.
 * @returns {Promise<{ name: string, inputs: object[], outputs: object[], model: Uint8Array,
 *   vectorizer: TextVectorizer | null }>}
 * @throws {BundleError} It is no bundle, a file is not the one its manifest names, or its proof does not hold.
 */
export async function openBundle(read) {
  const manifest = parseManifest(await read(MANIFEST));
  const proofs = [manifest.equivalence, ...Object.values(manifest.parts ?? {})];
  if (!proofs.every((proof) => proof?.equivalent === true)) {
    throw new BundleError('the bundle is not proven equivalent; see its report.html', { refused: true });
  }
  if (!(MODEL in manifest.files)) {
    throw new BundleError(`the bundle holds no ${MODEL}; export it with --formats saved_model,onnx`);
  }
  const model = await checkedFile(read, manifest, MODEL);
  const text = manifest.preprocessing?.text;
  const vectorizer = text
    ? TextVectorizer.fromBytes(await checkedFile(read, manifest, text.vocabulary), {
        maxLength: text.max_length,
        truncate: text.truncate,
      })
    : null;
  const { inputs, outputs } = manifest.contract;
  return { name: manifest.name, inputs, outputs, model, vectorizer };
}

function parseManifest(bytes) {
  if (bytes === null) {
    throw new BundleError(`there is no bundle: it has no ${MANIFEST}; make one with seqship ship`);
  }
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new BundleError(`${MANIFEST} cannot be read: ${error.message}`);
  }
  if (manifest?.format !== FORMAT) {
    throw new BundleError(`the bundle has format ${manifest?.format}, this program reads ${FORMAT}`);
  }
  const { files, contract, equivalence } = manifest;
  if (!files || !equivalence || !Array.isArray(contract?.inputs) || !Array.isArray(contract?.outputs)) {
    throw new BundleError(`${MANIFEST} is no manifest: it lacks the files, the contract or the proof`);
  }
  return manifest;
}

/** Returns a file once its size and SHA-256 are those of the manifest. */
async function checkedFile(read, manifest, name) {
  const facts = manifest.files[name];
  const bytes = facts ? await read(name) : null;
  if (bytes === null) {
    throw new BundleError(`${name} is missing; the bundle is not the one that was proven`, { refused: true });
  }
  if (!globalThis.crypto?.subtle) {
    throw new BundleError('digests need a secure context: open the page from localhost or over https');
  }
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (bytes.length !== facts.size || hex !== facts.sha256) {
    const expected = String(facts.sha256).slice(0, 12);
    const found = `${bytes.length} bytes, sha256 ${hex.slice(0, 12)}`;
    throw new BundleError(`${name} has changed (${found}, manifest says ${facts.size} bytes, ${expected})`, {
      refused: true,
    });
  }
  return bytes;
}
