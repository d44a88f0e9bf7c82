/**
 * What agents and set-ups are started in: the sandbox where one can be had, and the limits of what they use.
 *
 * In the sandbox nobody sees the home of the fleet but their own clone and the caches of packages, nor the places where
 * people keep keys and logins. What a runtime's own program has to write beside, the runtime names (`alsoWrites`).
 */
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { secretFiles } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { type Limits, probeSandbox, type Sandbox, type SandboxLook } from '@nexus/shared/process';
import type { WorkerConfig } from '../config.ts';

/** How a command is started: options of `run()`. */
export type Fence = { sandbox?: Sandbox; limits: Limits };

export type Fences = {
  agent: Fence;
  /** Installs what the project wants: with the network, whatever agents have. */
  setUp: Fence;
  /** For people: what there is, and why there is nothing. */
  says: { state: 'on' | 'off' | 'missing'; says: string; mend: string };
};

/** Looks once what this machine can do. Throws `SANDBOX_UNAVAILABLE` where the settings insist on what it cannot. */
export const openFences = async (settings: WorkerConfig, look = probeSandbox): Promise<Fences> => {
  const limits: Limits = {
    cpuMs: settings.agentCpuMax,
    memoryBytes: settings.agentMemoryMax,
    processes: settings.agentProcessesMax,
    fileBytes: settings.agentFileMax,
  };
  const found = settings.sandbox === 'off' ? null : await look();
  if (settings.sandbox === 'on' && found?.usable === false) {
    throw fail('SANDBOX_UNAVAILABLE', { why: found.says, mend: found.mend });
  }
  const says = saysOf(found);
  if (!found?.usable) return { agent: { limits }, setUp: { limits }, says };
  const places = await placesOf(settings);
  return {
    agent: { sandbox: { ...places, network: settings.agentNetwork }, limits },
    setUp: { sandbox: { ...places, network: true }, limits },
    says,
  };
};

const saysOf = (found: SandboxLook | null): Fences['says'] => {
  if (found === null) return { state: 'off', says: 'NEXUS_SANDBOX is off', mend: '' };
  return found.usable
    ? { state: 'on', says: found.says, mend: '' }
    : { state: 'missing', says: found.says, mend: found.mend };
};

const placesOf = async (settings: WorkerConfig): Promise<Omit<Sandbox, 'network'>> => {
  const { home, hubs, sandboxWrite, sandboxHide, claudeFolder } = settings;
  // The cache of set-ups is not among them: it is copied by the worker, and nobody's to write.
  const caches = ['npm', 'pnpm', 'yarn', 'pip'].map((name) => join(home, 'caches', name));
  for (const folder of caches) await mkdir(folder, { recursive: true });
  const elsewhere = hubs && !/^[a-z+]+:\/\//.test(hubs) ? [resolve(hubs)] : [];
  return {
    writable: [...caches, ...sandboxWrite.map(fromHome)],
    readable: [join(home, 'workspaces', 'package.json')],
    hidden: [
      ...[
        home,
        ...elsewhere,
        ...(claudeFolder === undefined ? [] : [resolve(claudeFolder)]),
        join(import.meta.dirname, '../../../.env'),
        ...secretFiles(),
      ],
      ...[...ofPeople.map((path) => join(homedir(), path)), ...sandboxHide.map(fromHome)],
    ],
  };
};

const fromHome = (path: string): string => resolve(path.replace(/^~(?=\/|$)/, homedir()));

/** Where people keep keys and logins, below their home. */
const ofPeople = [
  ...['.ssh', '.gnupg', '.aws', '.azure', '.kube', '.docker', '.netrc', '.git-credentials', '.pypirc', '.vault-token'],
  ...['.config/gcloud', '.config/gh', '.config/glab-cli', '.config/git/credentials', '.config/op', '.config/rclone'],
  ...['.claude', '.claude.json', '.codex', '.gemini', '.config/opencode', '.local/share/opencode'],
  ...['.cargo/credentials', '.cargo/credentials.toml', '.gem/credentials', '.terraform.d', '.config/containers'],
  ...['.password-store', '.local/share/keyrings', '.mozilla', '.config/google-chrome', '.config/chromium'],
  ...['.bash_history', '.zsh_history', '.psql_history', '.pgpass', '.my.cnf'],
];
