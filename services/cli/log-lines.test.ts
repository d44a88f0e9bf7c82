import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { lastLines, readableLine } from './log-lines.ts';

test('a line of JSON becomes a short one; any other stays as it is', () => {
  const line =
    '{"level":"warn","time":"2027-01-01T12:03:44.000Z","service":"gateway","reason":"refused","count":2,"msg":"Gone"}';
  expect(readableLine(line)).toBe('12:03:44 warn  Gone reason=refused count=2');
  for (const plain of ['node:internal/x', '{"half": ', '{"no":"message"}', '']) expect(readableLine(plain)).toBe(plain);
});

test('the stack of an error is kept', () => {
  const err = { stack: 'Error: no\n    at somewhere' };
  expect(readableLine(JSON.stringify({ level: 'error', time: '', msg: 'Broken', err }))).toBe(
    'error Broken\nError: no\n    at somewhere',
  );
});

test('the last lines of a file, however large it is; none of a file that is not there', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-log-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'x.log');
  writeFileSync(file, Array.from({ length: 50_000 }, (_, at) => `line ${at}\n`).join(''));
  expect(lastLines(file, 2)).toEqual(['line 49998', 'line 49999']);
  expect(lastLines(join(folder, 'none.log'), 2)).toEqual([]);
});
