/** Asks this machine, once, whether a sandbox can really be had: by starting a program in one. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './run.ts';
import { findBubblewrap, type SandboxLook, whyNoSandbox } from './sandbox.ts';

let looked: Promise<SandboxLook> | null = null;

/** Looks once in the life of a process; never throws. */
export const probeSandbox = (): Promise<SandboxLook> => {
  looked ??= look().catch((thrown: Error) => ({ usable: false, ...whyNoSandbox(thrown.message) }));
  return looked;
};

const look = async (): Promise<SandboxLook> => {
  if (process.platform !== 'linux') {
    return { usable: false, says: `there is no bubblewrap for ${process.platform}`, mend: 'run the workers on Linux' };
  }
  const program = await findBubblewrap();
  if (program === null) {
    return { usable: false, says: 'bubblewrap (bwrap) is not on the path', mend: 'install the package bubblewrap' };
  }
  const folder = await mkdtemp(join(tmpdir(), 'nexus-probe-'));
  try {
    const work = join(folder, 'work');
    await mkdir(work);
    const result = await run({
      command: ['sh', '-c', 'touch here && ! touch /nexus-probe'],
      folder: work,
      sandbox: { writable: [], hidden: [], network: false },
      timeoutMs: 10_000,
      outputBytesMax: 10_000,
    });
    return result.exitCode === 0
      ? { usable: true, says: `by ${program}` }
      : { usable: false, ...whyNoSandbox(result.output) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
