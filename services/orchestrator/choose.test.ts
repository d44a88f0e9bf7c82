import { openCatalog } from '@nexus/shared/catalog';
import { expect, test } from 'vitest';
import { chooseWorkflow } from './choose.ts';

const { workflows } = await openCatalog();

test.each([
  ['Create a simple hello world function', 'simple'],
  ['Fix typo', 'simple'],
  ['Add login', 'simple'],
  ['Build a secure user authentication system', 'feature'],
  ['add CSV export to this repository', 'feature'],
  ['Build a simple blog with comments, accounts, an admin page and full-text search', 'feature'],
  ['Fix the login crash on Safari', 'bug-fix'],
  ['The export does not work with umlauts any more', 'bug-fix'],
  ['It doesn’t work when the file is empty', 'bug-fix'],
  ['Add error handling to the CSV parser', 'feature'],
  ['Users get an error when they save a draft twice', 'bug-fix'],
  ['Investigate why the nightly build is slow', 'research'],
  ['Find out which queue library suits us, compare three of them', 'research'],
  ['Document the error codes of the API', 'docs'],
  ['Add documentation for the error codes', 'docs'],
  ['Add tests for the parser and its errors', 'tests'],
  ['Review the authentication module for weaknesses', 'review'],
  ['Bitte einen Export nach CSV einbauen, mit Kopfzeile', 'feature'],
  ['注文の一覧をCSVでエクスポートできるようにしてください', 'feature'],
  ['prefix debugging', 'simple'],
])('"%s" is worked on as %s', (request, workflow) => {
  expect(chooseWorkflow(workflows, request).name).toBe(workflow);
});

test('words inside other words choose nothing', () => {
  expect(chooseWorkflow(workflows, 'The prefix of every debugging session key needs a colon').name).toBe('feature');
});

test('a catalog without the usual workflows still gives one', () => {
  const review = workflows.get('review');
  expect(chooseWorkflow(new Map(review ? [['review', review]] : []), 'Add things').name).toBe('review');
});
