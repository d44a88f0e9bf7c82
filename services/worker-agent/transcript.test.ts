import { openRedactor } from '@nexus/shared/telemetry';
import { describe, expect, test, vi } from 'vitest';
import { openTranscript } from './transcript.ts';

const open = (bytesMax = 1_000_000, everyMs = 50) => {
  const pieces: string[] = [];
  const redactor = openRedactor(['a-secret-value']);
  const transcript = openTranscript({ redactor, bytesMax, everyMs, onPiece: (text) => pieces.push(text) });
  return { transcript, pieces };
};

describe('a transcript', () => {
  test('gathers small writes into one piece, which goes out after a while', async () => {
    const { transcript, pieces } = open();
    for (const word of ['one\n', 'two\n', 'three\n']) transcript.write(word);
    expect(pieces).toEqual([]);
    await vi.waitFor(() => expect(pieces).toEqual(['one\ntwo\nthree\n']));
  });

  test('lets the first words out without waiting, and gathers what follows them', async () => {
    const { transcript, pieces } = open(1_000_000, 3_600_000);
    transcript.write('one\n');
    await vi.waitFor(() => expect(pieces).toEqual(['one\n']));
    for (const word of ['two\n', 'three\n']) transcript.write(word);
    // The next timer of ours would have gone off by then.
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(pieces).toEqual(['one\n']);
    transcript.end();
    expect(pieces).toEqual(['one\n', 'two\nthree\n']);
  });

  test('lets a flood out at once, in pieces that fit an entry of the journal, in any script', () => {
    const { transcript, pieces } = open();
    transcript.write(`${'世界'.repeat(2000)}\n`);
    transcript.end();
    expect(pieces.join('')).toBe(`${'世界'.repeat(2000)}\n`);
    for (const piece of pieces) expect(Buffer.byteLength(piece)).toBeLessThanOrEqual(1800);
  });

  test('redacts what it shows and what it keeps, also across writes', () => {
    const { transcript, pieces } = open();
    transcript.write('it is a-sec');
    transcript.write('ret-value here');
    transcript.end();
    expect(transcript.text()).toBe('it is (redacted) here');
    expect(pieces.join('')).toBe('it is (redacted) here');
  });

  test('keeps the beginning and the end of what is too long, and counts the rest', () => {
    const { transcript } = open(1000);
    transcript.write('begin\n');
    for (let line = 0; line < 2000; line++) transcript.write(`line ${line}\n`);
    transcript.end();
    expect(transcript.text()).toMatch(/^begin\n[\s\S]*characters cut out[\s\S]*line 1999\n$/);
    expect(transcript.text().length).toBeLessThan(1100);
    expect(transcript.tail(10)).toBe('line 1999\n');
  });
});
