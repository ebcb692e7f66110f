// Shows the page to a browser and keeps what it shows: node picture.mjs DASHBOARD.json PICTURE.png
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import chromium from '@sparticuz/chromium';
import puppeteer from 'puppeteer-core';
import UPNG from 'upng-js';

const [dashboard, picture] = process.argv.slice(2);
const { PROMETHEUS, END, RANGE = '3600', RATE = '1m', WIDTH = '1440', HEIGHT, THEME = 'dark', CHOSEN = '{}', CHROME } = process.env;
const KINDS = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml' };
const ICONS = '/img/icons/';

function file(pathname) {
  if (pathname === '/') return 'index.html';
  if (pathname === '/dashboard.json') return dashboard;
  if (pathname.includes(ICONS)) return path.join('node_modules/@grafana/ui/dist/public/img/icons', pathname.split(ICONS)[1]);
  return path.join('.', pathname);
}

/** The same picture with a palette, a third as large. */
function small(png) {
  const image = UPNG.decode(png.buffer.slice(png.byteOffset, png.byteOffset + png.byteLength));
  return Buffer.from(UPNG.encode(UPNG.toRGBA8(image), image.width, image.height, 256));
}

const server = http.createServer((request, response) => {
  const name = file(new URL(request.url, 'http://localhost').pathname);
  fs.readFile(name, (error, body) => {
    if (error) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': KINDS[path.extname(name)] || 'application/octet-stream' }).end(body);
  });
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

// Grafana's dates need a language that the browser knows.
const browser = await puppeteer.launch({
  executablePath: CHROME || (await chromium.executablePath()),
  args: [...chromium.args, '--no-sandbox', '--lang=en-US'],
  headless: 'shell',
  env: { ...process.env, LANG: 'en_US.UTF-8', LC_ALL: 'en_US.UTF-8', TZ: 'UTC' },
});
let problems;
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error('pageerror', error.message));
  await page.setViewport({ width: +WIDTH, height: 900 });
  const query = new URLSearchParams({ prometheus: PROMETHEUS, end: END ?? '', range: RANGE, rate: RATE, width: WIDTH, theme: THEME, chosen: CHOSEN });
  await page.goto(`http://127.0.0.1:${server.address().port}/?${query}`);
  await page.waitForFunction('window.__ready === true', { timeout: 60000 });
  problems = await page.evaluate('window.__problems');
  const shot = HEIGHT ? { clip: { x: 0, y: 0, width: +WIDTH, height: +HEIGHT } } : { fullPage: true };
  fs.writeFileSync(picture, small(await page.screenshot(shot)));
} finally {
  await browser.close();
  server.close();
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length ? 1 : 0;
