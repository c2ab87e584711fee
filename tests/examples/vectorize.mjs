// Reads {vocabulary, maxLength, truncate, texts} from standard input and prints the ids of each text.
import { TextVectorizer } from '../../examples/js/text_vectorizer.mjs';

let input = '';
for await (const chunk of process.stdin.setEncoding('utf8')) input += chunk;
const { vocabulary, maxLength, truncate, texts } = JSON.parse(input);
const vectorizer = TextVectorizer.fromBytes(new TextEncoder().encode(vocabulary), { maxLength, truncate });
console.log(JSON.stringify(texts.map((text) => vectorizer.ids(text))));
