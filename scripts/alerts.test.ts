import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { root } from './parts.ts';

type Rule = { alert: string; expr: string };
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const rules = (parse(read('deploy/prometheus/alerts.yml')) as { groups: { rules: Rule[] }[] }).groups[0]?.rules ?? [];

test('every alert has its row in the runbook, and every row its alert', () => {
  const rows = [...read('deploy/OPERATING.md').matchAll(/^\| `(Nexus\w+)` \|/gm)].map(([, name]) => name);
  expect(rows).toEqual(rules.map(({ alert }) => alert));
});

test('every alert looks only at metrics that the code makes', () => {
  const sources = globSync('{services,shared/src}/**/*.ts', { cwd: root }).filter((file) => !file.endsWith('.test.ts'));
  const made = new Set(
    sources.flatMap((file) => [...read(file).matchAll(/'(nexus_[a-z_]+)'/g)].map(([, name]) => name)),
  );
  const asked = new Set(rules.flatMap(({ expr }) => expr.match(/nexus_[a-z_]+/g) ?? []));
  expect(rules.length).toBeGreaterThan(0);
  expect([...asked].filter((name) => !made.has(name))).toEqual([]);
});
