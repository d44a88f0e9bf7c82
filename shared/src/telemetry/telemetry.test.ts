import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

test.runIf(process.platform === 'linux')('a log on a full disk ends nobody', () => {
  const program = `
    import { openLog } from '${import.meta.dirname}/telemetry.ts';
    const log = openLog('test', 'info');
    for (let line = 0; line < 1000; line += 1) log.warn({ line }, 'lost');
    setTimeout(() => console.log('alive'), 50);`;
  const script = `'${process.execPath}' --input-type=module-typescript -e "$PROGRAM" 2>/dev/full`;
  const said = execFileSync('sh', ['-c', script], { env: { ...process.env, PROGRAM: program }, encoding: 'utf8' });
  expect(said.trim()).toBe('alive');
});
