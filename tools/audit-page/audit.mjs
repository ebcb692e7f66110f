// Shows a page to a browser at each width and in each scheme of colours: node audit.mjs URL [FOLDER]
// Prints a line of JSON for each: its size, the links that lead to nothing to see, and the rules of axe-core that it breaks. FOLDER takes the pictures.
import fs from 'node:fs';
import path from 'node:path';
import chromium from '@sparticuz/chromium';
import puppeteer from 'puppeteer-core';

const [url, folder] = process.argv.slice(2);
const axe = fs.readFileSync('node_modules/axe-core/axe.min.js', 'utf8');

// The links of the page to a place of its own that do not lead to something to see. A string, for
// it runs in the page.
const hiddenTargets = `(async () => {
  const hidden = [];
  for (const { hash } of document.querySelectorAll('a[href^="#"]')) {
    location.hash = hash;
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (!document.getElementById(hash.slice(1))?.checkVisibility()) hidden.push(hash);
  }
  return hidden;
})()`;

async function audit(browser, width, scheme) {
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.goto(url);
  const [height, scrollWidth] = await page.evaluate('[document.body.scrollHeight, document.body.scrollWidth]');
  if (folder) await page.screenshot({ path: path.join(folder, `${width}-${scheme}.png`), fullPage: true });
  const hidden = await page.evaluate(hiddenTargets);
  // What would only open with a click is looked at, too.
  await page.evaluate('document.querySelectorAll("details").forEach((details) => (details.open = true))');
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate('axe.run()');
  await page.close();
  const broken = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  return { width, scheme, height, scrollWidth, errors, hidden, broken, passed: passes.map(({ id }) => id) };
}

const browser = await puppeteer.launch({
  executablePath: process.env.CHROME || (await chromium.executablePath()),
  args: [...chromium.args, '--no-sandbox'],
  headless: 'shell',
});
try {
  for (const width of [1400, 400]) {
    for (const scheme of ['light', 'dark']) console.log(JSON.stringify(await audit(browser, width, scheme)));
  }
} finally {
  await browser.close();
}
