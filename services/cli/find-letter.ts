/** A dead letter by its id, or by the beginning of it that no other shares. */
import { type Client, ClientProblem, type DeadLetterDetail, type DeadLetterList } from '@nexus/shared/client';
import { CommandFailure } from './exit-codes.ts';

/**
 * Throws the gateway's LETTER_UNKNOWN where no id begins so, its LETTER_DECIDED where one did that is decided, and
 * LETTER_AMBIGUOUS where several do, decided or not.
 */
export const findLetter = async (api: Client, given: string): Promise<DeadLetterDetail> => {
  try {
    return await api.deadLetter(given);
  } catch (error) {
    if (!(error instanceof ClientProblem) || !absent.includes(error.code)) throw error;
    const found = await lettersFrom(api, given);
    if (found.length === 0) throw error;
    const [only, another] = found;
    if (only !== undefined && another === undefined) return api.deadLetter(only);
    throw new CommandFailure('refused', `${found.length} dead letters begin with ${given}; which one?`, {
      code: 'LETTER_AMBIGUOUS',
      advice: found.slice(0, 8),
    });
  }
};

/** None that is still there is called so; one may begin so. */
const absent = ['LETTER_UNKNOWN', 'LETTER_DECIDED', 'LETTER_AMBIGUOUS'];

const lettersFrom = async (api: Client, beginning: string): Promise<string[]> => {
  const found: string[] = [];
  for (let offset: number | null = 0; offset !== null; ) {
    const page: DeadLetterList = await api.deadLetters({ limit: 200, offset });
    found.push(...page.dead_letters.map(({ id }) => id).filter((id) => id.startsWith(beginning)));
    offset = page.next_offset;
  }
  return found;
};
