/** The command that a person is given to type, to see what was built at work. */
import { shellWord } from '@nexus/shared/process';
import { readManifest } from '@nexus/shared/project';

/**
 * What starts what was built: the script `start` of its package.json, else its program, else null. `checkout` is
 * where it lies checked out; without it the command is for whoever has switched to the branch.
 */
export const startCommand = (packageJson: string | null, checkout: string | null): string | null => {
  const manifest = readManifest(packageJson ?? '');
  if (manifest === null) return null;
  const program = firstOf(manifest.bin);
  const start = manifest.scripts.start !== undefined ? 'npm start' : program && `node ${shellWord(program)}`;
  if (!start) return null;
  const install = firstOf(manifest.dependencies) === null ? [] : ['npm install'];
  return [...(checkout === null ? [] : [`cd ${shellWord(checkout)}`]), ...install, start].join(' && ');
};

/** A text itself, or the first one in an object of texts. */
const firstOf = (field: unknown): string | null => {
  const [first] = typeof field === 'string' ? [field] : Object.values(field ?? {});
  return typeof first === 'string' ? first : null;
};
