import { taskId } from '@nexus/shared/messages/domain';
import { describe, expect, test } from 'vitest';
import { openCatalog, taskIdFor, validateRequest } from './catalog.ts';

const catalog = await openCatalog();
const clockmaker = { name: 'Clockmaker', description: 'Mends clocks.', prompt: 'You mend clocks.' };
const check = (more: object) => () => validateRequest(catalog, { request: 'Do it', ...more });

describe('a request held against the catalog', () => {
  test.each([
    {},
    { workflow: 'feature' },
    { workflow: 'simple', analyst: true },
    { workflow: 'bug-fix', analyst: false },
    { workflow: 'research', analyst: true },
    { roles: ['planner', 'code_developer', 'reviewer'] },
    { roles: ['clockmaker'], agents: [clockmaker] },
  ])('%j may go on', (more) => {
    expect(check(more)).not.toThrow();
  });

  test.each([
    [{ workflow: 'magic' }, 'WORKFLOW_UNKNOWN'],
    [{ roles: ['builder', 'wizard'] }, 'ROLE_UNKNOWN'],
    [{ workflow: 'simple', roles: ['builder'] }, 'REQUEST_INVALID'],
    [{ workflow: 'research', analyst: false }, 'REQUEST_INVALID'],
    [{ agents: [{ ...clockmaker, agent_id: 'builder' }] }, 'REQUEST_INVALID'],
    [{ agents: [{ ...clockmaker, tools: ['Hammer'] }] }, 'REQUEST_INVALID'],
    [{ agents: [clockmaker, clockmaker] }, 'REQUEST_INVALID'],
  ])('%j is refused with %s', (more, code) => {
    expect(check(more)).toThrow(expect.objectContaining({ code }));
  });
});

describe('the id of a task', () => {
  test('is the request’s first words and six characters that follow from the seed', () => {
    expect(taskIdFor('Add CSV export to this repository, please!', 'seed')).toMatch(
      /^add-csv-export-to-this-repository-[0-9a-z]{6}$/,
    );
    expect(taskIdFor('Add it', 'one')).toBe(taskIdFor('Add it', 'one'));
    expect(taskIdFor('Add it', 'one')).not.toBe(taskIdFor('Add it', 'two'));
  });

  test.each(['Füge Prüfung hinzu', '日本語で', '', '../../etc', 'x'.repeat(500), '--- A B ---'])(
    'is valid for "%s"',
    (request) => {
      const id = taskIdFor(request, 'seed');
      expect(taskId.safeParse(id).success, id).toBe(true);
      expect(id.length).toBeLessThanOrEqual(48);
    },
  );
});
