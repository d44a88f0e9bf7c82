/** Whether this runtime can be used: the CLI, its version, a login, the model. Nothing of it costs anything. */
import type { RuntimeContext, Usable } from '../../runtimes.ts';
import { findLogin, type Login } from './logins.ts';
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

export const usable = async ({ settings }: RuntimeContext): Promise<Usable> => {
  if (settings === undefined) return { usable: false, looked: 'it has no settings here', mend: 'start it in a worker' };
  const found = await lookAround(settings);
  return 'problem' in found
    ? { usable: false, looked: found.problem, mend: found.mend }
    : { usable: true, looked: `Claude Code ${found.version} is ${found.program}, by ${found.login.says}`, mend: '' };
};
