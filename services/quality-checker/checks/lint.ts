/** The script that lints, under any of the names that are in use. */
import { defineCheck } from '../define-check.ts';
import { script } from '../detect.ts';

export default defineCheck({
  name: 'lint',
  order: 30,
  plan: (project) => script(project, 'lint', ['lint', 'check:lint', 'lint:check'], 'nothing'),
});
