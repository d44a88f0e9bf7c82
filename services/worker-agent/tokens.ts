/**
 * Claim tokens that came already. A token is (consumer, entry, delivery count), and the count begins at one again for a
 * group that somebody destroyed and that was made anew: then the same entry may come to the same worker under the very
 * token of an earlier delivery, whose folders, refs and processes bear it. Whoever meets one parks the message, which
 * costs no attempt: it comes again as a new entry. A consumer's name is new at each boot, so what this process has seen
 * is all there is.
 */

/** An entry comes twice within the deliveries that a worker holds or has just given back; these are far more. */
const keptMax = 1000;

/** Whether a token came before; it has, from then on. */
export const openTokens = (): ((token: string) => boolean) => {
  const seen = new Set<string>();
  return (token) => {
    if (seen.has(token)) return true;
    seen.add(token);
    const [oldest] = seen;
    if (seen.size > keptMax && oldest !== undefined) seen.delete(oldest);
    return false;
  };
};
