import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCatalog } from '@nexus/shared/catalog';
import { planFile } from '@nexus/shared/messages/domain';
import { expect, onTestFinished, test } from 'vitest';
import { repositoryGuests, requestGuests, withGuests } from './guest-agents.ts';

const catalog = await openCatalog();
const definition = (name: string, more = '') =>
  `---\nname: ${name}\ndescription: Mends clocks.\n${more}---\n\nYou mend clocks.\n`;

const repository = (files: Record<string, string>): string => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-guests-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, '.claude', 'agents'), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, '.claude', 'agents', name), text);
  return folder;
};
const plan = (...roles: string[]) =>
  planFile.parse({ subtasks: roles.map((role, at) => ({ id: `s${at}`, title: 'x', role, goal: 'x' })) });

test('agents of the repository can be named by a plan, which then takes their definitions along', async () => {
  const folder = repository({
    'clockmaker.md': definition('clockmaker', 'tools: Read, Edit\nmodel: sonnet\n'),
    'unused.md': definition('unused'),
    'README.md': 'No definition.',
  });
  const guests = await repositoryGuests(folder, catalog, () => expect.fail());
  expect(guests.map(({ agent }) => agent.agent_id)).toEqual(['clockmaker', 'unused']);
  expect(withGuests(plan('clockmaker', 'builder'), guests).agents).toEqual([
    expect.objectContaining({
      agent_id: 'clockmaker',
      prompt: 'You mend clocks.',
      tools: ['Read', 'Edit'],
      model: 'sonnet',
    }),
  ]);
  expect(withGuests(plan('builder'), guests)).not.toHaveProperty('agents');
});

test('an agent of the repository never stands in place of one of the fleet', async () => {
  const folder = repository({ 'builder.md': definition('builder'), 'other.md': definition('x', 'role: reviewer\n') });
  expect(await repositoryGuests(folder, catalog, () => {})).toEqual([]);
});

test('what is no definition, a link, or too large is told and left alone', async () => {
  const folder = repository({
    'wrong.md': definition('wrong', 'shoe: 43\n'),
    'big.md': definition('big', `#${'x'.repeat(17_000)}\n`),
  });
  symlinkSync('/etc/passwd', join(folder, '.claude', 'agents', 'link.md'));
  const told: string[] = [];
  expect(await repositoryGuests(folder, catalog, (says) => told.push(says))).toEqual([]);
  expect(told).toEqual([
    expect.stringContaining('big.md has more than 16000 bytes'),
    expect.stringContaining('link.md is no plain file'),
    expect.stringContaining('line 4: shoe: there is no such key'),
  ]);
  expect(await repositoryGuests(tmpdir(), catalog, () => {})).toEqual([]);
});

test('agents of the request can be named by a plan, too, and what the plan defines itself wins', () => {
  const given = { name: 'Clockmaker', description: 'Mends clocks.', prompt: 'You mend clocks.' };
  const guests = requestGuests([given]);
  expect(withGuests(plan('clockmaker'), guests).agents).toEqual([given]);
  const own = { ...plan('clockmaker'), agents: [{ ...given, prompt: 'Mine.' }] };
  expect(withGuests(own, guests).agents).toEqual(own.agents);
});
