import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attemptReport } from '@nexus/shared/messages/domain';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Left, leftSince, planOf, readLeft, reportOf } from './report.ts';

const nothing: Left = { 'report.json': null, 'report.md': null, 'plan.json': null };
const left = (changes: Partial<Left>): Left => ({ ...nothing, ...changes });

describe('a report', () => {
  test('is read from report.json', () => {
    const json = JSON.stringify({ summary: 'Done.', confidence_score: 0.7, files: ['a.js'], unknown: true });
    const { report } = reportOf(left({ 'report.json': json }), 'output');
    expect(report).toMatchObject({ summary: 'Done.', confidence_score: 0.7, files: ['a.js'], deliverables: [] });
  });

  test('keeps what can be used of a report with mistakes', () => {
    const json = {
      summary: 'Done.',
      confidence_score: 'very',
      deliverables: 'one thing',
      recommendations: [{ text: 'limit' }, 'test'],
      agent_feedback: { clarity_rating: 9, complexity_rating: '3' },
    };
    const { report } = reportOf(left({ 'report.json': `\`\`\`json\n${JSON.stringify(json)}\n\`\`\`` }), '');
    expect(report).toMatchObject({
      summary: 'Done.',
      confidence_score: null,
      deliverables: ['one thing'],
      recommendations: ['{"text":"limit"}', 'test'],
      agent_feedback: { clarity_rating: null, complexity_rating: 3, additional_questions: [] },
    });
  });

  test('is the first paragraph of report.md, with the whole as its document', () => {
    const { report, document } = reportOf(left({ 'report.md': '# Title\n\nFirst.\n\nSecond.' }), 'output');
    expect(report.summary).toBe('First.');
    expect(document).toContain('Second.');
  });

  test('is the end of what the agent said where there is no file', () => {
    expect(reportOf(nothing, `${'x'.repeat(5000)}\nlast words\n`).report.summary).toMatch(/last words$/);
  });

  test('has a summary from the output if its own is missing', () => {
    expect(reportOf(left({ 'report.json': '{"files": ["a"]}' }), 'I did it').report.summary).toBe('I did it');
  });

  test.each(['not json', '[]', 'null', '{"summary": 7}'])('survives %s in report.json', (text) => {
    expect(attemptReport.safeParse(reportOf(left({ 'report.json': text }), 'said').report).success).toBe(true);
  });

  test('fits into an envelope, however long its lists are', () => {
    const long = Array.from({ length: 500 }, (_, index) => `${index} ${'世'.repeat(900)}`);
    const json = {
      summary: '世'.repeat(9000),
      deliverables: long,
      recommendations: long,
      next_steps: long,
      files: long,
    };
    const { report } = reportOf(left({ 'report.json': JSON.stringify(json) }), '');
    expect(Buffer.byteLength(JSON.stringify(report))).toBeLessThan(20_000);
    expect(attemptReport.safeParse(report).success).toBe(true);
  });
});

describe('a plan', () => {
  const subtask = { id: 'api', title: 'API', role: 'backend', goal: 'Build it.' };

  test('is taken with its defaults', () => {
    const plan = planOf(left({ 'plan.json': JSON.stringify({ subtasks: [subtask] }) }));
    expect(plan).toMatchObject({ file: { subtasks: [{ id: 'api', kind: 'code', depends_on: [] }] } });
  });

  test('is null where there is none', () => {
    expect(planOf(nothing)).toBeNull();
  });

  test.each([
    ['text that is no JSON', 'subtasks: []', /not JSON/],
    ['no subtasks', '{"subtasks": []}', /subtasks/],
    ['a field that does not exist', JSON.stringify({ subtasks: [{ ...subtask, goals: 'x' }] }), /goals/],
    [
      'too much',
      JSON.stringify({
        subtasks: [...Array(20)].map((_, id) => ({ ...subtask, id: `s${id}`, goal: 'x'.repeat(4000) })),
      }),
      /at most/,
    ],
  ])('says what is wrong with %s', (_, text, pattern) => {
    expect(planOf(left({ 'plan.json': text }))).toMatchObject({ problem: expect.stringMatching(pattern) });
  });
});

test('of a plan that does not fit, what can be read of its graph goes along', () => {
  const nodes = [
    { id: 'api', role: 'backend', goals: 'x', depends_on: ['page'] },
    { id: 'My Page', role: 7, depends_on: 'api' },
    'text',
    { role: 'tester' },
  ];
  const sketchOf = (more: object) => planOf(left({ 'plan.json': JSON.stringify({ subtasks: nodes, ...more }) }));
  expect(sketchOf({})).toMatchObject({
    sketch: [
      { id: 'api', role: 'backend', depends_on: ['page'] },
      { id: 'My Page', role: null, depends_on: [] },
    ],
  });
  expect(sketchOf({ agents: [] })).toMatchObject({ sketch: [{ id: 'api', role: null }, { id: 'My Page' }] });
  expect(planOf(left({ 'plan.json': '{"subtasks": 3}' }))).toMatchObject({ sketch: [] });
});

describe('what lies in .nexus', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nexus-left-'));
    mkdirSync(join(folder, '.nexus'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('is read as text; links and folders are not', async () => {
    writeFileSync(join(folder, '.nexus/report.md'), 'hello');
    symlinkSync('/etc/hostname', join(folder, '.nexus/report.json'));
    mkdirSync(join(folder, '.nexus/plan.json'));
    expect(await readLeft(folder)).toEqual(left({ 'report.md': 'hello' }));
  });

  test('counts only if the agent wrote it', () => {
    const before = left({ 'plan.json': 'old', 'report.md': 'old' });
    expect(leftSince(before, left({ 'plan.json': 'old', 'report.md': 'new' }))).toEqual(left({ 'report.md': 'new' }));
  });
});
