/** One request on its way through the credential proxy: checked, its pass exchanged for the key, streamed both ways. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { Transform } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { Account, Going, ProxyLimits, Visit, Ways } from './credential-proxy.ts';
import { addUsage, openUsageReader } from './usage-reader.ts';

type How = { limits: ProxyLimits; ways: Ways; refuse(status: number, says: string): void };

/** Never throws: what goes wrong is an answer, or a connection that is cut off. */
export const forward = (request: IncomingMessage, response: ServerResponse, visit: Visit, how: How): void => {
  void send(request, response, visit, how).catch((thrown: Error) => {
    const { signal, use } = visit;
    use.refused += 1;
    if (isRefusal(thrown)) how.refuse(thrown.status, thrown.message);
    else if (signal.aborted) how.refuse(504, 'The request took too long, or its attempt has ended.');
    else how.refuse(502, `${new URL(visit.account.baseUrl).host} cannot be reached: ${thrown.message}`);
  });
};

type Refusal = Error & { status: number };
const refusal = (status: number, says: string): Refusal => Object.assign(new Error(says), { status });
const isRefusal = (thrown: Error): thrown is Refusal => 'status' in thrown;

const send = async (
  request: IncomingMessage,
  response: ServerResponse,
  { account, use, signal }: Visit,
  { limits, ways }: How,
): Promise<void> => {
  const url = targetOf(request.url ?? '', account);
  const { requestBytesMax, responseBytesMax } = limits;
  const tooLarge = refusal(413, `The request is larger than ${requestBytesMax} bytes (NEXUS_PROXY_REQUEST_MAX).`);
  if (Number(request.headers['content-length'] ?? 0) > requestBytesMax) throw tooLarge;
  const countSent = counted(requestBytesMax, tooLarge, (chunk) => {
    use.bytesSent += chunk.length;
  });
  const body = account.signs ? await buffer(request.pipe(countSent)) : null;
  const method = request.method ?? 'GET';
  const plain = { ...passedOn(request.headers), 'accept-encoding': 'identity' };
  const headers = { ...plain, ...(await authorized(account, { method, url, headers: plain, body })) };
  const out = ways.start(url, { method, headers, signal });
  const answered = Promise.withResolvers<IncomingMessage>();
  out.once('response', answered.resolve);
  out.on('error', answered.reject);
  // Whichever comes first: an early answer is passed on, whatever is still to be sent.
  const sent = body === null ? pipeline(request, countSent, out, { signal }) : pipeline([body], out, { signal });
  sent.catch(answered.reject);
  const incoming = await answered.promise;
  const reader = openUsageReader(String(incoming.headers['content-type'] ?? ''));
  response.writeHead(incoming.statusCode ?? 502, passedOn(incoming.headers));
  // Whoever waits for the first event of a stream sees at once that there will be one.
  response.flushHeaders();
  const cut = new Error(`the answer is larger than ${responseBytesMax} bytes (NEXUS_PROXY_RESPONSE_MAX)`);
  const countReceived = counted(responseBytesMax, cut, (chunk) => {
    use.bytesReceived += chunk.length;
    reader.push(chunk);
  });
  try {
    await pipeline(incoming, countReceived, response, { signal });
  } finally {
    addUsage(use.tokens, reader.usage());
  }
};

/** Where a path of the agent leads: below the base URL, or nowhere. */
const targetOf = (path: string, { baseUrl, provider }: Account): URL => {
  const elsewhere = refusal(403, 'Only the configured address of the provider is reached from here.');
  if (!path.startsWith('/')) throw elsewhere;
  const base = new URL(baseUrl);
  const above = base.pathname.replace(/\/+$/, '');
  // The address that agents are given ends in /v1 where that of OpenAI does, whatever the configured one ends in.
  const below = provider === 'openai' ? path.replace(/^\/v1(?=\/|$)/, '') : path;
  const url = new URL(`${base.origin}${above}${below}`);
  const stays = url.origin === base.origin && (url.pathname === above || url.pathname.startsWith(`${above}/`));
  if (!stays || url.username !== '' || url.password !== '') throw elsewhere;
  return url;
};

/** Those of one connection, those that we set, and what could carry a secret of the other side. */
const dropped = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'host', 'authorization', 'x-api-key', 'cookie', 'set-cookie', 'accept-encoding'],
]);

const passedOn = (headers: IncomingHttpHeaders): Record<string, string> => {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || dropped.has(name) || named.includes(name) ? [] : [[name, String(value)]],
    ),
  );
};

const authorized = async ({ provider, key, authorize }: Account, going: Going): Promise<Record<string, string>> => {
  if (authorize !== undefined) return authorize(going);
  return provider === 'anthropic' ? { 'x-api-key': key } : { authorization: `Bearer ${key}` };
};

const counted = (bytesMax: number, tooMuch: Error, each: (chunk: Buffer) => void): Transform => {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > bytesMax) return done(tooMuch);
      each(chunk);
      done(null, chunk);
    },
  });
};
