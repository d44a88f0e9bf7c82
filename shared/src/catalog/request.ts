/** What can be said of a request before anybody plans it. */
import { createHash } from 'node:crypto';
import { fail } from '@nexus/shared/errors';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import type { Catalog } from './catalog.ts';
import { withTemporary } from './temporary.ts';

/**
 * Checks what a request names against the catalog. Throws `WORKFLOW_UNKNOWN`, `ROLE_UNKNOWN`, or
 * `REQUEST_INVALID` where its fields contradict each other or the workflow.
 */
export const validateRequest = (fleet: Catalog, request: TaskRequest): void => {
  const catalog = withTemporary(fleet, request.agents);
  if (request.workflow !== undefined && request.roles !== undefined) {
    throw fail('REQUEST_INVALID', { problem: 'workflow and roles exclude each other; give one of them' });
  }
  for (const role of request.roles ?? []) catalog.agentFor(role);
  if (request.analyst === true) catalog.agentFor('analyst');
  if (request.workflow === undefined) return;
  const workflow = catalog.workflow(request.workflow);
  if (request.analyst === false && workflow.analyst === 'always') {
    const problem = `analyst: the workflow "${workflow.name}" is an analyst’s work and cannot do without`;
    throw fail('REQUEST_INVALID', { problem });
  }
};

/**
 * The id of a task: the first words of the request and six characters that follow from `seed`. The same
 * seed gives the same id, so a message that is handled twice makes one task.
 */
export const taskIdFor = (request: string, seed: string): string => {
  const words = request
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .match(/[a-z0-9]+/g);
  let slug = '';
  for (const word of (words ?? []).slice(0, 6)) {
    const longer = slug === '' ? word.slice(0, 40) : `${slug}-${word}`;
    if (longer.length > 40) break;
    slug = longer;
  }
  const hash = createHash('sha256').update(seed).digest().readUIntBE(0, 6);
  return `${slug || 'task'}-${hash.toString(36).padStart(6, '0').slice(-6)}`;
};
