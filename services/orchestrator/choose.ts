/** Chooses a workflow for a request that asks for none. Pure: the same words choose the same workflow. */
import type { Workflow } from '@nexus/shared/catalog';

/** What a request without any telling word gets. */
const ordinary = 'feature';
/** For small requests only: chosen by its words up to so many, and for anything ordinary that is shorter still. */
const small = { workflow: 'simple', wordsMax: 10, ordinaryWordsMax: 3 };

/**
 * The workflow whose word or phrase stands first in the request; of two that begin at the same place the
 * longer one ("add tests" before "add"). Nothing found, or nothing but `ordinary`: the ordinary workflow,
 * or the small one for a request of a few words.
 */
export const chooseWorkflow = (workflows: ReadonlyMap<string, Workflow>, request: string): Workflow => {
  const words = wordsOf(request);
  const tiny = workflows.get(small.workflow);
  if (tiny && words.length <= small.wordsMax && firstPlace(tiny, words)) return tiny;
  const places = [...workflows.values()]
    .filter((workflow) => workflow !== tiny)
    .flatMap((workflow) => {
      const place = firstPlace(workflow, words);
      return place ? [{ workflow, ...place }] : [];
    })
    .toSorted((one, other) => one.at - other.at || other.length - one.length);
  const chosen = places[0]?.workflow ?? workflows.get(ordinary) ?? ([...workflows.values()][0] as Workflow);
  return tiny && chosen.name === ordinary && words.length <= small.ordinaryWordsMax ? tiny : chosen;
};

/** The words of a text in any language, also of those that put no spaces between them. */
const wordsOf = (text: string): string[] =>
  [...segmenter.segment(text.toLowerCase().replaceAll('’', "'"))]
    .filter(({ isWordLike }) => isWordLike)
    .map(({ segment }) => segment);
const segmenter = new Intl.Segmenter('en', { granularity: 'word' });

/** Where the first of a workflow's words or phrases stands in a request, and how many words it has. */
const firstPlace = (workflow: Workflow, words: readonly string[]): { at: number; length: number } | null => {
  let best: { at: number; length: number } | null = null;
  for (const phrase of workflow.chooses.map(wordsOf)) {
    const at = words.findIndex((_, start) => phrase.every((word, offset) => words[start + offset] === word));
    if (at < 0 || phrase.length === 0) continue;
    if (best === null || at < best.at || (at === best.at && phrase.length > best.length)) {
      best = { at, length: phrase.length };
    }
  }
  return best;
};
