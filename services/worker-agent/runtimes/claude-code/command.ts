/** How the CLI is called: its arguments, its environment, and the prompt as it can be handed to it. */
import { createHash } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunRequest } from '../../runtimes.ts';
import type { Login } from './logins.ts';
import type { ClaudeSettings } from './look.ts';
import { toolFlags } from './tools.ts';

/** Tells the agent what lies there for it, after each of its tool calls (see `nudge`). */
const toldHook = '[ -s .nexus/told.md ] && { cat .nexus/told.md >&2; : > .nexus/told.md; exit 2; }; exit 0';

/** Ours alone: nothing of the repository's own settings, hooks or servers is read. */
const settings = JSON.stringify({
  // We remove conversations ourselves; the CLI would, of everybody's, whatever they are still good for.
  cleanupPeriodDays: 3650,
  attribution: { commit: '', pr: '' },
  includeCoAuthoredBy: false,
  hooks: { PostToolUse: [{ hooks: [{ type: 'command', command: toldHook }] }] },
});

/** Which conversation: a new one under an id of ours, one that goes on, or a copy of it under a new id. */
export type Which = { id: string; from: string | null; fork: boolean };

export const argumentsOf = (request: RunRequest, which: Which, model: string | null, turnsMax: number): string[] => {
  const { budget, reportSchema } = request;
  const usd = budget?.usd;
  return [
    ...['-p', '--output-format=stream-json', '--verbose', '--strict-mcp-config', '--setting-sources='],
    `--settings=${settings}`,
    ...(which.from === null || which.fork ? [`--session-id=${which.id}`] : []),
    ...(which.from === null ? [] : [`--resume=${which.from}`]),
    ...(which.fork ? ['--fork-session'] : []),
    ...(model === null ? [] : [`--model=${model}`]),
    `--max-turns=${turnsMax}`,
    ...(usd === null || usd === undefined ? [] : [`--max-budget-usd=${usd}`]),
    ...(reportSchema === undefined ? [] : [`--json-schema=${JSON.stringify(reportSchema)}`]),
    ...toolFlags(request.agent.tools ?? [], request.agent.disallowed_tools),
  ];
};

/** Everything about the way to the provider is the login's to say. */
const theirs = /^(ANTHROPIC_|CLAUDE_|AWS_|GOOGLE_APPLICATION_CREDENTIALS|CLOUD_ML_REGION)/;

export const environmentOf = (
  request: Pick<RunRequest, 'env' | 'mark' | 'guard'>,
  login: Login,
  { claudeRetries, claudeTimeout }: Pick<ClaudeSettings, 'claudeRetries' | 'claudeTimeout'>,
): Record<string, string> => {
  return {
    ...Object.fromEntries(Object.entries(request.env).filter(([name]) => !theirs.test(name))),
    ...login.env,
    ...payingBy(login, request.guard),
    CLAUDE_CODE_SHELL: join(import.meta.dirname, 'plain-bash.sh'),
    CLAUDE_CODE_TMPDIR: scratchOf(request.mark),
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: '1',
    CLAUDE_CODE_MAX_RETRIES: String(claudeRetries),
    API_TIMEOUT_MS: String(claudeTimeout),
    DISABLE_AUTOUPDATER: '1',
    ...(process.getuid?.() === 0 ? { IS_SANDBOX: '1' } : {}),
  };
};

/** What pays stays with the worker: the agent has an address of ours and a pass in its place. */
const payingBy = ({ door, secret }: Login, guard: RunRequest['guard']): Record<string, string> => {
  if (guard === undefined || door === null) return secret;
  const loan = guard.lend(door.account);
  return { ...loan.env, ...door.env(loan) };
};

const scratchPrefix = 'nexus-claude-run-';

/** Where the CLI puts its sockets and outputs of tools: gone with the run. A socket's path has to be short. */
export const scratchOf = (mark: string): string =>
  join(tmpdir(), `${scratchPrefix}${createHash('sha256').update(mark).digest('hex').slice(0, 12)}`);

/** Conversations that are carried from another machine, for the moment until the CLI has read them. */
const carriedPrefix = 'nexus-session-';
const scratchKeepMs = 24 * 3_600_000;

/** Removes what runs have left whose worker was killed: no run is as old. */
export const sweepScratch = async (now: number): Promise<void> => {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(scratchPrefix) && !name.startsWith(carriedPrefix)) continue;
    const path = join(tmpdir(), name);
    const found = await stat(path).catch(() => null);
    if (found && now - found.mtimeMs > scratchKeepMs) await rm(path, { recursive: true, force: true });
  }
};

/**
 * The prompt as the CLI takes it for what it is: `@path` at the beginning of a word would put that file in, wherever
 * it lies, and `/word` at the very beginning would be a command of its own.
 */
export const promptFor = (prompt: string): string =>
  prompt.replaceAll(/(^|\s)@(?=\S)/g, '$1@\u2060').replace(/^\s*\//, (start) => ` ${start}`);
