/**
 * What a failure means for the message that met it: the one place that maps errors to outcomes.
 */
import { type AppError, causesOf, fail, toAppError } from '@nexus/shared/errors';
import type { Outcome } from './outcome.ts';
import { isConnectionError } from './redis.ts';

/** Of a message whose task has ended: nobody wants it any more. */
export const unwanted: Outcome = { is: 'done', publish: [], write: [] };

/** What a failure means for its message, by the registry. */
export const outcomeOf = (error: AppError): Outcome => {
  if (error.code === 'CLAIM_LOST') return { is: 'give_back', why: error.message };
  if (error.code === 'STOPPED') return { is: 'give_back', why: error.message };
  if (error.code === 'TASK_ENDED') return unwanted;
  switch (error.entry.outcome) {
    case 'retry':
      return retryOf(error);
    case 'postpone':
      return { is: 'postpone', untilMs: Date.now() + 5000, why: error.message };
    case 'dead':
      return { is: 'dead', code: error.code, says: error.message, causes: causesOf(error) };
  }
};

/** Where Redis did not answer, nothing is known to be wrong with the message: it waits for Redis as it came. */
export const outcomeOfThrown = (error: unknown): Outcome =>
  isConnectionError(error) ? { is: 'give_back', why: 'Redis did not answer' } : outcomeOf(toAppError(error));

export const retryOf = (error: AppError): Extract<Outcome, { is: 'retry' }> => ({
  is: 'retry',
  code: error.code,
  says: error.message,
  causes: causesOf(error),
  afterMs: null,
});

/** The dead letter of a message that failed once too often. */
export const exhausted = (
  outcome: Extract<Outcome, { is: 'retry' }>,
  attempts: number,
): Extract<Outcome, { is: 'dead' }> => ({
  is: 'dead',
  code: 'RETRIES_EXHAUSTED',
  says: fail('RETRIES_EXHAUSTED', { attempts, code: outcome.code, message: outcome.says }).message,
  causes: outcome.causes,
});
