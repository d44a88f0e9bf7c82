/**
 * Reads a stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 */

export type ServerSentEvent = { id: string; event: string; data: string };

/**
 * The events of a response body, one by one. Comments (heartbeats) are dropped; `id` is the last one seen.
 * An event that the end of the stream cuts off is not given, as the specification demands.
 */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  let pending = fresh('');
  for await (const line of linesOf(body)) {
    if (line === '') {
      if (pending.data.length > 0) {
        yield { id: pending.id, event: pending.event || 'message', data: pending.data.join('\n') };
      }
      pending = fresh(pending.id);
    } else {
      take(pending, line);
    }
  }
}

type Pending = { id: string; event: string; data: string[] };
const fresh = (id: string): Pending => ({ id, event: '', data: [] });

const take = (pending: Pending, line: string): void => {
  const colon = line.indexOf(':');
  if (colon === 0) return;
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
  if (field === 'data') pending.data.push(value);
  else if (field === 'event') pending.event = value;
  else if (field === 'id' && !value.includes('\0')) pending.id = value;
};

/** Lines end in LF, CR LF or CR; a CR at the end of a chunk waits for what comes next. */
async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const end = rest.endsWith('\r') ? rest.length - 1 : rest.length;
    const lines = rest.slice(0, end).split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? '') + rest.slice(end);
    yield* lines;
  }
}
