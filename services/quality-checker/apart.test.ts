/** A gate on this machine sees nothing of the installation that runs it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { defaultHome } from '@nexus/shared/config';
import { expect, test } from 'vitest';
import { base, commit, home as folder, npmProject, submitted, toolsFor, verdictOf } from '../../test/tools/gate.ts';
import { onCandidateSubmitted } from './on-candidate-submitted.ts';

const checkout = join(import.meta.dirname, '../..');

/** Gates a candidate as a local fleet does that was told nothing of a home. */
const gateAtHome = async (files: Record<string, string>) => {
  const tools = toolsFor();
  const config = { ...tools.config, hubs: join(folder, 'hubs'), home: defaultHome({ HOME: folder }) };
  const order = submitted({ commit: await commit(files, base), integration: base });
  return verdictOf(await onCandidateSubmitted(order, { ...tools, config }));
};

test('a test that imports a package which only NEXUS has installed is red', async () => {
  expect(existsSync(join(checkout, 'node_modules', 'zod'))).toBe(true);
  const verdict = await gateAtHome({
    'package.json': npmProject({ test: 'node --test' }),
    'a.test.js':
      "import { test } from 'node:test';\nimport { z } from 'zod';\ntest('reads', () => z.string().parse('a'));\n",
  });
  expect(verdict).toMatchObject({ verdict: 'failed', checks: [{ state: 'failed', command: 'npm test' }] });
  expect(verdict.log_tail).toContain("Cannot find package 'zod'");
});

test('an npm script finds neither our compiler nor our Node on its search path', async () => {
  const look = `
import { test } from 'node:test';
import assert from 'node:assert';
test('the search path is free of the checkout', () => {
  const folders = process.env.PATH.split(':').filter((one) => one.endsWith('/.bin'));
  assert.deepEqual(folders.filter((one) => one.startsWith(${JSON.stringify(`${checkout}/`)})), []);
  assert.ok(!process.execPath.startsWith(${JSON.stringify(`${checkout}/`)}), process.execPath);
});
`;
  const verdict = await gateAtHome({ 'package.json': npmProject({ test: 'node --test' }), 'a.test.js': look });
  expect(verdict).toMatchObject({ verdict: 'passed', checks: [{ tests: { total: 1, passed: 1 } }] });
});
