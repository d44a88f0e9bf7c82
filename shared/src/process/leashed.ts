/**
 * Our end of the lifeline to a leash: the order goes in, the answer comes out; that it stays open means that we
 * live.
 */
import type { Duplex, Stream } from 'node:stream';

export type Order = {
  file: string;
  args: string[];
  folder: string;
  ownFolder: boolean;
  env: Record<string, string>;
  mark: string;
};
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

/** What the leash says of the command's end; null if it was killed before it could. It waits then to be let go. */
export const readAnswer = (lifeline: Stream | null | undefined): Promise<Answer | null> =>
  new Promise((resolve) => {
    let text = '';
    lifeline?.on('data', (chunk) => {
      text += String(chunk);
      if (text.endsWith('\n')) resolve(JSON.parse(text) as Answer);
    });
    for (const event of ['end', 'close', 'error']) lifeline?.on(event, () => resolve(null));
    if (!lifeline) resolve(null);
  });

/** Nothing of the command is left: the leash goes, and looks for nothing. */
export const letGo = (lifeline: Stream | null | undefined): void => {
  const socket = lifeline as Duplex | null | undefined;
  if (socket && !socket.writableEnded) socket.end('go\n');
};
