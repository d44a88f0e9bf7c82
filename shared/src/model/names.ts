/**
 * Names of models: what OpenAI has retired and what takes its place, as of November 2026.
 * https://developers.openai.com/api/docs/deprecations
 */

/** What is asked for at OpenAI where no model is named. */
export const defaultModel = 'gpt-6.1-sol';

/** Beginnings of names that are gone, with their replacement; the longest that fits decides. */
const retired: Record<string, string> = {
  'text-davinci': 'gpt-6-luna',
  'code-davinci': 'gpt-6.1-sol',
  'gpt-3.5-turbo': 'gpt-6-luna',
  'gpt-4-': 'gpt-6.1-sol',
  'gpt-4.1-nano': 'gpt-6-luna',
  'gpt-4.5-preview': 'gpt-6.1-sol',
  'gpt-4o-2024-05-13': 'gpt-6-luna',
  'chatgpt-4o-latest': 'gpt-6.1-sol',
  'codex-mini-latest': 'gpt-6.1-sol',
  'gpt-5-chat-latest': 'gpt-6.1-sol',
  'gpt-5-codex': 'gpt-6.1-sol',
  'gpt-5.1-chat-latest': 'gpt-6.1-sol',
  'gpt-5.1-codex': 'gpt-6.1-sol',
  'gpt-5.2-chat-latest': 'gpt-6.1-sol',
  'gpt-5.2-codex': 'gpt-6.1-sol',
  'gpt-5.3-chat-latest': 'gpt-6.1-sol',
  'o1-': 'gpt-6.1-sol',
  'o3-mini': 'gpt-6-luna',
  'o4-mini': 'gpt-6-luna',
};
const retiredWhole: Record<string, string> = { 'gpt-4': 'gpt-6.1-sol', o1: 'gpt-6.1-sol' };

/** What replaces a model that OpenAI has retired; null for one that it has not, as far as is known here. */
export const replacementOf = (model: string): string | null => {
  if (retiredWhole[model] !== undefined) return retiredWhole[model];
  const beginnings = Object.keys(retired).filter((beginning) => model.startsWith(beginning));
  const longest = beginnings.sort((one, other) => other.length - one.length)[0];
  return longest === undefined ? null : (retired[longest] ?? null);
};

/** The known name that is written most like an unknown one; null if none is near. */
export const nearestOf = (model: string, known: readonly string[]): string | null => {
  const distances = known.map((name) => ({ name, distance: distanceOf(model.toLowerCase(), name.toLowerCase()) }));
  const nearest = distances.sort((one, other) => one.distance - other.distance)[0];
  return nearest !== undefined && nearest.distance <= Math.max(2, model.length / 4) ? nearest.name : null;
};

/** How many letters have to be added, taken away or changed (Levenshtein). */
const distanceOf = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [at, letter] of [...one].entries()) {
    const next = [at + 1];
    for (let to = 1; to <= other.length; to++) {
      const change = (row[to - 1] ?? 0) + (letter === other[to - 1] ? 0 : 1);
      next.push(Math.min(change, (row[to] ?? 0) + 1, (next[to - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
};
