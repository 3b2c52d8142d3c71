import { describe, expect, it } from '@jest/globals';
import { judge } from '../records.js';
import { duration, summaryLines, Timeline, type Measured } from '../timeline.js';

const figures = judge(
  [{ shopper: 1, item: 'tea', sentAtMs: 0, tookMs: 3, answer: { kind: 'ok', by: 'a', cart: ['tea'], newSession: false } }],
  new Map([[1, []]]), { killed: [], paused: [] });
const measured: Measured = {
  takeoverMs: { afterKill: 46.4, afterPause: undefined }, reads: 2, storeCalls: { read: 1, acquire: 1, commit: 1, beat: 7 },
};

describe('the timeline', () => {
  it('writes durations as people read them', () => {
    expect([0.4, 46.4, 2010, 3000].map(duration)).toEqual(['0 ms', '46 ms', '2.01 s', '3 s']);
  });

  it('sums up what was found, lost and measured', () => {
    const lines = new Map(summaryLines(figures, measured));
    expect(lines.get('changes answered')).toMatch(/^1 +found in the carts: 0 +lost: 1/);
    expect(lines.get('takeover')).toMatch(/^46 ms after kill -9, none after the pause/);
    expect(lines.get('store operations')).toMatch(/^0\.50 per read +2\.00 per change/);
  });

  it.each([true, false])('uses colours only when asked: %s', (color) => {
    let text = '';
    const timeline = new Timeline({ write: (part: string) => { text += part; } }, color);
    timeline.say('kill -9 b', 'b was inside 2 requests', 'bad');
    timeline.summary(figures, measured, false);
    expect(text.includes('\u001b[')).toBe(color);
    expect(text).toContain('lost: tea');
    expect(text).toContain('This is not what the demo promises.');
  });
});
