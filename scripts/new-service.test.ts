import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stampService } from './new-service.ts';
import { root } from './parts.ts';

const listed = [
  'shared/src/messages/domain.ts',
  'shared/src/messages/messages.ts',
  'deploy/Dockerfile',
  'docker-compose.yml',
];
const folder = mkdtempSync(join(tmpdir(), 'nexus-new-service-'));
const read = (path: string): string => readFileSync(join(folder, path), 'utf8');

beforeAll(() => {
  for (const path of listed) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(root, path), join(folder, path));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a new service gets its files, and every list of services names it', () => {
  const written = stampService(folder, 'cost-keeper');
  expect(written).toContain('services/cost-keeper/main.ts');
  expect(read('services/cost-keeper/main.ts')).toContain("handlers: { 'cost-keeper.pinged': onCostKeeperPinged }");
  for (const path of listed) expect(read(path)).toContain('cost-keeper');
});

test('the same name twice, and a name that is none, are refused with a sentence', () => {
  expect(() => stampService(folder, 'cost-keeper')).toThrow('exists already');
  expect(() => stampService(folder, 'Cost Keeper')).toThrow('lower-case words with dashes');
  expect(() => stampService(folder, '')).toThrow('no name');
});
