/** A tool of a model: a name, what it takes, and what it does with it. */
import { z } from 'zod';
import type { RunRequest } from '../runtimes.ts';
import type { Inside } from './inside.ts';

/** What tools work with. */
export type Hands = {
  inside: Inside;
  request: RunRequest;
  signal: AbortSignal;
  /** It may write only below `.nexus`. */
  onlyNotes: boolean;
  outputBytesMax: number;
  timeMs: number;
  /** Shows and counts what a program prints, as it prints it. */
  onOutput(chunk: string): void;
  /** Counts processes that a command had left running. */
  leftBehind(count: number): void;
};

export type Tool = {
  name: string;
  /** Calls that change nothing run side by side. */
  changes: boolean;
  description: string;
  schema: Record<string, unknown>;
  /** Reads the input and runs; what it throws is told to the model. */
  run(input: unknown, hands: Hands): Promise<string>;
};

/** Writes a tool down with its input as a schema, which the model is given and its input is held to. */
export const defineTool = <S extends z.ZodType>(tool: {
  name: string;
  changes: boolean;
  description: string;
  input: S;
  run(input: z.infer<S>, hands: Hands): Promise<string>;
}): Tool => {
  const { $schema: _, ...schema } = z.toJSONSchema(tool.input, { io: 'input' });
  return { ...tool, schema, run: async (input, hands) => tool.run(tool.input.parse(input), hands) };
};
