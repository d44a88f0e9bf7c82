/** The script `build`. It runs before the tests, which often need what it makes. */
import { defineCheck } from '../define-check.ts';
import { script } from '../detect.ts';

export default defineCheck({
  name: 'build',
  order: 10,
  plan: (project) => script(project, 'build', ['build'], 'nothing'),
});
