/**
 * What a check is, and how the gate finds them: every file in `checks/` whose default export was made by
 * `defineCheck`. A new check is one file there, with no other edit.
 *
 * A check does not run anything. It looks at the project and says which commands would prove something; the gate runs
 * them, in the order of `order`, and reads what came of it (`run-checks.ts`).
 */
import { readdir } from 'node:fs/promises';
import { fail } from '@nexus/shared/errors';
import type { CheckRequest } from '@nexus/shared/messages/domain';
import type { Manifest } from '@nexus/shared/project';
import { z } from 'zod';

/** A project as a check sees it. Paths are those of tracked files, relative to `folder`, with `/`. */
export type Project = {
  folder: string;
  files: string[];
  /** package.json, read; null where there is none that can be read. */
  manifest: Manifest | null;
  /** What runs a script of the manifest: `npm run`, `pnpm run`, `yarn run`, `bun run`. */
  runner: string;
  /** The checks that came with the task. */
  asked: readonly CheckRequest[];
  /** Files that the candidate added or changed and that exist. */
  changed: string[];
  read(path: string): Promise<string>;
};

/** One command to run, or, without a command, why there is none. */
export type PlannedCheck = {
  name: string;
  command: string | null;
  /** Why it is skipped; only where there is no command. */
  why?: string;
  /** How long it may take, where somebody said so. */
  timeoutMs?: number | undefined;
  /** It came with the task: a person wants it. */
  asked?: boolean;
  /** What is looked for in its output. */
  reads: 'tests' | 'types' | 'nothing';
};

export type CheckDefinition = {
  name: string;
  /** Lower runs earlier. */
  order: number;
  /** Planned only where no other check has a command. */
  lastResort?: boolean;
  plan(project: Project): PlannedCheck[] | Promise<PlannedCheck[]>;
};

const shape = z.object({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,47}$/),
  order: z.number(),
  lastResort: z.boolean().optional(),
  plan: z.custom<CheckDefinition['plan']>((value) => typeof value === 'function', 'is not a function'),
});

export const defineCheck = (definition: CheckDefinition): CheckDefinition => definition;

/** All checks of the folder, in their order. Throws `DEFINITION_INVALID` for a file that holds none. */
export const loadChecks = async (folder = new URL('./checks/', import.meta.url)): Promise<CheckDefinition[]> => {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  const loaded = await Promise.all(
    names.map(async (name) => {
      const read = shape.safeParse((await import(new URL(name, folder).href)).default);
      if (read.success) return read.data as CheckDefinition;
      const problem = read.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
      throw fail('DEFINITION_INVALID', { file: `checks/${name}`, problem });
    }),
  );
  return loaded.toSorted((one, other) => one.order - other.order);
};
