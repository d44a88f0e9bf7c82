/** Collects the output of a command within its limit, and passes it on as it comes. */
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { OutputStream } from './run.ts';

type Texts = { stdout: string; stderr: string; output: string };

export type Output = {
  /** Reads a stream; `end` is called when it is too much, or when the listener throws. */
  follow(stream: Readable, name: OutputStream, end: (why: 'outputLimited' | 'aborted') => void): void;
  /** What was kept: of each stream, and of both in the order in which it came. */
  texts(): Texts;
  /** Throws what the listener threw, if it did. */
  rethrow(): void;
};

export const collectOutput = (
  bytesMax: number,
  onOutput: ((chunk: string, stream: OutputStream) => void) | undefined,
): Output => {
  const chunks: { name: OutputStream; data: Buffer }[] = [];
  let bytes = 0;
  let thrown: { error: unknown } | null = null;

  const tell = (text: string, name: OutputStream): void => {
    if (text === '' || thrown !== null || onOutput === undefined) return;
    try {
      onOutput(text, name);
    } catch (error) {
      thrown = { error };
    }
  };

  return {
    follow(stream, name, end) {
      const decoder = new StringDecoder('utf8');
      stream.on('data', (data: Buffer) => {
        const kept = data.subarray(0, bytesMax - bytes);
        bytes += kept.length;
        if (kept.length > 0) chunks.push({ name, data: kept });
        tell(decoder.write(kept), name);
        if (thrown !== null) end('aborted');
        if (kept.length < data.length) end('outputLimited');
      });
      stream.once('end', () => tell(decoder.end(), name));
      stream.on('error', () => {});
    },
    texts: () => ({
      stdout: textOf(chunks.filter(({ name }) => name === 'stdout')),
      stderr: textOf(chunks.filter(({ name }) => name === 'stderr')),
      output: textOf(chunks),
    }),
    rethrow() {
      if (thrown !== null) throw thrown.error;
    },
  };
};

const textOf = (chunks: { data: Buffer }[]): string => Buffer.concat(chunks.map(({ data }) => data)).toString('utf8');
