/**
 * Which model an agent of the runtime `openai` gets, and whether the server has it. The list of a server is asked for
 * once in a while and kept: looking costs nothing, but every worker looks every few seconds.
 */
import { type AppError, fail, toAppError } from '@nexus/shared/errors';
import {
  type Chat,
  type Endpoint,
  endpointOf,
  listed,
  nearestOf,
  openChat,
  replacementOf,
  usualModel,
} from '@nexus/shared/model';
import type { OpenaiConfig } from './settings.ts';

type Models = { id: string; endsOn: string | null }[] | null;
export type Server = { chat: Chat; models: Models };
export type Looked = { server: Server } | { failure: AppError; endpoint: Endpoint };

const keptMs = 60_000;
/** What failed is looked at again soon: somebody may be mending it. */
const failedMs = 5000;
const lookMs = 5000;

/** Opens what remembers the servers; `null` is a setting that names none. */
export const openServers = () => {
  const known = new Map<string, { until: number; looked: Promise<Looked> }>();
  return {
    look: async (config: OpenaiConfig): Promise<Looked | null> => {
      const endpoint = endpointOf(config);
      if (endpoint === null) return null;
      const name = JSON.stringify(endpoint);
      const found = known.get(name);
      if (found !== undefined && found.until > Date.now()) return found.looked;
      const looked = lookAt(endpoint);
      known.set(name, { until: Date.now() + keptMs, looked });
      if ('failure' in (await looked)) known.set(name, { until: Date.now() + failedMs, looked });
      return looked;
    },
  };
};

const lookAt = async (endpoint: Endpoint): Promise<Looked> => {
  const chat = openChat(endpoint);
  const timeout = AbortSignal.timeout(lookMs);
  try {
    return { server: { chat, models: await chat.models(timeout) } };
  } catch (thrown) {
    return { failure: toAppError(thrown), endpoint };
  }
};

/** Claude's names mean nothing here; neither does none at all. */
const claudes = /^(opus|sonnet|haiku|fable|claude-.*)(\[.*\])?$/;
const others = /^(inherit|default)$/;

/** The full name of the model for a wish (an alias, a name, null). Throws `MODEL_UNKNOWN` with what would be right. */
export const whichModel = (wishes: (string | null | undefined)[], config: OpenaiConfig, server: Server): string => {
  const { endpoint } = server.chat;
  const wish = wishes.find((name) => name && !others.test(name) && !claudes.test(name)) ?? config.openaiModel;
  const model = wish ?? usualModel(endpoint, server.models);
  const unknown = (mend: string) => fail('MODEL_UNKNOWN', { model, where: endpoint.url, mend });
  const instead = replacementOf(model);
  const entry = server.models?.find(({ id }) => id === model);
  if (entry === undefined && instead !== null && (endpoint.isOpenai || server.models !== null)) {
    throw unknown(`it is retired, and ${instead} takes its place`);
  }
  if (entry?.endsOn && entry.endsOn <= new Date().toISOString().slice(0, 10)) {
    throw unknown(`it ended on ${entry.endsOn}${instead === null ? '' : `, and ${instead} takes its place`}`);
  }
  if (server.models === null || entry !== undefined) return model;
  const known = server.models.map(({ id }) => id);
  const near = nearestOf(model, known);
  throw unknown(near === null ? `it has ${listed(known)}` : `did you mean ${near}?`);
};

/** The first of the wishes that only Claude knows, and that has no effect here; null: there is none. */
export const withoutEffect = (wishes: (string | null | undefined)[]): string | null =>
  wishes.find((name) => name && claudes.test(name)) ?? null;
