import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openingOf } from './options.ts';

test.each(['demo', 'dev', 'chaos', 'sabotage', 'simulate', 'new-service', 'docs', 'tidy'])(
  '%s says how it is called, and what it does not know in one line, without a stack',
  (name) => {
    const run = (word: string) =>
      spawnSync(process.execPath, [join(import.meta.dirname, `${name}.ts`), word], { encoding: 'utf8' });
    const help = run('--help');
    expect([help.status, help.stderr]).toEqual([0, '']);
    expect(help.stdout).toMatch(new RegExp(`npm run ${name}`));
    const wrong = run('--nonsense');
    expect([wrong.status, wrong.stdout]).toEqual([2, '']);
    expect(wrong.stderr).toContain("'--nonsense'");
    expect(wrong.stderr).not.toMatch(/^ +at /m);
  },
);

test('what a file opens with is its first comment, without its stars', () => {
  expect(openingOf('/**\n * One.\n *\n *   npm run x\n */\nimport y;\n/** Not this. */')).toBe('One.\n\n  npm run x');
});
