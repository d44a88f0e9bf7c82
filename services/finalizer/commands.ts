/** The commands that a person is given to type. */
import { z } from 'zod';

const manifestSchema = z.object({
  name: z.string().optional(),
  scripts: z.record(z.string(), z.unknown()).optional(),
  bin: z.union([z.string(), z.record(z.string(), z.string())]).optional(),
  dependencies: z.record(z.string(), z.unknown()).optional(),
});

/**
 * What starts what was built: the script `start` of its package.json, else its program, else null. `checkout` is
 * where it lies checked out; without it the command is for whoever has switched to the branch.
 */
export const startCommand = (packageJson: string | null, checkout: string | null): string | null => {
  const manifest = manifestOf(packageJson);
  if (manifest === null) return null;
  const program = typeof manifest.bin === 'string' ? manifest.bin : Object.values(manifest.bin ?? {})[0];
  const start =
    typeof manifest.scripts?.start === 'string'
      ? 'npm start'
      : program === undefined
        ? null
        : `node ${quoted(program)}`;
  if (start === null) return null;
  const install = Object.keys(manifest.dependencies ?? {}).length > 0 ? ['npm install'] : [];
  return [...(checkout === null ? [] : [`cd ${quoted(checkout)}`]), ...install, start].join(' && ');
};

/** A word for a POSIX shell. */
export const quoted = (word: string): string =>
  /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

const manifestOf = (text: string | null): z.infer<typeof manifestSchema> | null => {
  try {
    return text === null ? null : (manifestSchema.safeParse(JSON.parse(text)).data ?? null);
  } catch {
    return null;
  }
};
