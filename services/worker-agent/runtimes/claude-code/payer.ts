/** Who is charged and limited for what the CLI asks: its calls are its own, so its process is what takes a place. */
import type { AgentDefinition } from '@nexus/shared/catalog';
import type { Payer, RuntimeContext } from '../../runtimes.ts';
import type { LoginKind } from './logins.ts';
import { lookAround } from './look.ts';
import { modelFor } from './models.ts';

/** Null where it cannot run: then nobody pays. */
export const payerOf = async (
  { settings }: RuntimeContext,
  { model: wish }: Pick<AgentDefinition, 'model'>,
): Promise<Payer | null> => {
  const ready = await lookAround(settings ?? {});
  if ('problem' in ready) return null;
  const { kind, account } = ready.login;
  const asked = modelFor((wish === 'inherit' ? null : wish) ?? settings?.claudeModel);
  const model = 'model' in asked ? asked.model : null;
  return { provider: providers[kind], account, model, notional: kind === 'subscription' };
};

const providers: Record<LoginKind, string> = {
  subscription: 'anthropic',
  api_key: 'anthropic',
  bedrock: 'bedrock',
  vertex: 'vertex',
};
