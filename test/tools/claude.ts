/**
 * The real CLI of Claude Code for tests: the one that NEXUS_CLAUDE_PROGRAM names, else ours, which is installed into a
 * cache folder of the person the first time it is needed. It is too large to come with every `npm ci`.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { loadConfig } from '@nexus/shared/config';
import { provideClaude } from '../../scripts/provide-claude.mjs';
import { claudeConfig } from '../../services/worker-agent/runtimes/claude-code/settings.ts';
import { runtime } from '../../services/worker-agent/runtimes/claude-code.ts';
import type { AgentEvent, RunRequest, RunResult } from '../../services/worker-agent/runtimes.ts';
import { openMessagesApi, type Script } from './messages-api/messages-api.ts';

let found: string | undefined;

/** Its path. Throws, with what to type, where it cannot be had. */
export const claudeProgram = (): string => {
  found ??= provideClaude();
  return found;
};

type Settings = NonNullable<RunRequest['context']['settings']>;
type Changes = Omit<Partial<RunRequest>, 'agent'> & {
  agent?: Partial<AgentDefinition>;
  settings?: Settings;
  go?: { on: string };
};

/** A run of the CLI, with everything that was told of it. */
export type Ran = RunResult & { events: AgentEvent[]; notices: string[]; output: string };

let runs = 0;

/** A folder, a config folder and an API of a test's own, and runs of the runtime in them. */
export const openClaude = async () => {
  const home = mkdtempSync(join(tmpdir(), 'nexus-claude-'));
  const api = await openMessagesApi();
  const folder = join(home, 'clone');
  mkdirSync(folder);
  const settings: Settings = {
    ...loadConfig(claudeConfig, {}),
    home,
    claudeProgram: claudeProgram(),
    claudeLogin: 'api_key',
    claudeRetries: 1,
    anthropicKey: 'sk-ant-of-the-operator',
  };
  const run = async (script: Script, { settings: more, go, agent, ...changes }: Changes = {}): Promise<Ran> => {
    runs += 1;
    const told = { events: [] as AgentEvent[], notices: [] as string[], output: '' };
    const request: RunRequest = {
      ids: { taskId: 'a-task', subtaskId: 'a-subtask', attempt: 1, role: 'builder', kind: 'code' },
      agent: { agent_id: 'code_developer', name: 'Code', role: 'builder', ...agent } as AgentDefinition,
      prompt: 'Do it.',
      folder,
      env: {},
      mark: `claude-${process.pid}-${runs}`,
      timeBoxMs: 60_000,
      outputBytesMax: 5_000_000,
      signal: new AbortController().signal,
      onOutput: (chunk) => {
        told.output += chunk;
      },
      onEvent: (event) => told.events.push(event),
      onNotice: (says) => told.notices.push(says),
      session: null,
      context: {
        agentCommand: null,
        rehearsal: false,
        task: null,
        settings: { ...settings, anthropicUrl: api.script('run', script), ...more },
      },
      ...changes,
    };
    const result = await (go ? runtime.resume(go.on, { ...request, session: go.on }) : runtime.run(request));
    return { ...result, ...told };
  };
  const close = async () => {
    await api.close();
    rmSync(home, { recursive: true, force: true });
  };
  return { home, folder, api, settings, run, asks: () => api.asks('run'), close, [Symbol.asyncDispose]: close };
};
