/** What the three ways that are compared have in common: the shape of the chain, and texts that make up its bytes. */

/** Stations of a chain: as many hops. */
export const stationsMax = 5;

export const text = (length: number): string => 'x'.repeat(length);

/** The document that a station writes of its task, as JSON. */
export const documentAt = (station: number): string => `{"station":${station},"filler":"${documentFiller}"}`;
const documentFiller = text(220);

/** Makes a plain JSON message 700 bytes long. */
export const bodyFiller = text(630);
