/** The CLI itself: where it is, and whether it is one that we know. */
import { realpath } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { allowedEnv, findProgram, run } from '@nexus/shared/process';

/** What everything here was tried with. Older ones differ in what a resumed conversation costs, keeps and finds. */
export const versionTried = '2.1.328';
const install = `npm install -g @anthropic-ai/claude-code@${versionTried}`;

export type Program = { path: string; version: string } | { problem: string; mend: string };

const known = new Map<string, Promise<Program>>();

/** Finds the CLI, and asks it for its version: once, until the file behind its name is another. */
export const findClaude = async (name: string): Promise<Program> => {
  const path = await findProgram(name, { env: allowedEnv() });
  if (path === null) {
    const where = isAbsolute(name) ? 'that may be run' : 'on the path of the workers';
    const mend = `type: ${install}, or set NEXUS_CLAUDE_PROGRAM on the workers to where it is`;
    return { problem: `there is no program "${name}" ${where}`, mend };
  }
  const file = await realpath(path).catch(() => path);
  const asked = known.get(file) ?? askVersion(path);
  known.set(file, asked);
  const program = await asked;
  if ('problem' in program) known.delete(file);
  return program;
};

const askVersion = async (path: string): Promise<Program> => {
  const asked = await run({ command: [path, '--version'], folder: '/', timeoutMs: 20_000, outputBytesMax: 10_000 });
  const said = asked.output.trim().slice(0, 300);
  if (asked.exitCode !== 0)
    return { problem: `${path} does not start: ${said || 'it says nothing'}`, mend: mendOf(said) };
  const version = /^(\d+\.\d+\.\d+)/.exec(asked.stdout)?.[1];
  if (version === undefined) return { problem: `${path} is no Claude Code: ${said}`, mend: `type: ${install}` };
  return isKnown(version)
    ? { path, version }
    : {
        problem: `${path} is version ${version}; ${versionTried} or newer, but below 3, is needed`,
        mend: `type: ${install}`,
      };
};

/** npm 12 leaves out what the package does after its installation: then there is only a stub. */
const mendOf = (said: string): string =>
  said.includes('native binary') ? `type: ${install} --allow-scripts=@anthropic-ai/claude-code` : `type: ${install}`;

const isKnown = (version: string): boolean => {
  const [wanted, given] = [versionTried, version].map((text) => text.split('.').map(Number));
  if (!wanted || !given || given[0] !== wanted[0]) return false;
  const at = given.findIndex((part, index) => part !== wanted[index]);
  return at === -1 || (given[at] as number) > (wanted[at] as number);
};
