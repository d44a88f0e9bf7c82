/** The script `lint`. */
import { defineCheck } from '../define-check.ts';
import { script } from '../detect.ts';

export default defineCheck({
  name: 'lint',
  order: 30,
  plan: (project) => script(project, 'lint', ['lint'], 'nothing'),
});
