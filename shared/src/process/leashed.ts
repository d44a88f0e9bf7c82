/**
 * Our end of the lifeline to a leash: the order goes in, the answer comes out; that it stays open means that we
 * live.
 */
import type { Duplex, Stream } from 'node:stream';

export type Order = { file: string; args: string[]; folder: string; env: Record<string, string>; mark: string };
export type Answer = { exitCode: number | null; signal: string | null } | { failed: string; says: string };

/**
 * Sends the order. It goes this way because arguments and the environment of the leash itself could be read by
 * others.
 */
export const giveOrder = (lifeline: Stream | null | undefined, order: Order): void => {
  const socket = lifeline as Duplex;
  // The leash may be killed at any moment; its exit tells, not this error.
  socket.on('error', () => {});
  socket.write(`${JSON.stringify(order)}\n`);
};

/** What the leash says of the command's end; null if it was killed before it could. */
export const readAnswer = async (lifeline: Stream | null | undefined): Promise<Answer | null> => {
  let text = '';
  try {
    for await (const chunk of lifeline as Duplex) text += String(chunk);
    return JSON.parse(text) as Answer;
  } catch {
    return null;
  }
};
