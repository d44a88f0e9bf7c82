/** What a login of a cloud lacks, by variables and by files as the tools of the clouds write them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bedrockNeeds, vertexNeeds } from './cloud-needs.ts';

const openPlaces = (files: Record<string, string> = {}) => {
  const home = mkdtempSync(join(tmpdir(), 'nexus-cloud-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), text);
  }
  return { home, machine: join(home, 'machine') };
};

const here = { AWS_REGION: 'eu-west-1' };
const credentials = '[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n';
const config = '[default]\nregion = eu-west-3\n[profile work]\nregion = eu-west-2\nsso_session = ours\n';

test.each<[string, Record<string, string>, Record<string, string>]>([
  ['a key of Bedrock', { AWS_BEARER_TOKEN_BEDROCK: 'x' }, {}],
  ['access keys', { AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: 'x' }, {}],
  ['the role of a container', { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://169.254.170.23/' }, {}],
  ['a web identity', { AWS_WEB_IDENTITY_TOKEN_FILE: '/token', AWS_ROLE_ARN: 'arn:aws:iam::1:role/x' }, {}],
  ['the default profile', {}, { '.aws/credentials': credentials }],
  ['a profile that signs in', { AWS_PROFILE: 'work' }, { '.aws/config': config }],
  ['a machine of Amazon', {}, { 'machine/sys_vendor': 'Amazon EC2\n' }],
  ['a gateway that proves itself', { CLAUDE_CODE_SKIP_BEDROCK_AUTH: '1' }, {}],
])('Bedrock has what it needs by %s', async (_, variables, files) => {
  expect(await bedrockNeeds({ ...here, ...variables }, openPlaces(files))).toEqual({
    region: 'eu-west-1',
    missing: [],
  });
});

test('Bedrock takes the region of its profile, and a profile that says nothing more proves nobody', async () => {
  const places = openPlaces({ '.aws/config': config });
  expect(await bedrockNeeds({ AWS_PROFILE: 'work' }, places)).toEqual({ region: 'eu-west-2', missing: [] });
  expect(await bedrockNeeds({}, places)).toEqual({
    region: 'eu-west-3',
    missing: [expect.stringMatching(/^no AWS credential \(set AWS_BEARER_TOKEN_BEDROCK/)],
  });
  const none = await bedrockNeeds({ AWS_PROFILE: 'nobody', AWS_ACCESS_KEY_ID: 'AKIA' }, places);
  expect(none).toEqual({ region: null, missing: [expect.stringContaining('in the profile "nobody"')] });
});

test('Vertex needs a project and credentials of Google that are there', async () => {
  const placed = { ANTHROPIC_VERTEX_PROJECT_ID: 'ours', CLOUD_ML_REGION: 'global' };
  const bare = openPlaces();
  expect(await vertexNeeds({}, bare)).toEqual([
    'no project (set ANTHROPIC_VERTEX_PROJECT_ID)',
    expect.stringContaining('gcloud auth application-default login'),
  ]);
  expect(await vertexNeeds({ ...placed, GOOGLE_APPLICATION_CREDENTIALS: '/none.json' }, bare)).toEqual([
    expect.stringContaining('there is no file /none.json (correct GOOGLE_APPLICATION_CREDENTIALS)'),
  ]);
  const adc = '.config/gcloud/application_default_credentials.json';
  expect(await vertexNeeds(placed, openPlaces({ [adc]: '{}' }))).toEqual([]);
  expect(await vertexNeeds(placed, openPlaces({ 'machine/bios_vendor': 'Google\n' }))).toEqual([]);
  expect(await vertexNeeds({ ...placed, CLAUDE_CODE_SKIP_VERTEX_AUTH: '1' }, bare)).toEqual([]);
  const key = openPlaces({ 'key.json': '{"project_id": "theirs"}' });
  const file = { GOOGLE_APPLICATION_CREDENTIALS: join(key.home, 'key.json'), CLOUD_ML_REGION: 'global' };
  expect(await vertexNeeds(file, key)).toEqual([]);
});
