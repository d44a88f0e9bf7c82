import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runNexus } from '../../test/tools/cli.ts';
import { asTyped, wordFor } from './command-word.ts';

const bin = resolve(import.meta.dirname, 'bin.mjs');

const openFolder = (): string => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'nexus-word-')));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

test('within an installation one types `npx nexus`, where a link to it is on the path its name', () => {
  const folder = openFolder();
  const app = join(folder, 'app');
  const file = (...names: string[]): string => {
    const path = join(folder, ...names);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, '');
    return path;
  };
  const link = join(folder, 'nexus');
  symlinkSync(file('app', 'services', 'cli', 'bin.mjs'), link);
  for (const [script, word] of [
    [join(app, 'services', 'cli', 'bin.mjs'), 'npx nexus'],
    [file('app', 'scripts', 'demo.ts'), 'npx nexus'],
    [file('app', 'node_modules', '.bin', 'nexus'), 'npx nexus'],
    [file('other', 'node_modules', '.bin', 'nexus'), 'npx nexus'],
    [link, 'nexus'],
    [file('app', 'node_modules', 'a-test-runner', 'main.js'), 'nexus'],
    [join(folder, 'gone'), 'nexus'],
    [undefined, 'nexus'],
  ] as const) {
    expect(wordFor(script, app), script ?? 'nothing').toBe(word);
  }
});

test('our commands get the word that works here; what only looks like one, or is a container’s, stays', () => {
  const ours = (word: string) => `\`${word} up\` or ${word} logs x, $(${word} token), `;
  const text = (word: string) =>
    `${ours(word)}docker compose exec gateway nexus token, nexus: no, ~/nexus up, nexus-up`;
  expect(asTyped(text('nexus'), 'npx nexus')).toBe(text('npx nexus'));
  expect(asTyped(text('npx nexus'), 'npx nexus')).toBe(text('npx nexus'));
});

test('where the command runs in a container, advice names it as it is reached from beside', () => {
  const word = 'docker compose exec gateway nexus';
  expect(asTyped('`nexus status`; `nexus up`, then nexus down or nexus resume --all', word)).toBe(
    `\`${word} status\`; \`docker compose up -d\`, then docker compose down or ${word} resume --all`,
  );
  const env = { PATH: process.env.PATH, NEXUS_HOME: openFolder(), NEXUS_URL: 'http://127.0.0.1:1', NEXUS_TOKEN: 't' };
  const { stderr } = spawnSync(process.execPath, [bin, 'tasks'], {
    env: { ...env, NEXUS_COMMAND: word },
    encoding: 'utf8',
  });
  expect(stderr).toContain('`docker compose up -d`');
});

test('what `nexus` advises can be typed as it was started', () => {
  const folder = openFolder();
  const link = join(folder, 'nexus');
  symlinkSync(bin, link);
  const env = { PATH: process.env.PATH, NEXUS_HOME: folder, NEXUS_URL: 'http://127.0.0.1:1', NEXUS_TOKEN: 't' };
  const said = (script: string) => spawnSync(process.execPath, [script, 'tasks'], { env, encoding: 'utf8' }).stderr;
  expect(said(bin)).toContain('`npx nexus up`');
  expect(said(link)).toContain('`nexus up`');
});

test('every verb is named in help and advice as it is typed, and so is the command itself', async () => {
  const { out } = await runNexus(openFolder(), ['--help'], 'http://127.0.0.1:9');
  const verbs = [...out.matchAll(/^ {2}([a-z]+) (?:[[<]| {2})/gm)].map(([, verb = '']) => verb);
  expect(verbs).toEqual(expect.arrayContaining(['run', 'plan', 'cost', 'budget', 'memory', 'sessions', 'help']));
  for (const verb of [...verbs, '[options]']) {
    expect(asTyped(`Usage: nexus ${verb} x`, 'npx nexus')).toBe(`Usage: npx nexus ${verb} x`);
  }
});
