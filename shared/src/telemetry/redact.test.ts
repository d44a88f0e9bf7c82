import { describe, expect, test } from 'vitest';
import { openRedactor } from './redact.ts';

const redactor = openRedactor(['correct-horse-battery']);

describe('redaction', () => {
  test.each([
    ['a value of a secret variable', 'it is correct-horse-battery!', 'correct-horse'],
    ['an OpenAI or Anthropic key', 'key sk-ant-api03-abcdefghijklmnopqrstuv', 'sk-ant'],
    ['a GitHub token', 'ghp_abcdefghijklmnopqrstuvwxyz0123456789', 'ghp_'],
    ['a Hugging Face token', `hf_${'a'.repeat(34)}`, 'hf_a'],
    ['a PyPI token', `pypi-${'A'.repeat(60)}`, 'pypi-A'],
    ['a Vault token', `hvs.${'a1'.repeat(20)}`, 'hvs.a'],
    ['a Google token', `ya29.${'a'.repeat(40)}`, 'ya29.a'],
    ['a Slack address', 'https://hooks.slack.com/services/T0000/B0000/abcdefghijkl', 'abcdefghijkl'],
    ['a key of Azure', `AccountKey=${'a'.repeat(40)}==`, 'aaaa'],
    ['a pass of the credential proxy', `sk-nexus-${'a'.repeat(32)}`, 'sk-nexus'],
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
    const out = stream.push('x'.repeat(20_000));
    expect(out.length).toBeGreaterThan(19_000);
    expect(out.length + stream.end().length).toBe(20_000);
  });

  test.each([
    ['a value of ours', 'correct-horse-battery'],
    ['a key of a common shape', 'sk-ant-api03-abcdefghijklmnopqrstuv'],
    ['a token in an address', 'https://me:hunter2hunter2@host'],
  ])('finds %s in a line without end, wherever chunks and pieces are cut', (_, secret) => {
    for (const size of [1000, 4096, 8192]) {
      // The first cut lies 512 characters before the end of the first chunk that is too much.
      const cut = (Math.floor(8192 / size) + 1) * size - 512;
      for (let before = -10; before < 40; before += 1) {
        const text = `${' '.repeat(cut - before)}${secret} ${'y '.repeat(8000)}`;
        const stream = redactor.stream();
        let out = '';
        for (let from = 0; from < text.length; from += size) out += stream.push(text.slice(from, from + size));
        out += stream.end();
        expect(out).toContain('(redacted)');
        expect(out.replaceAll(/[y ]/g, '').length).toBeLessThan(40);
        expect(out).not.toMatch(/horse|battery|api03|qrstuv|hunter/);
      }
    }
  });

  test('finds a value as JSON, an address or base64 would spell it', () => {
    const { text } = openRedactor(['pass"word with / in']);
    const spelled = [JSON.stringify('pass"word with / in'), encodeURIComponent('pass"word with / in')];
    for (const one of [...spelled, Buffer.from('pass"word with / in').toString('base64')]) {
      expect(text(`it is ${one}.`)).toContain('(redacted)');
    }
  });
});
