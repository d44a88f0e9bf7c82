import type { AgentDefinition } from '@nexus/shared/catalog';
import { fabricConfig, loadConfig } from '@nexus/shared/config';
import { allowedEnv } from '@nexus/shared/process';
import { afterEach, expect, test, vi } from 'vitest';
import type { Order } from './attempt.ts';
import { config } from './config.ts';
import { agentEnvironment } from './environment.ts';

afterEach(() => vi.unstubAllEnvs());

const order = { task_id: 't', subtask_id: 's', attempt: 1, role: 'builder', kind: 'code' } as Order;
const agent = { agent_id: 'code_developer', name: 'Code' } as AgentDefinition;

/** All that an agent of a worker with these settings finds. */
const environmentOf = (settings: Record<string, string> = {}) =>
  allowedEnv(agentEnvironment(order, agent, loadConfig({ ...fabricConfig, ...config }, settings)));

test('an agent finds the variables of a closed list, whatever stands in the environment of its worker', () => {
  const theirs = [
    ...['NEXUS_GIT_CREDENTIALS', 'NEXUS_TOKEN', 'REDIS_URL', 'REDIS_PASSWORD', 'GITHUB_TOKEN', 'GH_TOKEN', 'NPM_TOKEN'],
    ...['ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'CLAUDE_CODE_OAUTH_TOKEN', 'AWS_SECRET_ACCESS_KEY', 'DATABASE_URL'],
    ...['SSH_AUTH_SOCK', 'DBUS_SESSION_BUS_ADDRESS', 'DOCKER_HOST', 'KUBECONFIG', 'XDG_RUNTIME_DIR', 'LC_TOKEN'],
    ...['NODE_OPTIONS', 'LD_PRELOAD', 'BASH_ENV', 'ENV', 'GIT_ASKPASS', 'GIT_SSH_COMMAND', 'PYTHONSTARTUP', 'FOREIGN'],
  ];
  for (const name of theirs) vi.stubEnv(name, `value-of-${name}`);
  const found = environmentOf();
  expect(theirs.filter((name) => name in found)).toEqual([]);
  expect(JSON.stringify(found)).not.toContain('value-of-');
  const ours = [
    ...['PATH', 'HOME', 'LANG', 'LANGUAGE', 'TZ', 'TMPDIR', 'USER', 'LOGNAME', 'SHELL', 'TERM', 'npm_config_cache'],
    ...[
      'HTTP_PROXY',
      'HTTPS_PROXY',
      'NO_PROXY',
      'http_proxy',
      'https_proxy',
      'no_proxy',
      'SSL_CERT_FILE',
      'SSL_CERT_DIR',
    ],
    ...['NODE_EXTRA_CA_CERTS', 'GIT_SSL_CAINFO', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE', 'PNPM_HOME', 'PIP_CACHE_DIR'],
    ...['npm_config_audit', 'npm_config_fund', 'npm_config_update_notifier', 'YARN_CACHE_FOLDER', 'GOCACHE'],
    ...['COREPACK_ENABLE_DOWNLOAD_PROMPT', 'NEXUS_MARK_HOME', 'NEXUS_TASK', 'NEXUS_SUBTASK', 'NEXUS_ATTEMPT'],
    ...['NEXUS_ROLE', 'NEXUS_KIND', 'NEXUS_AGENT', 'GIT_AUTHOR_NAME', 'GIT_AUTHOR_EMAIL', 'GIT_COMMITTER_NAME'],
    ...['GIT_COMMITTER_EMAIL', 'GIT_TERMINAL_PROMPT', 'GIT_CONFIG_COUNT', 'GIT_CONFIG_KEY_0', 'GIT_CONFIG_VALUE_0'],
    ...['GIT_CONFIG_KEY_1', 'GIT_CONFIG_VALUE_1'],
  ];
  expect(Object.keys(found).filter((name) => !ours.includes(name) && !/^LC_[A-Z]+$/.test(name))).toEqual([]);
});

test('NEXUS_AGENT_ENV hands on what it names, but no key of a provider and no secret of the fleet', () => {
  const names = ['FOREIGN', 'ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'NEXUS_GIT_CREDENTIALS', 'NEXUS_TOKEN', 'REDIS_URL'];
  for (const name of names) vi.stubEnv(name, `value-of-${name}`);
  const found = environmentOf({ NEXUS_AGENT_ENV: names.join(',') });
  expect(names.filter((name) => name in found)).toEqual(['FOREIGN']);
});

test('a worker has no setting for credentials of repositories: it cannot push anywhere but to its hub', () => {
  const names = Object.values(config).map(({ name }) => name);
  expect(names.filter((name) => /GIT|CREDENTIAL|REPOSITOR(?!Y_AGENTS)/.test(name))).toEqual([]);
});
