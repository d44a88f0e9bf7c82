import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fabricConfig, loadConfig } from './config.ts';
import { defaultHome, demandApart, makeshiftWarning, modulesAbove } from './home.ts';

const checkout = resolve(import.meta.dirname, '../../..');

let person = '';
beforeEach(() => {
  person = realpathSync(mkdtempSync(join(tmpdir(), 'nexus-person-')));
});
afterEach(() => rmSync(person, { recursive: true, force: true }));

test('the home lies in the person’s folder for state, outside the checkout, with no node_modules above it', () => {
  const { home } = loadConfig(fabricConfig, { HOME: person });
  expect(home).toMatch(new RegExp(`^${person}/\\.local/state/nexus/[0-9a-f]{8}$`));
  expect(modulesAbove(home)).toBeNull();
  expect(modulesAbove(join(checkout, '.nexus'))).toBe(join(checkout, 'node_modules'));
  expect(makeshiftWarning(home)).toBeNull();
});

test('every installation has a home of its own, and always the same', () => {
  const of = (installation: string) => defaultHome({ HOME: person }, installation);
  expect(of('/one')).toBe(of('/one'));
  expect(of('/one')).not.toBe(of('/other'));
});

test('XDG_STATE_HOME is followed where it is absolute; NEXUS_HOME wins over both, and is made absolute', () => {
  const state = join(person, 'state');
  expect(defaultHome({ HOME: person, XDG_STATE_HOME: state }).startsWith(join(state, 'nexus') + sep)).toBe(true);
  expect(defaultHome({ HOME: person, XDG_STATE_HOME: 'state' })).toBe(defaultHome({ HOME: person }));
  expect(loadConfig(fabricConfig, { HOME: person, NEXUS_HOME: 'here' }).home).toBe(resolve('here'));
});

test('without a folder that can be written the home lies among temporary files, and that is said', () => {
  writeFileSync(join(person, 'file'), '');
  for (const HOME of [join(person, 'missing'), join(person, 'file')]) {
    const home = defaultHome({ HOME, XDG_STATE_HOME: join(person, 'file', 'state') });
    expect(home.startsWith(join(tmpdir(), 'nexus-'))).toBe(true);
    expect(makeshiftWarning(home)).toContain('Set NEXUS_HOME');
    expect(makeshiftWarning(home)).toContain(home);
  }
});

test('HOME_BELOW_MODULES: a home with a node_modules beside or above it is refused, through links, too', () => {
  const project = join(person, 'project');
  mkdirSync(join(project, 'node_modules'), { recursive: true });
  mkdirSync(join(project, 'inside'));
  symlinkSync(join(project, 'inside'), join(person, 'link'));
  for (const home of [project, join(project, 'not', 'there'), join(person, 'link', 'home')]) {
    expect(() => demandApart(home)).toThrow(join(project, 'node_modules'));
  }
  demandApart(join(person, 'elsewhere'));
});
