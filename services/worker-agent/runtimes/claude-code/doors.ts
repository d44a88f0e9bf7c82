/**
 * Doors: how each login stays with the worker. The CLI gets an address of the credential proxy and a pass, in the
 * variables where it looks for that kind of login; the proxy says with each request who really asks.
 *
 *   subscription   the token as Bearer; one in a folder is read anew each time, and renewed by the CLI in time
 *   API key        as x-api-key
 *   Bedrock        a key of Bedrock as Bearer, access keys by signature
 *
 * Vertex, and Bedrock by profile or role, have none: the CLI itself fetches their short-lived tokens.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { signAws } from '../../safety/aws-signature.ts';
import type { Account, Loan } from '../../safety/credential-proxy.ts';

export type Door = {
  account: Account;
  /** What the CLI is told in place of the secret. */
  env(loan: Pick<Loan, 'address' | 'pass'>): Record<string, string>;
};

export const keyDoor = (baseUrl: string, key: string): Door => ({
  account: { provider: 'anthropic', baseUrl, key },
  env: ({ address, pass }) => ({ ANTHROPIC_BASE_URL: address, ANTHROPIC_API_KEY: pass }),
});

/** The CLI knows it for a subscription's, so that it asks as one, and understands what is said of its windows. */
export const tokenDoor = (baseUrl: string, token: () => Promise<string>): Door => ({
  account: { provider: 'anthropic', baseUrl, key: '', authorize: async () => bearer(await token()) },
  env: ({ address, pass }) => ({ ANTHROPIC_BASE_URL: address, CLAUDE_CODE_OAUTH_TOKEN: pass }),
});

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** Null where there is nothing that could be kept: a profile, or a role. */
export const bedrockDoor = (theirs: Readonly<Record<string, string>>): Door | null => {
  const region = theirs.AWS_REGION ?? theirs.AWS_DEFAULT_REGION ?? 'us-east-1';
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  const baseUrl = theirs.ANTHROPIC_BEDROCK_BASE_URL ?? `https://bedrock-runtime.${region}.${domain}`;
  const env: Door['env'] = ({ address, pass }) => ({
    ANTHROPIC_BEDROCK_BASE_URL: address,
    CLAUDE_CODE_SKIP_BEDROCK_AUTH: '1',
    ANTHROPIC_AUTH_TOKEN: pass,
  });
  const account = { provider: 'anthropic' as const, baseUrl, key: '' };
  const token = theirs.AWS_BEARER_TOKEN_BEDROCK;
  if (token) return { account: { ...account, authorize: async () => bearer(token) }, env };
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = theirs;
  if (!accessKeyId || !secretAccessKey) return null;
  const keys = { accessKeyId, secretAccessKey, sessionToken: theirs.AWS_SESSION_TOKEN };
  const authorize: Account['authorize'] = async (going) =>
    signAws({ ...going, headers: {} }, keys, { region, service: 'bedrock', now: new Date() });
  return { account: { ...account, authorize, signs: true }, env };
};

/** What the CLI keeps of a person's login, where it keeps it in a file. */
export type Kept = { accessToken: string; expiresAt: number; subscriptionType?: string; rateLimitTier?: string };

export const readKept = async (folder: string): Promise<Kept | null> => {
  try {
    const { claudeAiOauth: kept } = JSON.parse(await readFile(join(folder, '.credentials.json'), 'utf8'));
    return typeof kept?.accessToken === 'string' ? { expiresAt: Number.POSITIVE_INFINITY, ...kept } : null;
  } catch {
    return null;
  }
};

/** The CLI renews a login that ends in less than five minutes, whenever it looks at it. */
const renewMs = 240_000;

/** The token as it stands in a folder, renewed by `renew` where it ends soon: once for all that ask meanwhile. */
export const openKept = (folder: string, renew: () => Promise<unknown>): (() => Promise<string>) => {
  let asking: Promise<string> | null = null;
  let last = '';
  const look = async (): Promise<string> => {
    const kept = await readKept(folder);
    if (kept === null || kept.expiresAt - Date.now() < renewMs) await renew();
    // A file that is being written just now holds nothing for a moment.
    last = (await readKept(folder))?.accessToken ?? last;
    return last;
  };
  return () => {
    asking ??= look().finally(() => {
      asking = null;
    });
    return asking;
  };
};
