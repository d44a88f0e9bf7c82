/** Names of models: what the CLI takes. */
import { claudeInPlaceOf } from '@nexus/shared/catalog';

const aliases = ['opus', 'sonnet', 'haiku', 'opusplan', 'default', 'best'];

/** The model to ask for, null for the CLI's own choice; or what is wrong with the name. */
export const modelFor = (name: string | null | undefined): { model: string | null } | { mend: string } => {
  const wish = (name ?? '').trim();
  if (wish === '' || wish === 'inherit' || wish === 'default') return { model: null };
  const instead = claudeInPlaceOf(wish);
  if (instead) return { mend: `it is retired; ${instead} takes its place` };
  const isModel = aliases.includes(wish) || /^(arn:|[\w.-]*\/)|claude|opus|sonnet|haiku/i.test(wish);
  return isModel
    ? { model: wish }
    : { mend: `it is none of Claude’s; there are ${aliases.slice(0, 3).join(', ')} and full names` };
};

/** The context of a model in tokens, until the CLI itself tells it at the end of a run. */
export const windowOf = (model: string | null): number =>
  model !== null && /\[1m\]|^claude-[a-z]+-([5-9]|\d\d)\b/.test(model) ? 1_000_000 : 200_000;
