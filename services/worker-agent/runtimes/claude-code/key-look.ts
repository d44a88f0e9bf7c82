/**
 * Whether the provider answers, whether it takes a key, and which models it has: asked by its list of models, which
 * costs nothing. Whoever has no such list, or does not answer now, leaves the rest open: only a plain no counts as one.
 */
import type { IncomingMessage } from 'node:http';
import { json } from 'node:stream/consumers';
import { openWays } from '../../safety/credential-proxy.ts';

/** `away`: why nobody answers there. */
export type KeyLook = { refused: string | null; models: string[] | null; away: string | null };

const answerWithinMs = 5000;
/** A key that was taken back, or a new model, is found after this; one that is taken again, sooner. */
const askAgainMs = 600_000;

const refusedAgainMs = 30_000;

const looks = new Map<string, { againAt: number; look: Promise<KeyLook> }>();

/**
 * The answer of the last minutes; an older one still counts while it is asked for anew. Without a key, it only says
 * whether somebody answers.
 */
export const lookAtKey = (url: string, key: string | null): Promise<KeyLook> => {
  const name = `${url} ${key ?? ''}`;
  const known = looks.get(name);
  if (known && performance.now() < known.againAt) return known.look;
  const look = ask(url, key);
  looks.set(name, { againAt: performance.now() + askAgainMs, look: known?.look ?? look });
  void look.then(({ refused, away }) => {
    const againMs = refused === null && away === null ? askAgainMs : refusedAgainMs;
    looks.set(name, { againAt: performance.now() + againMs, look });
  });
  return known?.look ?? look;
};

const open: KeyLook = { refused: null, models: null, away: null };

const ask = async (url: string, key: string | null): Promise<KeyLook> => {
  const ways = openWays();
  try {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const headers = { ...(key === null ? {} : { 'x-api-key': key }), 'anthropic-version': '2023-06-01' };
    const signal = AbortSignal.timeout(answerWithinMs);
    const address = new URL(`${url.replace(/\/+$/, '')}/v1/models?limit=1000`);
    ways.start(address, { method: 'GET', headers, signal }).on('response', resolve).on('error', reject).end();
    const answer = await promise.catch((error: Error) => error);
    if (answer instanceof Error) return { ...open, away: whyAway(answer) };
    const said = (await json(answer)) as Said;
    if (key === null) return open;
    if (answer.statusCode === 401) return { ...open, refused: said.error?.message ?? 'it says 401' };
    if (answer.statusCode !== 200 || said.has_more === true || !Array.isArray(said.data)) return open;
    return { ...open, models: said.data.flatMap(({ id }) => (typeof id === 'string' ? [id] : [])) };
  } catch {
    return open;
  } finally {
    ways.close();
  }
};

const whyAway = (error: NodeJS.ErrnoException): string =>
  error.name === 'TimeoutError' || error.code === 'ABORT_ERR'
    ? `nothing within ${answerWithinMs / 1000} s`
    : error.message || error.code || error.name;

type Said = { error?: { message?: string }; data?: { id?: unknown }[]; has_more?: boolean };

/** Whether a model is among those listed, also by a name without its date; an alias always is. */
export const isListed = (model: string | null, models: readonly string[] | null): boolean => {
  if (model === null || models === null || models.length === 0 || !model.startsWith('claude-')) return true;
  const name = model.replace(/\[.*\]$/, '').replace(/-latest$/, '');
  return models.some((one) => one === name || one.startsWith(`${name}-`));
};
