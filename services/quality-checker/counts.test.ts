/** Outputs as the runners really write them: of `node --test` run here, of the others captured and shortened. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '@nexus/shared/process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { countTests, readTypeErrors } from './counts.ts';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nexus-counts-'));
  const suite = `
    import { describe, it, test } from 'node:test';
    import assert from 'node:assert';
    test('adds', () => {});
    test('fails > oddly (1ms) # now', () => assert.equal(1, 2));
    describe('suite', () => {
      it('inner ok', () => {});
      it('inner bad', () => assert.fail());
      it('later', { skip: true }, () => {});
      it('some day', { todo: true });
    });
    test('parent', async (t) => { await t.test('below', () => assert.fail()); });`;
  await writeFile(join(folder, 'a.test.mjs'), suite);
  await writeFile(join(folder, 'b.test.mjs'), "import './missing.mjs';");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const output = async (command: string): Promise<string> =>
  (await run({ command, folder, timeoutMs: 20_000, outputBytesMax: 1e6 })).output;

test.each(['spec', 'tap'])(
  'node --test, reporter %s: counts, and the names of what failed by itself',
  async (reporter) => {
    const { tests, failing } = countTests(await output(`node --test --test-reporter=${reporter}`), folder);
    expect(tests).toEqual({ total: 9, passed: 2, failed: 5, skipped: 2 });
    const own = ['below', 'fails > oddly (1ms) # now', 'inner bad'].map((title) => `a.test.mjs > ${title}`);
    expect(failing.toSorted()).toEqual([...own, 'b.test.mjs'].toSorted());
  },
);

test('node --test without a file counts zero, which is known', async () => {
  expect(countTests(await output('node --test nothing-*.js; node --test zzz/'), folder).tests?.total ?? 0).toBe(0);
  expect(countTests('ℹ tests 0\nℹ suites 0\nℹ pass 0\nℹ fail 0\n', folder).tests).toMatchObject({ total: 0 });
});

test('several runs of one command add up', () => {
  const once = 'ℹ tests 3\nℹ pass 2\nℹ fail 0\nℹ cancelled 0\nℹ skipped 1\nℹ todo 0\n';
  expect(countTests(once + once, folder).tests).toEqual({ total: 6, passed: 4, failed: 0, skipped: 2 });
});

test('what is not a runner’s output has no counts', () => {
  for (const text of ['', 'all 5 tests passed!', 'Tests: many', '# tests are good', 'ok, 3 things']) {
    expect(countTests(text, folder)).toEqual({ tests: null, failing: [] });
  }
});

test('TAP of another producer', () => {
  const tape =
    'TAP version 13\n# adds\nok 1 one\nnot ok 2 should be equal\n  ---\n    operator: equal\n  ...\n\n1..2\n# tests 2\n# pass  1\n# fail  1\n';
  expect(countTests(tape, folder)).toEqual({
    tests: { total: 2, passed: 1, failed: 1, skipped: 0 },
    failing: ['adds > should be equal'],
  });
  const bare = '1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no network\n';
  expect(countTests(bare, folder)).toEqual({
    tests: { total: 3, passed: 1, failed: 1, skipped: 1 },
    failing: ['b'],
  });
});

test('tape names file, test and assertion, and a run that did not come to its end is a failure of its own', () => {
  const text = `TAP version 13
# parse args
ok 1 no
not ok 2 multi
  ---
    operator: deepEqual
    at: Test.<anonymous> (${folder}/test/index.js:8:4)
    stack: |-
      Error: multi
          at Test.assert [as _assert] (${folder}/node_modules/tape/lib/test.js:228:54)
  ...
# SKIP other
`;
  const failing = ['test/index.js > parse args > multi'];
  const cut = countTests(text, folder);
  expect(cut.failing).toEqual([...failing, 'the run ended before all of its tests had run']);
  expect(countTests(`${text}\n1..2\n# tests 2\n# pass  1\n# fail  1\n`, folder)).toEqual({
    tests: { total: 2, passed: 1, failed: 1, skipped: 0 },
    failing,
  });
});

test('tap-spec', () => {
  const passed = '\n  flags\n\n    ✔ should be equal\n\n\n  total:     84\n  passing:   84\n  duration:  44ms\n\n';
  expect(countTests(passed, folder)).toEqual({ tests: { total: 84, passed: 84, failed: 0, skipped: 0 }, failing: [] });
  const text = `  flags

    ✖ should be equivalent
    -----------------------
      operator: deepEqual
      at: Test.<anonymous> (/x/test/index.js:67:4)

  Failed Tests: There were 3 failures

    comprehensive

      ✖ should be equivalent


    flags

      ✖ should be equivalent
      ✖ named


  total:     85
  passing:   82
  failing:   3
  duration:  38ms
`;
  expect(countTests(text, folder)).toEqual({
    tests: { total: 85, passed: 82, failed: 3, skipped: 0 },
    failing: ['comprehensive > should be equivalent', 'flags > should be equivalent', 'flags > named'],
  });
});

test('ava 3 and 6', () => {
  expect(countTests('  ✔ counter (139ms)\n  ─\n\n  20 tests passed\n', folder)).toEqual({
    tests: { total: 20, passed: 20, failed: 0, skipped: 0 },
    failing: [],
  });
  const three = '  ✖ main \n  ✔ lowercase (12ms)\n  ─\n\n  main\n\n  Difference:\n\n  1 test failed\n';
  const linter = '  index.js:5:4\n  ✖  5:4  Missing semicolon.  semi\n\n  1 error\n';
  expect(countTests(three + linter, folder)).toEqual({
    tests: { total: 2, passed: 1, failed: 1, skipped: 0 },
    failing: ['main'],
  });
  const six = `  - [skip] later
  - [todo] some day
  ✔ adds
  ✘ [fail]: a › fails › oddly (1.2s)
  ✔ [expected fail] known
  ─
  1 test failed
  1 known failure
  1 test skipped
  1 test todo
`;
  expect(countTests(six, folder)).toEqual({
    tests: { total: 5, passed: 2, failed: 1, skipped: 2 },
    failing: ['a > fails > oddly'],
  });
});

test('uvu', () => {
  const text = `a.js
 sums — ✘   (1 / 2)

   FAIL  sums  "fails oddly"
    Expected values to be strictly equal:  (is)

b.js
— ✘   (1 / 2)

   FAIL  "plain bad"

  Total:     4
  Passed:    2
  Skipped:   1
  Duration:  9.52ms
`;
  expect(countTests(text, folder)).toEqual({
    tests: { total: 5, passed: 2, failed: 2, skipped: 1 },
    failing: ['sums > fails oddly', 'plain bad'],
  });
});

test('vitest', () => {
  const text = [
    '\u001b[1m\u001b[46m RUN \u001b[49m\u001b[22m v5.1.1 /tmp/runners',
    '\u001b[31m     ×\u001b[39m subtracts 4ms',
    '\u001b[41m\u001b[1m FAIL \u001b[22m\u001b[49m v/b.test.ts\u001b[2m [ v/b.test.ts ]\u001b[22m',
    '\u001b[41m\u001b[1m FAIL \u001b[22m\u001b[49m v/a.test.ts\u001b[2m > \u001b[22mmath\u001b[2m > \u001b[22msubtracts',
    '\u001b[41m\u001b[1m FAIL \u001b[22m\u001b[49m \u001b[30m\u001b[42m unit \u001b[49m\u001b[39m v/c.test.ts > top > odd',
    ' FAIL  |unit| v/d.test.tsx > named',
    '\u001b[2m Test Files \u001b[22m \u001b[1m\u001b[31m2 failed\u001b[39m\u001b[22m\u001b[2m | \u001b[22m1 passed (3)',
    '\u001b[2m      Tests \u001b[22m \u001b[31m2 failed\u001b[39m | \u001b[32m2 passed\u001b[39m | 1 skipped | 1 todo (6)',
    '   Duration  1.08s',
  ].join('\n');
  expect(countTests(text, folder)).toEqual({
    tests: { total: 6, passed: 2, failed: 2, skipped: 2 },
    failing: ['v/b.test.ts', 'v/a.test.ts > math > subtracts', 'v/c.test.ts > top > odd', 'v/d.test.tsx > named'],
  });
  expect(countTests('\nNo test files found, exiting with code 1\n', folder).tests).toMatchObject({ total: 0 });
});

test('jest', () => {
  const text = `FAIL j/a.test.js (5.1 s)
  ● Console

    console.log
      noise

  ● math › subtracts

    expect(received).toBe(expected) // Object.is equality

  ● top level

    x

FAIL j/b.test.js
  ● Test suite failed to run

    Cannot find module './missing' from 'j/b.test.js'

PASS j/c.test.js

Summary of all failing tests
FAIL j/a.test.js
  ● math › subtracts

Test Suites: 2 failed, 1 passed, 3 total
Tests:       2 failed, 1 skipped, 1 todo, 2 passed, 6 total
Snapshots:   0 total
`;
  expect(countTests(text, folder)).toEqual({
    tests: { total: 6, passed: 2, failed: 2, skipped: 2 },
    failing: ['j/a.test.js > math > subtracts', 'j/a.test.js > top level', 'j/b.test.js'],
  });
  expect(countTests('No tests found, exiting with code 1\n', folder).tests).toMatchObject({ total: 0 });
});

test('mocha', () => {
  const text = `

  1) top: bad
  math
    ✔ adds
    - later
    deep
      2) subtracts


  1 passing (4ms)
  1 pending
  2 failing

  1) top: bad:
     Error: x
      at Context.<anonymous> (m/a.spec.js:3:30)

  2) math
       deep
         subtracts:

      AssertionError [ERR_ASSERTION]: 1 == 2
`;
  expect(countTests(text, folder)).toEqual({
    tests: { total: 4, passed: 1, failed: 2, skipped: 1 },
    failing: ['top: bad', 'math > deep > subtracts'],
  });
});

test('tsc names the files with errors, in both of its formats', () => {
  const text = `src/a.ts(3,5): error TS2307: Cannot find module './b.ts'.
  continued
\u001b[96msrc/c.ts\u001b[0m:\u001b[93m1\u001b[0m:\u001b[93m7\u001b[0m - \u001b[91merror\u001b[0m TS2322: Type
src/a.ts(9,1): error TS2304: Cannot find name 'x'.
Found 3 errors.`;
  expect(readTypeErrors(text, folder)).toEqual(['src/a.ts', 'src/c.ts']);
});
