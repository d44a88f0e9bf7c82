/** Which model is asked where nobody names one: the usual one at OpenAI, else the only one that the server has. */
import { fail } from '@nexus/shared/errors';
import type { Endpoint } from './model-config.ts';
import { defaultModel } from './names.ts';

/** Throws `MODEL_UNKNOWN` where a server has several, or none, or does not tell (null). */
export const usualModel = (endpoint: Endpoint, models: readonly { id: string }[] | null): string => {
  if (endpoint.isOpenai) return defaultModel;
  const [first, ...more] = models ?? [];
  if (first !== undefined && more.length === 0) return first.id;
  const choice = models?.length ? ` to one of ${listed(models.map(({ id }) => id))}` : '';
  const mend = `none is named; set NEXUS_OPENAI_MODEL${choice}`;
  throw fail('MODEL_UNKNOWN', { model: '(none)', where: endpoint.url, mend });
};

/** Names of models, for people. */
export const listed = (names: readonly string[]): string =>
  names.length === 0 ? 'none' : `${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`;
