// Asks a model about what the page holds, and shows the class and the probabilities, or what is wrong.

/**
 * Returns a function that asks about an item; where more come while one is under way, only the newest is asked about.
 *
 * @param {HTMLElement} section Has an element `.error` and an element `.result`.
 * @param {(items: unknown[]) => Promise<object[]>} predict
 * @param {Record<string, string>} [meanings] What a class stands for.
 * @returns {(item: unknown) => Promise<void>} null shows nothing.
 */
export function asking(section, predict, meanings = {}) {
  const error = section.querySelector('.error');
  const result = section.querySelector('.result');
  let waiting;
  let running = null;

  async function run() {
    while (waiting !== undefined) {
      const item = waiting;
      waiting = undefined;
      try {
        const answer = item === null ? null : (await predict([item]))[0];
        error.textContent = '';
        show(result, answer, meanings);
      } catch (problem) {
        result.replaceChildren();
        delete result.dataset.answer;
        error.textContent = oneLine(problem);
      }
    }
  }

  return (item) => {
    waiting = item;
    section.setAttribute('aria-busy', 'true');
    running ??= run().finally(() => {
      running = null;
      section.removeAttribute('aria-busy');
    });
    return running;
  };
}

/** Returns what went wrong, in one line; there is one item here, so that its number says nothing. */
function oneLine(problem) {
  const text = String(problem.message ?? problem).replace(/\s+/g, ' ');
  return text.replace(/^sequence 0 at step/, 'The value at step').replace(/^(sequence|text) 0 /, 'The $1 ');
}

function show(result, answer, meanings) {
  if (answer === null) {
    result.replaceChildren();
    delete result.dataset.answer;
    return;
  }
  result.dataset.answer = JSON.stringify(answer);
  const verdict = element('p', 'verdict', named(answer.class, meanings));
  const bars = element('ul', 'bars');
  bars.setAttribute('aria-label', 'Probabilities');
  for (const [name, probability] of answer.classes.map((name, at) => [name, answer.probabilities[at]])) {
    const row = document.createElement('li');
    const bar = element('div', 'bar');
    bar.style.width = `${100 * probability}%`;
    const track = element('div', 'track');
    track.setAttribute('aria-hidden', 'true');
    track.append(bar);
    row.append(element('span', 'name', name), track, element('span', 'percent', `${(100 * probability).toFixed(1)} %`));
    bars.append(row);
  }
  result.replaceChildren(verdict, bars);
}

const named = (name, meanings) => (meanings[name] ? `${name}: ${meanings[name]}` : name);

/** Makes an element. */
export function element(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/**
 * Makes the buttons of samples; the one that was pressed last is marked until `unmark` is called.
 *
 * @param {HTMLElement} group
 * @param {{ name: string, label: string, choose: () => void }[]} samples
 * @returns {() => void} unmark
 */
export function choices(group, samples) {
  const unmark = () => {
    for (const button of group.children) button.setAttribute('aria-pressed', 'false');
  };
  for (const { name, label, choose } of samples) {
    const button = element('button', '', name);
    button.type = 'button';
    button.setAttribute('aria-label', label);
    button.setAttribute('aria-pressed', 'false');
    button.addEventListener('click', () => {
      choose();
      unmark();
      button.setAttribute('aria-pressed', 'true');
    });
    group.append(button);
  }
  return unmark;
}
