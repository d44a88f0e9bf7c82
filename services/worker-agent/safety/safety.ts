/**
 * Safety: what stands between an agent and all that is not its work. Opened once a worker; each run gets a guard.
 *
 *   keys     stay with the worker; the agent gets an address and a pass that end with it   credential-proxy.ts
 *   fences   the sandbox, and limits of processor time, memory, processes and file size    fences.ts
 *
 * The environment is an allow-list (`../environment.ts`), and what is written down is redacted where it is written.
 */
import { endpointOf } from '@nexus/shared/model';
import type { WorkerConfig } from '../config.ts';
import {
  type Account,
  type CredentialProxy,
  type Loan,
  openProxy,
  type Pass,
  type Provider,
  type ProxyUse,
} from './credential-proxy.ts';
import { type Fence, type Fences, openFences } from './fences.ts';

/** What keeps one run of an agent in. */
export type Guard = {
  /** How programs of the agent are started. */
  fence: Fence;
  /**
   * What the agent finds in its environment instead of the keys of these providers: addresses of ours, and a pass.
   * Nothing for a provider without a key here. Ends with the guard.
   */
  admit(providers: readonly Provider[]): Record<string, string>;
  /** An address of ours and a pass for an account that a runtime found by itself. Ends with the guard. */
  lend(account: Account): Loan;
  /** What went through its passes to providers. */
  used(): ProxyUse[];
  /** The run is over: its passes open nothing any more. */
  close(): void;
};

export type Safety = {
  /** A guard for one run; `attempt` is a name for it that nobody else has. */
  guard(attempt: string): Guard;
  /** How agents are started. */
  agent: Fence;
  /** How set-ups are started. */
  setUp: Fence;
  sandbox: Fences['says'];
  close(): Promise<void>;
};

/** Variables that hold a provider's key: agents are never given them as they are. */
const keyVariables: Record<string, Provider> = { ANTHROPIC_API_KEY: 'anthropic', OPENAI_API_KEY: 'openai' };

/** The providers whose keys the operator wants agents to use, by the names in NEXUS_AGENT_ENV. */
export const providersIn = (names: readonly string[]): Provider[] => names.flatMap((name) => keyVariables[name] ?? []);

/** Of the fleet alone: whoever has these can push, command it, or read all that it keeps. */
const ofTheFleet = /^(?:NEXUS_GIT_CREDENTIALS|NEXUS_TOKEN\w*|REDIS_\w+)(?:_FILE)?$/;

/** The names in NEXUS_AGENT_ENV that are handed on as they are: no provider's key, and no secret of the fleet. */
export const withoutKeys = (names: readonly string[]): string[] =>
  names.filter((name) => !(name.replace(/_FILE$/, '') in keyVariables) && !ofTheFleet.test(name));

/** Opens what the settings ask for. */
export const openSafety = async (settings: WorkerConfig): Promise<Safety> => {
  const fences = await openFences(settings);
  const accounts = accountsOf(settings);
  const { proxyRequestMax, proxyResponseMax, proxyTimeout, proxyRequests } = settings;
  const limits = {
    requestBytesMax: proxyRequestMax,
    responseBytesMax: proxyResponseMax,
    timeoutMs: proxyTimeout,
    requestsMax: proxyRequests,
  };
  const proxy = await openProxy({ accounts, limits });
  return {
    agent: fences.agent,
    setUp: fences.setUp,
    sandbox: fences.says,
    guard: (attempt) => {
      const passes: Pass[] = [];
      return {
        fence: withWayOut(fences.agent, proxy),
        admit: (providers) => {
          const pass = proxy.admit(attempt, providers);
          passes.push(pass);
          return pass.env;
        },
        lend: (account) => {
          const loan = proxy.lend(attempt, account);
          passes.push(loan);
          return loan;
        },
        used: () => passes.map((pass) => pass.use()),
        close: () => {
          for (const pass of passes) pass.close();
        },
      };
    },
    close: proxy.close,
  };
};

/** An agent without network still reaches the models whose keys it may use. */
const withWayOut = (fence: Fence, proxy: CredentialProxy): Fence =>
  fence.sandbox ? { ...fence, sandbox: { ...fence.sandbox, relay: proxy } } : fence;

const accountsOf = (settings: WorkerConfig): Account[] => {
  const { anthropicKey, anthropicUrl } = settings;
  const openai = endpointOf(settings);
  return [
    ...(anthropicKey ? [{ provider: 'anthropic' as const, baseUrl: anthropicUrl, key: anthropicKey }] : []),
    ...(openai?.key ? [{ provider: 'openai' as const, baseUrl: openai.url, key: openai.key }] : []),
  ];
};
