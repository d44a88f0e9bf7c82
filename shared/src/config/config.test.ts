import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { defineConfig, inheritedEnvironment, is, loadConfig, secretFiles, secretValues, setting } from './config.ts';

const definition = defineConfig({
  port: setting('PORT', is.port, 'Where it listens.', { default: '8080' }),
  grace: setting('GRACE', is.duration, 'How long.', { default: '5s' }),
  size: setting('SIZE', is.bytes, 'How much.', { default: '64kB' }),
  on: setting('ON', is.flag, 'Whether.', { default: 'off' }),
  names: setting('NAMES', is.list, 'Which.', { default: '' }),
  token: setting('TOKEN', is.optionalText, 'A secret.', { secret: true }),
});

test('settings that are left out take their defaults, read as if a person had written them', () => {
  expect(loadConfig(definition, {})).toEqual({
    port: 8080,
    grace: 5000,
    size: 64_000,
    on: false,
    names: [],
    token: undefined,
  });
});

test('durations, sizes, flags and lists are read from the words that people write', () => {
  const config = loadConfig(definition, { GRACE: '1.5m', SIZE: '2MB', ON: 'yes', NAMES: 'a, b ,,c' });
  expect(config).toMatchObject({ grace: 90_000, size: 2_000_000, on: true, names: ['a', 'b', 'c'] });
});

test('CONFIG_INVALID: all problems are told together, each with the setting, its text and what it may be', () => {
  expect.assertions(3);
  try {
    loadConfig(definition, { PORT: 'eighty', GRACE: 'soon', ON: 'perhaps' });
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', details: { count: 3 } });
    expect((error as Error).message).toContain(
      'GRACE is "soon": expected a duration such as 30s, 5m or 24h (default 5s)',
    );
    expect((error as Error).message).toContain(
      'PORT is "eighty": expected a whole number from 0 to 65535 (default 8080)',
    );
  }
});

test('a required setting that is missing is named with what it is for', () => {
  const needed = defineConfig({ key: setting('KEY', is.text, 'The key to it all.', { required: true }) });
  expect(() => loadConfig(needed, {})).toThrow('KEY is not set: The key to it all.');
});

test('a secret may lie in a file, is never quoted in a problem and never printed', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'nexus-config-')), 'token');
  writeFileSync(file, 'hush\n');
  const config = loadConfig(definition, { TOKEN_FILE: file });
  expect(config.token).toBe('hush');
  const strict = defineConfig({ key: setting('KEY', is.port, 'A port.', { secret: true }) });
  expect(() => loadConfig(strict, { KEY: 'hunter2' })).toThrow('(secret)');
  expect(() => loadConfig(strict, { KEY: 'hunter2' })).not.toThrow('hunter2');
});

test('a secret file that cannot be read is a problem, not a missing secret', () => {
  expect(() => loadConfig(definition, { TOKEN_FILE: '/nowhere/token' })).toThrow('TOKEN_FILE cannot be read');
});

test('what is inherited is what was named, and families by their beginning', () => {
  expect(inheritedEnvironment(['PATH', 'LC_*'], { PATH: '/bin', LC_ALL: 'C', SECRET: 'x' })).toEqual({
    PATH: '/bin',
    LC_ALL: 'C',
  });
});

test('redaction is told the values of variables whose names sound secret', () => {
  const environment = {
    NEXUS_TOKEN: 'abcdefgh',
    GITHUB_API_KEY: 'ijklmnop',
    AUTHOR_NAME: 'somebody else',
    X_TOKEN: 'on',
  };
  expect(secretValues(environment)).toEqual(['abcdefgh', 'ijklmnop']);
});

test('secrets in files and passwords in addresses are secret values too', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-config-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'key');
  writeFileSync(file, 'from-the-file\n');
  const environment = {
    A_API_KEY_FILE: file,
    REDIS_URL: 'redis://u:p%40ssword1@host:1',
    A_TOKEN_FILE: '/nowhere',
    SORT_FILE: file,
  };
  expect(secretValues(environment).sort()).toEqual(['from-the-file', 'p%40ssword1', 'p@ssword1']);
  expect(secretFiles(environment)).toEqual([file, '/nowhere']);
});

test('an address is one of the protocols that were asked for, and is quoted only where it is no secret', () => {
  const declared = (secret: boolean) => ({ at: setting('AT', is.url('redis://h:1', 'redis:'), 'Where.', { secret }) });
  expect(loadConfig(declared(false), { AT: 'redis://:hush@h:1/0' }).at).toBe('redis://:hush@h:1/0');
  for (const AT of ['foo', 'http://h', 'h:6379']) {
    expect(() => loadConfig(declared(false), { AT })).toThrow(`AT is "${AT}": expected an address such as redis://h:1`);
    expect(() => loadConfig(declared(true), { AT })).not.toThrow(AT === 'foo' ? 'foo' : `"${AT}"`);
  }
});
