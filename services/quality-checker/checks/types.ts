/** The script that checks types, under any of the names that are in use. */
import { defineCheck } from '../define-check.ts';
import { script } from '../detect.ts';

const names = ['typecheck', 'type-check', 'types', 'check-types', 'check:types', 'check:type', 'tsc'];

export default defineCheck({
  name: 'types',
  order: 20,
  plan: (project) => script(project, 'types', names, 'types'),
});
