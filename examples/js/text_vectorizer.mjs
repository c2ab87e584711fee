// Text to token ids exactly as seqship/pipelines/text_vectorizer.py makes them, and as Keras' TextVectorization does:
// A-Z become small, the 32 ASCII punctuation characters go, and ASCII white space separates. Nothing else is touched:
// É stays É, U+00A0 and U+2028 stay within a token. What is touched is ASCII alone, so that it makes no difference that
// strings are UTF-16 here and bytes of UTF-8 there.

const PUNCTUATION = /[!-/:-@[-`{-~]/g;
const WHITE_SPACE = /[ \t\n\v\f\r]+/;
const PADDING = '';
const UNKNOWN = '[UNK]';
const UNKNOWN_ID = 1;

/** A text, or a vocabulary, that cannot be used. Its message is one line. */
export class TextError extends Error {
  name = 'TextError';
}

/**
 * Returns the tokens of a text.
 *
 * @param {string} text
 * @returns {string[]}
 * @throws {TextError} The text holds a lone surrogate, which has no UTF-8 form.
 */
export function textTokens(text) {
  if (!text.isWellFormed()) {
    throw new TextError('the text holds a lone surrogate, which has no UTF-8 form; take it out');
  }
  const standard = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).replace(PUNCTUATION, '');
  return standard.split(WHITE_SPACE).filter((token) => token !== '');
}

/** A vocabulary, and how texts become its ids. */
export class TextVectorizer {
  /**
   * @param {string[]} vocabulary The token of each id: "" first, "[UNK]" second.
   * @param {{ maxLength?: number | null, truncate?: 'pre' | 'post' }} [options] Most ids of a text, and which end of a
   *   longer one is dropped: "pre" its head, "post" its tail.
   * @throws {TextError} It is no vocabulary.
   */
  constructor(vocabulary, { maxLength = null, truncate = 'post' } = {}) {
    if (vocabulary[0] !== PADDING || vocabulary[1] !== UNKNOWN) {
      throw new TextError(`a vocabulary begins with "" and "[UNK]", met ${JSON.stringify(vocabulary.slice(0, 2))}`);
    }
    if (maxLength !== null && !(maxLength >= 1)) {
      throw new TextError(`the most ids of a text must be 1 or more, met ${maxLength}`);
    }
    if (truncate !== 'pre' && truncate !== 'post') {
      throw new TextError(`truncate must be "pre" or "post", met ${JSON.stringify(truncate)}`);
    }
    this.maxLength = maxLength;
    this.truncate = truncate;
    this.index = new Map(vocabulary.map((token, id) => [token, id]));
    if (this.index.size !== vocabulary.length) {
      throw new TextError('a token of the vocabulary stands there twice');
    }
  }

  /**
   * Reads a vocabulary file: one token a line, in UTF-8.
   *
   * @param {Uint8Array} bytes
   * @param {{ maxLength?: number | null, truncate?: 'pre' | 'post' }} [options]
   * @throws {TextError} It is no vocabulary.
   */
  static fromBytes(bytes, options) {
    let text;
    try {
      // A byte order mark would be part of the first token, as in Python.
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw new TextError('the vocabulary is not UTF-8 text');
    }
    return new TextVectorizer(text.replace(/\n$/, '').split('\n'), options);
  }

  /**
   * Returns the ids of a text; none for a text without a word.
   *
   * @param {string} text
   * @returns {number[]}
   */
  ids(text) {
    let tokens = textTokens(text);
    if (this.maxLength !== null && tokens.length > this.maxLength) {
      tokens = this.truncate === 'pre' ? tokens.slice(-this.maxLength) : tokens.slice(0, this.maxLength);
    }
    return tokens.map((token) => this.index.get(token) ?? UNKNOWN_ID);
  }
}
