import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { isAlive, pidsIn, runDemo, type Run } from './run-demo.js';

const CHROMIUM = '/usr/bin/chromium';
const WITHIN_MS = 60_000;

let run: Run | undefined;
let browser: Browser | undefined;
let url = '';

async function printed(pattern: RegExp): Promise<RegExpExecArray> {
  const until = performance.now() + WITHIN_MS;
  for (;;) {
    const match = pattern.exec(run?.printed() ?? '');
    if (match !== null) return match;
    if (performance.now() > until || (run?.child.exitCode ?? null) !== null) throw new Error(`the demo did not print ${pattern.source}:\n${run?.printed() ?? ''}`);
    await pause(50);
  }
}

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is missing; install it by: apt-get install -y --no-install-recommends chromium`);
  run = runDemo('main.ts', '--port', '0');
  browser = await puppeteer.launch({ executablePath: CHROMIUM, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
  url = (await printed(/Try it yourself: (\S+)/))[1] ?? '';
}, WITHIN_MS);

afterAll(async () => {
  await browser?.close();
  run?.child.kill('SIGINT');
  await run?.ended;
}, WITHIN_MS);

async function pressed(page: Page, button: string, answer: RegExp): Promise<void> {
  await page.click(button);
  await page.waitForFunction((source) => new RegExp(source).test(document.querySelector('#status')?.textContent ?? ''), { timeout: 20_000 }, answer.source);
}

const textOf = (page: Page, selector: string) => page.$eval(selector, (element) => element.textContent);
/** The cart once it shows that many items; the page says what it did before it has asked for the cart again. */
async function items(page: Page, count: number): Promise<(string | null)[]> {
  await page.waitForFunction((wanted) => document.querySelectorAll('#cart li[data-item]').length === wanted, { timeout: 20_000 }, count);
  return page.$$eval('#cart li[data-item]', (entries) => entries.map(({ textContent }) => textContent));
}

describe('the page', () => {
  it('keeps the cart when the process that has it is killed by the button', async () => {
    const page = await browser!.newPage(); // made in beforeAll
    await page.goto(url);
    await pressed(page, '#add', /^Added tea #1/);
    const owner = await page.waitForSelector('.process.owner').then((box) => box!.evaluate((element) => element.getAttribute('data-name') ?? '')); // waited for
    const pid = Number(/\d+/.exec(await textOf(page, '.process.owner .pid'))?.[0]);
    await pressed(page, `.process.owner [data-verb=kill]`, / was killed/);
    await page.waitForSelector(`[data-name=${owner}] .state.dead`);
    expect(isAlive(pid)).toBe(false);

    await pressed(page, '#add', /^Added bread #2/);
    expect(await items(page, 2)).toEqual(['tea #1', 'bread #2']);
    await page.waitForFunction(() => document.querySelector('#events')?.textContent.includes('was killed (kill -9)'));
    await page.waitForFunction((name) => document.querySelector('#events')?.textContent.includes(`your session moved ${name} →`), {}, owner);
    await page.waitForSelector(`[data-name=${owner}] .state.up`); // it is started again

    await pressed(page, '#add20', /^20 sent, 20 answered, 20 of them in the cart, 0 lost/);
    expect(await items(page, 22)).toHaveLength(22);
    await pressed(page, '#logout', /^Logged out/);
    expect(await items(page, 0)).toEqual([]);
    await page.setViewport({ width: 360, height: 740 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
  }, WITHIN_MS);

  it('kills nothing for anybody else', async () => {
    const kill = (headers: Record<string, string>) => fetch(`${url}/demo/kill/a`, { method: 'POST', headers }).then(({ status }) => status);
    expect(await kill({})).toBe(403);
    expect(await kill({ 'x-demo-token': 'guessed' })).toBe(403);
    const token = /name="demo-token" content="(\w+)"/.exec(await (await fetch(url)).text())?.[1] ?? '';
    expect((await fetch(`${url}/demo/kill/d`, { method: 'POST', headers: { 'x-demo-token': token } })).status).toBe(404);
    expect((await fetch(`${url}/demo/kill/a`, { headers: { 'x-demo-token': token } })).status).toBe(404);
  });

  it('ends everything by Ctrl-C', async () => {
    run!.child.kill('SIGINT'); // made in beforeAll
    const { status, text } = await run!.ended;
    expect(text).not.toContain('not what the demo promises');
    expect(text).toContain('Sessions still locked: 0.');
    expect(status).toBe(0);
    expect(pidsIn(text).filter(isAlive)).toEqual([]);
  }, WITHIN_MS);
});
