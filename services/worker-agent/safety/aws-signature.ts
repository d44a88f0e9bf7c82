/**
 * Signature Version 4, for requests to Amazon Bedrock that go out by the credential proxy.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
import { createHash, createHmac } from 'node:crypto';
import type { Going } from './credential-proxy.ts';

export type AwsKeys = { accessKeyId: string; secretAccessKey: string; sessionToken?: string | undefined };

/** The headers that make a request one of these keys. All headers that are given are signed with it. */
export const signAws = (
  { method, url, headers, body }: Going,
  { accessKeyId, secretAccessKey, sessionToken }: AwsKeys,
  { region, service, now }: { region: string; service: string; now: Date },
): Record<string, string> => {
  const time = now.toISOString().replaceAll(/[-:]|\.\d{3}/g, '');
  const day = time.slice(0, 8);
  const own = { 'x-amz-date': time, ...(sessionToken ? { 'x-amz-security-token': sessionToken } : {}) };
  const signed = Object.entries({ host: url.host, ...headers, ...own }).sort(([one], [other]) =>
    one < other ? -1 : 1,
  );
  const names = signed.map(([name]) => name).join(';');
  const canonical = [
    ...[method, pathOf(url), queryOf(url)],
    ...signed.map(([name, value]) => `${name}:${value.trim().replaceAll(/\s+/g, ' ')}`),
    ...['', names, sha256(body ?? '')],
  ].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const key = [day, region, service, 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`).toString('hex');
  const says = `Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  return { ...own, authorization: `AWS4-HMAC-SHA256 ${says}` };
};

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');

const encoded = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);

/** As it is sent, and encoded once more. */
const pathOf = ({ pathname }: URL): string => pathname.split('/').map(encoded).join('/');

const queryOf = ({ searchParams }: URL): string =>
  [...searchParams]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&');
