/**
 * The breaks: for each promise that a line of code keeps, the change that breaks it and the test that has to
 * notice. `npm run sabotage` tries them. Whoever mends a fault adds the break that brings it back.
 */
import { fabric } from './fabric.ts';

export type Break = {
  /** Area and what is broken, in words with dashes: `fabric-settle-without-token`. */
  name: string;
  /** From the root of the checkout. */
  file: string;
  /** Stands exactly once in the file. */
  find: string;
  replace: string;
  test: { file: string; title: string };
};

export const breaks: readonly Break[] = [...fabric];
