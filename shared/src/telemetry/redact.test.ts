import { describe, expect, test } from 'vitest';
import { openRedactor } from './redact.ts';

const redactor = openRedactor(['correct-horse-battery']);

describe('redaction', () => {
  test.each([
    ['a value of a secret variable', 'it is correct-horse-battery!', 'correct-horse'],
    ['an OpenAI or Anthropic key', 'key sk-ant-api03-abcdefghijklmnopqrstuv', 'sk-ant'],
    ['a GitHub token', 'ghp_abcdefghijklmnopqrstuvwxyz0123456789', 'ghp_'],
    ['an AWS key id', 'AKIAABCDEFGHIJKLMNOP', 'AKIA'],
    ['a JSON web token', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3', 'eyJ'],
    ['a password in a URL', 'redis://user:hunter2hunter2@host:6379', 'hunter2'],
    ['an authorization header', 'Authorization: Bearer abc.def', 'abc.def'],
    ['a quoted password', '{"password": "hunter two"}', 'hunter'],
    ['an exported variable', 'export DB_PASSWORD=hunter2hunter2', 'hunter2'],
    ['a private key', '-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\nafter', 'MIIEow'],
    ['a private key that was cut off', 'x\n-----BEGIN PRIVATE KEY-----\nMIIEow', 'MIIEow'],
  ])('hides %s', (_, text, secret) => {
    expect(redactor.text(text)).not.toContain(secret);
    expect(redactor.text(text)).toContain('(redacted)');
  });

  test('leaves ordinary text and code alone', () => {
    const text =
      'const token = nextToken();\nif (password === undefined) throw new Error("no password");\nhttps://a.b/c';
    expect(redactor.text(text)).toBe(text);
  });

  test('reaches every text of a value', () => {
    expect(redactor.value({ a: ['correct-horse-battery', 1, null], b: { c: 'x' } })).toEqual({
      a: ['(redacted)', 1, null],
      b: { c: 'x' },
    });
  });

  test('finds a secret that two chunks share', () => {
    const stream = redactor.stream();
    const out = stream.push('one\nit is correct-ho') + stream.push('rse-battery\ntwo') + stream.end();
    expect(out).toBe('one\nit is (redacted)\ntwo');
  });

  test('drops the lines of a private key in a stream, and goes on after it', () => {
    const stream = redactor.stream();
    const out =
      stream.push('-----BEGIN PRIVATE KEY-----\nMIIE') + stream.push('ow\nabc\n-----END PRIVATE KEY-----\nafter\n');
    expect(out).not.toMatch(/MIIE|abc/);
    expect(out).toContain('after');
  });

  test('lets a line without end out in pieces', () => {
    const stream = redactor.stream();
    expect(stream.push('x'.repeat(20_000)).length).toBe(20_000);
  });
});
