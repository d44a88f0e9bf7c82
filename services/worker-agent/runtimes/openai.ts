/**
 * The runtime `openai`: an agent as a loop of our own over any OpenAI-compatible server, OpenAI itself or a local one.
 *
 * Where: `NEXUS_MODEL_URL` or `OPENAI_BASE_URL`, with `OPENAI_API_KEY` where the server wants one. Which model: that of
 * the task or agent, else `NEXUS_OPENAI_MODEL`. The loop is in `openai/loop.ts`, which says why it runs in the worker.
 */
import { type AppError, isFailure, toAppError } from '@nexus/shared/errors';
import { accountOf } from '@nexus/shared/model';
import { openPrices } from '@nexus/shared/spend';
import { runLoop } from '../openai/loop.ts';
import { forgetMemoir, memoirOf, openMemoir } from '../openai/memoir.ts';
import type { OpenaiConfig } from '../openai/settings.ts';
import { openServers, whichModel, withoutEffect } from '../openai/which-model.ts';
import { failed } from '../run-program.ts';
import { codeOfAbort, defineRuntime, type RunRequest, type RunResult, type RuntimeContext } from '../runtimes.ts';

const servers = openServers();
/** What agents are to be told, by the folder in which they work. */
const told = new Map<string, string[]>();

const configOf = ({ settings }: RuntimeContext): OpenaiConfig | null =>
  settings?.modelTries === undefined ? null : (settings as OpenaiConfig);

export const runtime = defineRuntime({
  name: 'openai',
  capabilities: { resume: true, cost: true, nudge: true },
  usable: async (context) => {
    const config = configOf(context);
    const looked = config === null ? null : await servers.look(config);
    if (config === null || looked === null) {
      return {
        usable: false,
        looked: 'neither OPENAI_API_KEY nor the address of a server (NEXUS_MODEL_URL, OPENAI_BASE_URL) is set',
        mend: 'set OPENAI_API_KEY on the workers, or NEXUS_MODEL_URL to a local server',
      };
    }
    if ('failure' in looked) {
      const refused = isFailure(looked.failure, 'MODEL_KEY_REFUSED');
      const mend = refused
        ? 'set OPENAI_API_KEY to a key that is valid there'
        : 'start the server, or correct its address';
      const passing = isFailure(looked.failure, 'MODEL_UNREACHABLE', 'MODEL_LIMITED');
      return { usable: false, looked: looked.failure.message, mend, passing };
    }
    try {
      const model = whichModel([], config, looked.server);
      const { url, key } = looked.server.chat.endpoint;
      return { usable: true, looked: `${url} has ${model}${key === null ? ', and wants no key' : ''}`, mend: '' };
    } catch (thrown) {
      return {
        usable: false,
        looked: toAppError(thrown).message,
        mend: 'set NEXUS_OPENAI_MODEL to a model that it has',
      };
    }
  },
  run: async (request) => {
    if (request.signal.aborted) return failed(codeOfAbort(request.signal), 'The agent was not started.');
    try {
      return await runHere(request);
    } catch (thrown) {
      if (!isFailure(thrown)) throw thrown;
      return failed(thrown.code, thrown.message);
    } finally {
      told.delete(request.folder);
    }
  },
  resume: (session, request) => runtime.run({ ...request, session }),
  transcriptOf: (session, { settings }) => memoirOf(settings?.home, session),
  forget: (session, { settings }) => forgetMemoir(settings?.home, session),
  nudge: async (folder, text) => {
    told.get(folder)?.push(text);
  },
});

/** A server that is out of reach may be back in a moment: the attempt waits for it, uncounted. */
const unanswered = ({ code, message: says }: AppError, account: string, { modelWait }: OpenaiConfig): RunResult => {
  const waits = code === 'MODEL_UNREACHABLE' || code === 'MODEL_LIMITED';
  const parked = waits ? { until: Date.now() + modelWait, code, says, account } : null;
  return { ...failed(code, says), parked };
};

const runHere = async (request: RunRequest): Promise<RunResult> => {
  const config = configOf(request.context);
  const looked = config === null ? null : await servers.look(config);
  if (config === null || looked === null) return failed('NO_RUNTIME', 'No model server is configured.');
  if ('failure' in looked) return unanswered(looked.failure, accountOf(looked.endpoint), config);
  const { server } = looked;
  const wishes = [request.model, request.agent.model];
  const model = whichModel(wishes, config, server);
  const ignored = withoutEffect(wishes);
  if (ignored !== null) request.onNotice?.(`the model "${ignored}" is one of Claude’s: ${model} is asked instead`);
  const memoir = await openMemoir(request.context.settings?.home, request.session, request.conversation ?? null);
  if (request.session !== null && memoir.before.length === 0) {
    request.onNotice?.(`begins a new conversation: there is nothing left of ${request.session}`);
  }
  request.onSession?.(memoir.id);
  const news: string[] = [];
  told.set(request.folder, news);
  const result = await runLoop(request, {
    chat: server.chat,
    model,
    config,
    account: accountOf(server.chat.endpoint),
    priceOf: openPrices(request.context.settings?.prices).costOf,
    told: () => news.splice(0),
    memoir,
  });
  await memoir.close().catch((error: Error) => request.onNotice?.(`its conversation was not kept: ${error.message}`));
  return result;
};
