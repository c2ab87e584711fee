// A review: typed or picked. Its words become token ids as they did when the model was trained.
import { textTokens } from './js/text_vectorizer.mjs';
import { asking, choices } from './result.mjs';

const SAMPLES = [
  ['Praise', 'The acting was really good and the story never felt stale. To be honest, the music was charming.'],
  ['Complaint', 'I think the plot was clumsy. The ending seemed very dull, and the pace was not good.'],
  ['Mixed', 'The scenery looked lovely, but the script was tedious and the lead actor was hardly funny.'],
];

/** Fills the part of the page for reviews. */
export async function showReview(section, bundle, predict) {
  const { vectorizer } = bundle;
  const classes = bundle.outputs.find((field) => field.classes)?.classes;
  if (vectorizer === null || !classes) {
    throw new Error(`${bundle.name} does not classify texts; serve a bundle that has a vocabulary and classes`);
  }
  const box = section.querySelector('textarea');
  const words = section.querySelector('.words');
  const answering = async ([item]) => (await predict([item])).map((answer) => ({ ...answer, classes }));
  const ask = asking(section, answering);

  function update() {
    words.textContent = told(box.value, vectorizer);
    return ask(box.value.trim() ? box.value : null);
  }

  const unmark = choices(
    section.querySelector('.choices'),
    SAMPLES.map(([name, text]) => ({
      name,
      label: `Sample review: ${name.toLowerCase()}`,
      choose: () => {
        box.value = text;
        update();
      },
    })),
  );
  box.addEventListener('input', () => {
    unmark();
    update();
  });
}

/** Says how many words the model reads, and how many of them it knows. */
function told(text, vectorizer) {
  if (!text.trim() || !text.isWellFormed()) return '';
  const ids = vectorizer.ids(text);
  const count = textTokens(text).length;
  const unknown = ids.filter((id) => id === 1).length;
  const parts = [`${count} ${count === 1 ? 'word' : 'words'}`];
  if (unknown) parts.push(`${unknown} not in the vocabulary`);
  if (count > ids.length) parts.push(`the ${vectorizer.truncate === 'pre' ? 'last' : 'first'} ${ids.length} are read`);
  return parts.join(', ');
}
