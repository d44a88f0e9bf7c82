/** An agent of the runtime `openai`, run once in a folder: real runtime and library, a server that plays the model. */
import type { AgentDefinition } from '@nexus/shared/catalog';
import { loadConfig } from '@nexus/shared/config';
import { openaiConfig } from '../../services/worker-agent/openai/settings.ts';
import { runtime } from '../../services/worker-agent/runtimes/openai.ts';
import type { AgentEvent, RunRequest } from '../../services/worker-agent/runtimes.ts';
import { type ApiOptions, type ChatRequest, openOpenaiApi, type Reply, type Script } from './openai-api/openai-api.ts';

export const call = (tool: string, input: unknown = {}, id?: string): Reply => ({
  calls: [{ tool, input, ...(id ? { id } : {}) }],
});
export const finish = call('finish', { summary: 'It is done.' });
export const agent = {
  agent_id: 'code',
  name: 'Code',
  role: 'builder',
  tools: [],
  model: 'inherit',
} as unknown as AgentDefinition;

export type More = { request?: Partial<RunRequest>; settings?: Record<string, string>; api?: ApiOptions };
/** How the marks of all these agents begin. */
export const markOfPlay = `loop-${process.pid}-`;
let marks = 0;
const settingsOf = ({ NEXUS_HOME: home, ...environment }: Record<string, string>) => ({
  ...loadConfig(openaiConfig, environment),
  ...(home === undefined ? {} : { home }),
});
export const contextOf = (environment: Record<string, string>) => ({
  ...{ agentCommand: null, rehearsal: false, task: null },
  settings: settingsOf(environment),
});

/** Runs an agent in a folder whose model answers so. */
export const playOpenai = async (
  folder: string,
  script: Script,
  { request = {}, settings = {}, api: options }: More = {},
) => {
  await using api = await openOpenaiApi(script, options);
  const events: AgentEvent[] = [];
  let output = '';
  const environment = {
    NEXUS_MODEL_URL: api.url,
    OPENAI_API_KEY: api.key,
    NEXUS_OPENAI_MODEL: 'test-model',
    ...settings,
  };
  const result = await runtime.run({
    ids: { taskId: 'a-task', subtaskId: 'a-subtask', attempt: 1, role: 'builder', kind: 'code' },
    ...{ agent, folder, prompt: 'The task.', env: {}, session: null },
    mark: `${markOfPlay}${marks++}`,
    timeBoxMs: 20_000,
    outputBytesMax: 1_000_000,
    signal: new AbortController().signal,
    onOutput: (chunk) => {
      output += chunk;
    },
    onEvent: (event) => events.push(event),
    context: contextOf(environment),
    ...request,
  } as RunRequest);
  return { result, requests: api.requests, asked: api.asked(), events, output, key: api.key };
};
/** What the model was told in a request, the last message by default. */
export const said = (request: ChatRequest | undefined, at = -1): string => request?.messages.at(at)?.content ?? '';
