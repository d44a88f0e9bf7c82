/** The beginning and the end of a long text, within so many bytes, saying what was cut out between them. */
export const clip = (text: string, bytesMax: number): string => {
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return text;
  const half = Math.floor(bytesMax / 2);
  const head = bytes.subarray(0, half).toString('utf8').replace(/�+$/, '');
  const tail = bytes.subarray(-half).toString('utf8').replace(/^�+/, '');
  return `${head}\n(… ${bytes.length - 2 * half} bytes cut out …)\n${tail}`;
};
