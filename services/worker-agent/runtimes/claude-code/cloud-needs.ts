/**
 * What a login of a cloud needs besides the variable that chooses it: a place, and something that proves who asks. Only
 * looked for here, never tried: whether a cloud takes it, its first use tells.
 */
import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

type Variables = Readonly<Record<string, string>>;
/** Where a person's and a machine's own things lie; others in tests. */
export type Places = { home: string; machine: string };

const usualPlaces = (): Places => ({ home: homedir(), machine: '/sys/class/dmi/id' });

export const isOn = (flag: string | undefined): boolean => /^(1|true|yes|on)$/i.test(flag ?? '');

/** The region that the requests go to, and what is missing, with what would mend it. */
export const bedrockNeeds = async (found: Variables, places = usualPlaces()) => {
  const profile = found.AWS_PROFILE || found.AWS_DEFAULT_PROFILE || 'default';
  const fields = await profileOf(profile, found, places);
  const region = found.AWS_REGION || found.AWS_DEFAULT_REGION || fields.get('region') || null;
  // Without a region the CLI takes one of its own.
  const missing: string[] = [];
  if (!isOn(found.CLAUDE_CODE_SKIP_BEDROCK_AUTH) && !(await provesAws(found, fields, places))) {
    const where = found.AWS_PROFILE ? `, and none in the profile "${found.AWS_PROFILE}"` : '';
    const mend = 'AWS_BEARER_TOKEN_BEDROCK, AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, or AWS_PROFILE';
    missing.push(`no AWS credential${where} (set ${mend})`);
  }
  return { region, missing };
};

const provesAws = async (found: Variables, profile: ReadonlyMap<string, string>, { machine }: Places) => {
  if (found.AWS_BEARER_TOKEN_BEDROCK) return true;
  if (found.AWS_ACCESS_KEY_ID && found.AWS_SECRET_ACCESS_KEY) return true;
  if (found.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI || found.AWS_CONTAINER_CREDENTIALS_FULL_URI) return true;
  if (found.AWS_WEB_IDENTITY_TOKEN_FILE && found.AWS_ROLE_ARN) return true;
  if ([...profile.keys()].some((key) => /^(aws_|sso_|role_|credential_|web_identity_|login_)/.test(key))) return true;
  // A machine of Amazon may have a role of its own, which nothing but a request to it would show.
  return /amazon/i.test(await textOf(join(machine, 'sys_vendor')));
};

/** What both files of AWS say of a profile. */
const profileOf = async (name: string, found: Variables, { home }: Places): Promise<Map<string, string>> => {
  const fields = new Map<string, string>();
  const files = [
    [found.AWS_CONFIG_FILE || join(home, '.aws', 'config'), name === 'default' ? name : `profile ${name}`],
    [found.AWS_SHARED_CREDENTIALS_FILE || join(home, '.aws', 'credentials'), name],
  ] as const;
  for (const [file, wanted] of files) {
    let section = '';
    for (const line of (await textOf(file)).split('\n')) {
      const [, title] = /^\s*\[\s*(.*?)\s*\]/.exec(line) ?? [];
      const [, key, value] = /^\s*([a-z_0-9]+)\s*=\s*(.*?)\s*$/i.exec(line) ?? [];
      if (title !== undefined) section = title.replace(/\s+/, ' ').replaceAll('"', '');
      else if (section === wanted && key && value) fields.set(key.toLowerCase(), value);
    }
  }
  return fields;
};

/** What is missing, with what would mend it. */
export const vertexNeeds = async (found: Variables, places = usualPlaces()): Promise<string[]> => {
  const { GOOGLE_APPLICATION_CREDENTIALS: given } = found;
  const file = given || join(places.home, '.config', 'gcloud', 'application_default_credentials.json');
  const isThere = await stat(file).then(
    (one) => one.isFile(),
    () => false,
  );
  const project = found.ANTHROPIC_VERTEX_PROJECT_ID || found.GOOGLE_CLOUD_PROJECT || found.GCLOUD_PROJECT;
  const missing: string[] = [];
  if (!project && !(isThere && /"project_id"\s*:\s*"./.test(await textOf(file)))) {
    missing.push('no project (set ANTHROPIC_VERTEX_PROJECT_ID)');
  }
  if (isThere || isOn(found.CLAUDE_CODE_SKIP_VERTEX_AUTH)) return missing;
  if (given) {
    const mend = 'correct GOOGLE_APPLICATION_CREDENTIALS';
    return [...missing, `no Google credential: there is no file ${given} (${mend})`];
  }
  // A machine of Google has an account of its own.
  if (/google/i.test(await textOf(join(places.machine, 'bios_vendor')))) return missing;
  const mend = 'type `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS';
  return [...missing, `no Google credential (${mend})`];
};

const textOf = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
