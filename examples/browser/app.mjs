// Opens the bundles that the server has and gives each its part of the page.
import * as ort from './ort/ort.wasm.bundle.min.mjs';
import { openBundle } from './js/bundle.mjs';
import { createPredictor } from './js/predictor.mjs';
import { showHeartbeat } from './heartbeat.mjs';
import { showReview } from './review.mjs';

const PARTS = { heartbeat: showHeartbeat, review: showReview };

// One thread: more need a page that is isolated from all others, and gain nothing for small recurrent models.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL('./ort/ort-wasm-simd-threaded.wasm', import.meta.url).href };
ort.env.logLevel = 'fatal';

/** Returns a reader of the files below a path; null stands for a file that is not there. */
function reader(path) {
  return async (name) => {
    const answer = await fetch(`${path}/${name}`);
    if (answer.status === 404) return null;
    if (!answer.ok) throw new Error(`${name} cannot be read: HTTP ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
}

async function start(name) {
  const section = document.getElementById(name);
  section.hidden = false;
  section.setAttribute('aria-busy', 'true');
  try {
    const bundle = await openBundle(reader(`bundles/${name}`));
    await PARTS[name](section, bundle, await createPredictor(ort, bundle));
  } catch (error) {
    section.querySelector('.error').textContent = oneLine(error);
  } finally {
    section.removeAttribute('aria-busy');
  }
}

const oneLine = (error) => String(error.message ?? error).replace(/\s+/g, ' ');

try {
  const answer = await fetch('bundles.json');
  if (!answer.ok) throw new Error(`bundles.json cannot be read: HTTP ${answer.status}; start the page with serve.py`);
  // One after the other: onnxruntime-web sets itself up at the first.
  for (const name of await answer.json()) await start(name);
} catch (error) {
  const failure = document.getElementById('failure');
  failure.textContent = oneLine(error);
  failure.hidden = false;
}
document.documentElement.dataset.ready = 'true';
