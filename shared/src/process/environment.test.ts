import { expect, test } from 'vitest';
import { allowedEnv, withoutOurs } from './environment.ts';

test('a program does not meet the tools of our own installation on its search path', () => {
  const path = '/opt/nexus/node_modules/.bin:/opt/node_modules/.bin:/x/node-gyp-bin:/home/me/bin:/usr/bin';
  expect(withoutOurs(path, '/opt/nexus')).toBe('/home/me/bin:/usr/bin');
});

test('folders of other installations stay on the search path', () => {
  expect(withoutOurs('/srv/app/node_modules/.bin:/usr/bin', '/opt/nexus')).toBe('/srv/app/node_modules/.bin:/usr/bin');
});

test('what a caller adds wins over what is inherited', () => {
  expect(allowedEnv({ PATH: '/only/this', CI: 'true' })).toMatchObject({ PATH: '/only/this', CI: 'true' });
});
