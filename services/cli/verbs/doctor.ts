/** `nexus doctor`: what is well, what is not, and what mends it. */
import type { Command } from 'commander';
import { asTyped } from '../command-word.ts';
import { examine, type Finding } from '../doctor.ts';
import type { Exit } from '../exit-codes.ts';
import type { Colour, Paint } from '../output.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';

export const addDoctor = (program: Command, act: Act): void => {
  program
    .command('doctor')
    .description('examine this machine, Redis and the fleet')
    .addHelpText('after', '\nExit code 1 if anything failed; warnings are not failures.\n\nExample:\n  nexus doctor')
    .action(act(doctor));
};

const doctor = async (tools: Tools): Promise<Exit> => {
  const findings = await examine(tools);
  tools.output.document({ findings });
  tools.output.say(...findingLines(findings, tools.output.paint));
  return findings.some(({ state }) => state === 'fail') ? 'failed' : 'ok';
};

const colours: Record<Finding['state'], Colour> = { ok: 'green', warn: 'yellow', fail: 'red' };

export const findingLines = (findings: readonly Finding[], paint: Paint): string[] => {
  const width = Math.max(...findings.map(({ name }) => name.length));
  return findings.flatMap(({ name, state, says, mend }) => [
    `${paint(colours[state], state.padEnd(4))}  ${name.padEnd(width)}  ${says}`,
    ...(mend === '' ? [] : [`${' '.repeat(width + 8)}→ ${asTyped(mend)}`]),
  ]);
};
