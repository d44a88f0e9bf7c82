/** What an agent says, passed on as it comes and counted; the end of it is kept. */
export type Output = { write(text: string): void; tail(): string };

const tailMax = 16_000;

/** `onFull` is called once, when more than `bytesMax` has come; what comes later is dropped. */
export const openOutput = (bytesMax: number, onOutput: (text: string) => void, onFull: () => void): Output => {
  let bytes = 0;
  let tail = '';
  return {
    write: (text) => {
      if (text === '' || bytes > bytesMax) return;
      bytes += Buffer.byteLength(text);
      tail = (tail + text).slice(-tailMax);
      onOutput(text);
      if (bytes > bytesMax) onFull();
    },
    tail: () => tail,
  };
};
