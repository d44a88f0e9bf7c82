import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '@nexus/shared/process';
import { expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../../tools/redis.ts';

/** A certificate for 127.0.0.1, made anew: nothing secret lies in the repository. */
const makeCertificate = (): { cert: string; key: string } => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-tls-'));
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...names, '-keyout', key, '-out', cert],
    { stdio: 'ignore' },
  );
  return { cert, key };
};

test('a service reaches Redis by rediss:// with a password, and refuses a certificate it does not know', async () => {
  const { cert, key } = makeCertificate();
  const tlsPort = await freePort();
  const tls = [
    '--tls-port',
    String(tlsPort),
    '--tls-cert-file',
    cert,
    '--tls-key-file',
    key,
    '--tls-auth-clients',
    'no',
  ];
  const server = await startRedis({ extra: [...tls, '--tls-ca-cert-file', cert, '--requirepass', 'hush'] });
  onTestFinished(() => server.stop());
  const main = fileURLToPath(new URL('../../../services/finalizer/main.ts', import.meta.url));
  const settings = {
    PATH: process.env.PATH,
    REDIS_URL: `rediss://127.0.0.1:${tlsPort}`,
    REDIS_PASSWORD: 'hush',
    NEXUS_REDIS_WAIT: '2s',
  };

  const stranger = spawn(process.execPath, [main], { env: settings, stdio: ['ignore', 'ignore', 'pipe'] });
  let refused = '';
  stranger.stderr.on('data', (chunk: Buffer) => {
    refused += chunk;
  });
  const [code] = await once(stranger, 'exit');
  expect(code).toBe(69);
  expect(refused).toContain('self-signed certificate');

  const friend = spawn(process.execPath, [main], {
    env: { ...settings, NODE_EXTRA_CA_CERTS: cert },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  onTestFinished(() => void friend.kill('SIGKILL'));
  let said = '';
  await new Promise<void>((resolve, reject) => {
    friend.once('exit', () => reject(new Error(said)));
    friend.stderr.on('data', (chunk: Buffer) => {
      said += chunk;
      if (said.includes('finalizer serves')) resolve();
    });
  });
  friend.removeAllListeners('exit');
  friend.kill('SIGTERM');
  const [ended] = await once(friend, 'exit');
  expect(ended).toBe(0);
});
