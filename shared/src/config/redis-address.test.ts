import { expect, test } from 'vitest';
import { fabricConfig, loadConfig, readRedisAddress } from './config.ts';

test('the address of one server is read with all its parts', () => {
  expect(readRedisAddress('rediss://user:p%40ss@redis.example:7000/2')).toEqual({
    servers: [{ host: 'redis.example', port: 7000 }],
    primary: null,
    tls: true,
    username: 'user',
    password: 'p@ss',
    db: 2,
  });
  expect(readRedisAddress('redis://[::1]')).toMatchObject({ servers: [{ host: '::1', port: 6379 }], tls: false });
});

test('the address of Sentinels names them all and their primary', () => {
  expect(readRedisAddress('redis+sentinel://:hush@one,two:5000,[::1]:5001/main/3')).toEqual({
    servers: [
      { host: 'one', port: 26_379 },
      { host: 'two', port: 5000 },
      { host: '::1', port: 5001 },
    ],
    primary: 'main',
    tls: false,
    username: undefined,
    password: 'hush',
    db: 3,
  });
});

test.each([
  ['http://127.0.0.1:6379', 'another protocol'],
  ['redis://', 'no host'],
  ['redis://one,two', 'two servers without Sentinel'],
  ['redis+sentinel://one:26379', 'Sentinels without the name of the primary'],
  ['redis+sentinel://one:99999/main', 'a port that cannot be'],
  ['redis://one/main', 'a database that is no number'],
])('%s is refused at start: %s', (address) => {
  expect(() => loadConfig(fabricConfig, { REDIS_URL: address })).toThrow(
    /REDIS_URL is \(secret\): expected an address/,
  );
});
