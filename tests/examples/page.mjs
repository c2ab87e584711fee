// Drives the page in Chromium: reads {playwright, chromium, url, actions} from standard input and prints what was seen.
//
// An action is [verb, selector, argument...]; `read` and `attribute` give a value, the others null. After each, the page
// is waited for until nothing in it is busy.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const { playwright, chromium: executablePath, url, actions, viewport } = JSON.parse(await text(process.stdin));
const { chromium } = createRequire(playwright)('playwright-core');

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-quic'] });
const page = await browser.newPage({ viewport: viewport ?? { width: 1000, height: 900 } });
const requests = [];
const problems = [];
page.on('request', (request) => requests.push(request.url()));
page.on('pageerror', (error) => problems.push(error.message));
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));

const verbs = {
  fill: (selector, value) => page.fill(selector, value),
  click: (selector) => page.click(selector),
  press: (key) => page.keyboard.press(key),
  read: (selector) => page.textContent(selector),
  attribute: (selector, name) => page.getAttribute(selector, name),
  visible: (selector) => page.isVisible(selector),
  focused: () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.id),
  value: (selector) => page.inputValue(selector),
  width: () => page.evaluate(() => document.documentElement.scrollWidth),
  async draw(selector, points) {
    const box = await page.locator(selector).boundingBox();
    const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
    await page.mouse.move(...at(points[0]));
    await page.mouse.down();
    for (const point of points.slice(1)) await page.mouse.move(...at(point), { steps: 8 });
    await page.mouse.up();
  },
};

try {
  await page.goto(url);
  await page.waitForSelector('html[data-ready=true]');
  const seen = [];
  for (const [verb, ...given] of actions) {
    seen.push((await verbs[verb](...given)) ?? null);
    await page.waitForFunction(() => !document.querySelector('[aria-busy]'));
  }
  console.log(JSON.stringify({ seen, requests, problems }));
} finally {
  await browser.close();
}
