/**
 * What a release target is, and how they are found: every file in `targets/` whose default export was made by
 * `defineTarget`. The first one that takes a release gets it.
 *
 * A target must be harmless when asked twice: a release runs again if the process dies between its push and its
 * settlement.
 */
import { readdir } from 'node:fs/promises';
import { fail } from '@nexus/shared/errors';
import { z } from 'zod';

/** What is to be released. */
export type Release = {
  taskId: string;
  hub: string;
  /** As the person named it; null: there is none yet. */
  repository: string | null;
  commit: string;
  baseCommit: string;
  /** The branch that the result becomes. */
  branch: string;
  /** The folder of this task's own repository, where there is none. */
  output: string;
  credentials: string | undefined;
  signal: AbortSignal;
};

/** Where the result lies now. */
export type Released = {
  branch: string;
  /** A path or URL without secrets. */
  repository: string;
  /** Shell commands for a person: one that shows the result, one that takes it away. */
  look: string;
  undo: string;
  /** The folder in which the result is checked out, if it is. */
  checkout: string | null;
};

export type ReleaseTarget = {
  name: string;
  /** Lower is asked earlier. */
  order: number;
  takes(release: Release): boolean;
  release(release: Release): Promise<Released>;
  /** Where this very result lies already; null: it is not there. Changes nothing. */
  find(release: Release): Promise<Released | null>;
};

const isFunction = (value: unknown): boolean => typeof value === 'function';
const shape = z.object({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,47}$/),
  order: z.number(),
  takes: z.custom<ReleaseTarget['takes']>(isFunction, 'is not a function'),
  release: z.custom<ReleaseTarget['release']>(isFunction, 'is not a function'),
  find: z.custom<ReleaseTarget['find']>(isFunction, 'is not a function'),
});

export const defineTarget = (target: ReleaseTarget): ReleaseTarget => target;

/** All targets of the folder, in their order. Throws `DEFINITION_INVALID` for a file that holds none. */
export const loadTargets = async (folder = new URL('./targets/', import.meta.url)): Promise<ReleaseTarget[]> => {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  const loaded = await Promise.all(
    names.map(async (name) => {
      const read = shape.safeParse((await import(new URL(name, folder).href)).default);
      if (read.success) return read.data;
      const problem = read.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
      throw fail('DEFINITION_INVALID', { file: `targets/${name}`, problem });
    }),
  );
  return loaded.toSorted((one, other) => one.order - other.order);
};
