/** Whether this runtime can be used: the CLI, its version, a login, the model. Nothing of it costs anything. */
import type { RuntimeContext, Usable } from '../../runtimes.ts';
import { whyNotInside } from '../../safety/seen-inside.ts';
import { isListed, lookAtKey } from './key-look.ts';
import { findLogin, type Login, usualAddress } from './logins.ts';
import { modelFor } from './models.ts';
import { findClaude } from './program.ts';

export type ClaudeSettings = NonNullable<RuntimeContext['settings']>;

export type Ready = { program: string; version: string; login: Login };

/** All that a run needs, or what is missing. */
export const lookAround = async (settings: ClaudeSettings): Promise<Ready | { problem: string; mend: string }> => {
  const program = await findClaude(settings.claudeProgram ?? 'claude');
  if ('problem' in program) return program;
  const login = await findLogin(program.path, settings);
  if ('problem' in login) return login;
  const model = modelFor(settings.claudeModel);
  if ('mend' in model) {
    return {
      problem: `NEXUS_CLAUDE_MODEL is "${settings.claudeModel}": ${model.mend}`,
      mend: 'correct NEXUS_CLAUDE_MODEL',
    };
  }
  return { program: program.path, version: program.version, login };
};

export const usable = async ({ settings, sandbox }: RuntimeContext): Promise<Usable> => {
  if (settings === undefined) return { usable: false, looked: 'it has no settings here', mend: 'start it in a worker' };
  const found = await lookAround(settings);
  if ('problem' in found) return { usable: false, looked: found.problem, mend: found.mend };
  const inside = await whyNotInside(found.program, [found.program, '--version'], sandbox);
  if (inside !== null) {
    const { problem, ...more } = inside;
    return { usable: false, looked: problem, ...more };
  }
  const refused = await whyRefused(settings, found.login);
  if (refused !== null) return { usable: false, looked: refused.problem, mend: refused.mend };
  const looked = `Claude Code ${found.version} is ${found.program}, by ${found.login.says}`;
  const away = await whyAway(settings, found.login);
  // An outage may be over before an attempt is ready for it, and attempts wait for its end: so it is told, no more.
  if (away !== null) return { usable: true, looked: `${looked}, but ${away.problem}`, mend: away.mend };
  return { usable: true, looked, mend: '' };
};

/** Whether nobody answers where a login leads; a subscription is asked of only where an address was set for it. */
const whyAway = async (
  { anthropicKey, anthropicUrl: url = usualAddress }: ClaudeSettings,
  { kind }: Login,
): Promise<{ problem: string; mend: string } | null> => {
  if (kind === 'subscription' ? url === usualAddress : kind !== 'api_key') return null;
  const { away } = await lookAtKey(url, kind === 'api_key' ? (anthropicKey ?? null) : null);
  const mend = 'start what ANTHROPIC_BASE_URL names, or correct it on the workers; attempts wait for it';
  return away === null ? null : { problem: `${new URL(url).host} does not answer: ${away}`, mend };
};

/** What the provider says to a key and to the model of the settings; other logins are only tried by their use. */
const whyRefused = async (
  { anthropicKey: key, anthropicUrl: url = usualAddress, claudeModel = '' }: ClaudeSettings,
  { kind }: Login,
): Promise<{ problem: string; mend: string } | null> => {
  if (kind !== 'api_key' || !key) return null;
  const { refused, models } = await lookAtKey(url, key);
  if (refused !== null) {
    const problem = `${new URL(url).host} refuses the API key: ${refused}`;
    return { problem, mend: 'set ANTHROPIC_API_KEY on the workers to a key that is valid there' };
  }
  if (isListed(claudeModel || null, models)) return null;
  const problem = `NEXUS_CLAUDE_MODEL is "${claudeModel}", and ${new URL(url).host} has no such model`;
  return { problem, mend: `correct NEXUS_CLAUDE_MODEL; there are ${models?.slice(0, 8).join(', ')}` };
};
