// A heartbeat: drawn, picked or given as numbers. The numbers are what the model is asked about, however they came.
import { asking, choices } from './result.mjs';

const WIDTH = 187; // samples across the drawing, as in the heartbeats of the recipe
const HERTZ = 125;
const MEANINGS = {
  N: 'normal beat',
  S: 'supraventricular ectopic beat',
  V: 'ventricular ectopic beat',
  F: 'fusion of a ventricular and a normal beat',
  Q: 'paced or unknown beat',
};

/** Fills the part of the page for heartbeats. */
export async function showHeartbeat(section, bundle, predict) {
  const plot = section.querySelector('.plot');
  const numbers = section.querySelector('textarea');
  const classes = bundle.outputs.find((field) => field.classes)?.classes;
  if (!classes) throw new Error(`${bundle.name} names no classes; serve a bundle that classifies`);
  const answering = async ([item]) => (await predict([item])).map((answer) => ({ ...answer, classes }));
  const ask = asking(section, answering, classes.join('') === 'NSVFQ' ? MEANINGS : {});

  function update(beat) {
    draw(plot, beat);
    plot.setAttribute('aria-label', beat.length ? `A beat of ${beat.length} samples` : 'No beat yet');
    return ask(beat.length ? beat : null);
  }

  function set(beat) {
    numbers.value = beat.join(', ');
    return update(beat);
  }

  const answer = await fetch('samples.json');
  if (!answer.ok) throw new Error(`samples.json cannot be read: HTTP ${answer.status}`);
  const samples = await answer.json();
  const unmark = choices(
    section.querySelector('.choices'),
    samples.map(({ label, values }) => ({ name: label, label: `Sample beat ${label}`, choose: () => set(values) })),
  );
  numbers.addEventListener('input', () => {
    unmark();
    const words = numbers.value.split(/[\s,;]+/).filter(Boolean);
    update(words.map((word) => (/^[-+.\d]/.test(word) ? Number(word) : NaN)));
  });
  follow(plot, {
    drawing: (heights) => draw(plot, heights),
    drawn: (heights) => {
      unmark();
      set(scaled(heights.filter((height) => height !== undefined)));
    },
  });
}

/** Shows a beat, or as much of it as is drawn; what is no number is shown as 0. */
function draw(plot, beat) {
  const last = Math.max(WIDTH, beat.length) - 1;
  const points = [];
  beat.forEach((value, step) => {
    const height = Number.isFinite(value) ? Math.min(Math.max(value, 0), 1) : 0;
    points.push(`${((186 * step) / last).toFixed(2)},${(96 - 92 * height).toFixed(2)}`);
  });
  plot.querySelector('polyline').setAttribute('points', points.join(' '));
  document.getElementById('seconds').textContent = `${((last + 1) / HERTZ).toFixed(1)} s, ${HERTZ} samples a second`;
}

/** Follows the pointer: hands over the heights (0 to 1) at the steps that are drawn so far, and again at the end. */
function follow(plot, { drawing, drawn }) {
  let heights = null;
  let last = null;

  function add(event) {
    const box = plot.getBoundingClientRect();
    const step = Math.round(((event.clientX - box.left) / box.width) * (WIDTH - 1));
    const height = (0.96 - (event.clientY - box.top) / box.height) / 0.92; // as `draw` puts it
    const at = { step: Math.min(Math.max(step, 0), WIDTH - 1), height: Math.min(Math.max(height, 0), 1) };
    last ??= at;
    for (let one = Math.min(last.step, at.step); one <= Math.max(last.step, at.step); one++) {
      const share = at.step === last.step ? 1 : (one - last.step) / (at.step - last.step);
      heights[one] = last.height + share * (at.height - last.height);
    }
    last = at;
    drawing(heights);
  }

  plot.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    plot.setPointerCapture(event.pointerId);
    heights = [];
    last = null;
    add(event);
  });
  plot.addEventListener('pointermove', (event) => {
    if (heights !== null) add(event);
  });
  for (const end of ['pointerup', 'pointercancel']) {
    plot.addEventListener(end, () => {
      if (heights !== null) drawn(heights);
      heights = null;
    });
  }
}

/** Scales a beat to its own minimum and maximum, as the model's data is, with four digits; a flat one is all 0. */
function scaled(heights) {
  const low = Math.min(...heights);
  const range = Math.max(...heights) - low;
  return heights.map((height) => (range ? Math.round((1e4 * (height - low)) / range) / 1e4 : 0));
}
