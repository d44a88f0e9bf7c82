/** Whether a program that is found here is there for agents, too: looked for by starting it in their sandbox. */
import { mkdir, mkdtemp, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toAppError } from '@nexus/shared/errors';
import { run, type Sandbox } from '@nexus/shared/process';

/** `passing`: it could not be looked for now, which says nothing of the program. */
export type Hidden = { problem: string; mend: string; passing?: boolean };

/** A sandbox lasts as long as its worker, a program until its file is another: those that start are asked once. */
const seen = new WeakMap<Sandbox, Set<string>>();

type Wider = { readable?: readonly string[]; writable?: readonly string[]; timeoutMs?: number };

/** Null: it starts in there. `command` is what starts it: to ask for its version, or only to look at its file. */
export const whyNotInside = async (
  path: string,
  command: [string, ...string[]],
  sandbox: Sandbox | undefined,
  wider: Wider = {},
): Promise<Hidden | null> => {
  if (sandbox === undefined) return null;
  try {
    return await look(path, command, sandbox, wider);
  } catch (thrown) {
    const { message } = toAppError(thrown);
    const problem = `whether ${path} starts in the sandbox of agents cannot be looked for: ${message}`;
    return { problem, mend: 'see what the workers lack: room, memory, or rights in their TMPDIR', passing: true };
  }
};

const look = async (
  path: string,
  command: [string, ...string[]],
  sandbox: Sandbox,
  { readable = [], writable = [], timeoutMs = 20_000 }: Wider,
): Promise<Hidden | null> => {
  const file = await realpath(path);
  const key = JSON.stringify([file, (await stat(file)).mtimeMs, command]);
  const known = seen.get(sandbox) ?? new Set();
  if (known.has(key)) return null;
  const folder = await mkdtemp(join(tmpdir(), 'nexus-inside-'));
  try {
    const work = join(folder, 'work');
    await mkdir(work);
    const wider = {
      ...sandbox,
      readable: [...(sandbox.readable ?? []), ...readable],
      writable: [...sandbox.writable, ...writable],
    };
    const asked = await run({ command, folder: work, sandbox: wider, timeoutMs, outputBytesMax: 10_000 });
    if (asked.timedOut) return { ...hidden(path, `it is not done in ${timeoutMs / 1000} s`), passing: true };
    if (asked.exitCode !== 0) return hidden(path, asked.output);
    seen.set(sandbox, known.add(key));
    return null;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

const hidden = (path: string, said: string): Hidden => {
  const why = said.trim().slice(-300) || 'it is not seen there, or says nothing';
  return {
    problem: `${path} is here, but does not start in the sandbox of agents: ${why}`,
    mend: 'install it where the sandbox shows it, or name its folder in NEXUS_SANDBOX_WRITE on the workers',
  };
};
