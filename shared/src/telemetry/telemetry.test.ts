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

test('a line of the log holds no secret, neither a value of ours nor the shape of a key, and stays JSON', () => {
  const program = `
    import { openLog } from '${import.meta.dirname}/telemetry.ts';
    const log = openLog('test', 'info', {}, ['correct "horse" battery']);
    const err = new Error('refused sk-ant-api03-abcdefghijklmnopqrstuv');
    log.warn({ err, at: ['correct "horse" battery'] }, 'failed');
    log.info('-----BEGIN PRIVATE KEY-----\\nMIIEow');`;
  const script = `'${process.execPath}' --input-type=module-typescript -e "$PROGRAM" 2>&1`;
  const said = execFileSync('sh', ['-c', script], { env: { ...process.env, PROGRAM: program }, encoding: 'utf8' });
  const [warned, told] = said
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(warned).toMatchObject({
    level: 'warn',
    msg: 'failed',
    at: ['(redacted)'],
    err: { message: 'refused (redacted)' },
  });
  expect(told.msg).toContain('(redacted)');
  expect(said).not.toMatch(/horse|api03|MIIE/);
});
