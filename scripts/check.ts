/**
 * `npm run check`: what every change must pass before it is committed, in less than a minute: types,
 * lint, tidy, generated pages fresh, unit tests. Prints a line for each part; shows the output of those
 * that failed. Exit code 1 if any did.
 */
import { closingLine, inLanes, lineOf, type Part, parts, runPart } from './parts.ts';

const chosen: Part[] = [parts.unit, parts.types, parts.lint, parts.tidy, parts.docs];

const results = await inLanes(
  2,
  chosen.map((part) => async () => {
    const result = await runPart(part);
    console.log(lineOf(result));
    if (!result.ok) console.log(result.output);
    return result;
  }),
);
console.log(closingLine(results));
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;
