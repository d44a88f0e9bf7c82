/**
 * The project's tests: the script `test`, else `node --test` where there are files that it would run. Where there is
 * neither it is said so: a check that did not run is no pass.
 */
import { defineCheck, type PlannedCheck, type Project } from '../define-check.ts';
import { script } from '../detect.ts';

/** What `npm init` writes; it declares nothing. */
const placeholder = /no test specified/i;

/** The files that `node --test` runs: https://nodejs.org/api/test.html#running-tests-from-the-command-line */
const nodeTestFile = /(?:(?:^|\/)test\/.*|(?:^|\/)test(?:-[^/]*)?|[^/]+[.\-_]test)\.[cm]?[jt]s$/;

export default defineCheck({
  name: 'tests',
  order: 40,
  plan: async (project): Promise<PlannedCheck[]> => {
    if (!placeholder.test(project.manifest?.scripts.test ?? '')) {
      const declared = script(project, 'tests', ['test'], 'tests');
      if (declared.length > 0) return declared;
    }
    if (await hasNodeTests(project)) return [{ name: 'tests', command: 'node --test', reads: 'tests' }];
    const why = 'The project declares no tests: neither a script "test" nor files that `node --test` would run.';
    return [{ name: 'tests', command: null, why, reads: 'tests' }];
  },
});

/**
 * Where a manifest names no runner, only files that use node's own runner count: others need theirs. Where there is no
 * manifest at all, the name of a file is enough, but not that it lies in a folder called test.
 */
const hasNodeTests = async (project: Project): Promise<boolean> => {
  const files = project.files.filter((path) => nodeTestFile.test(path) && !path.endsWith('.d.ts'));
  const bare = !project.files.some((path) => path === 'package.json' || path.endsWith('/package.json'));
  if (bare && files.some((path) => namedAsTest.test(path))) return true;
  for (const path of files) if (/['"]node:test['"]/.test(await project.read(path))) return true;
  return false;
};

const namedAsTest = /(?:(?:^|\/)test(?:-[^/]*)?|[^/]+[.\-_]test)\.[cm]?[jt]s$/;
