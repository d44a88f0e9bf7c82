import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { checkEnvironment } from './environment.ts';

test('checks run with the person’s own Node; ours is the last on the search path', () => {
  const path = checkEnvironment('/home/of').PATH?.split(delimiter) ?? [];
  expect(path.at(-1)).toBe(dirname(process.execPath));
  expect(path.indexOf('/usr/bin')).toBeLessThan(path.length - 1);
  expect(path).not.toContain(fileURLToPath(new URL('../../node_modules/.bin', import.meta.url)));
});
