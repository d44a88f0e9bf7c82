/**
 * What the code of a project is started in, an agent's work and its checks alike: a sandbox, where one can be had.
 *
 * In it nobody sees the home of the fleet but their own clone and the caches of packages, nor the places where people
 * keep keys and logins; and nobody writes but there and to a /tmp of their own. Which folder is the clone says who
 * runs a command in it.
 */
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { type ConfigOf, defineConfig, is, secretFiles, setting } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { probeSandbox, type Sandbox, type SandboxLook } from '@nexus/shared/process';

/** The settings of every service that starts what others wrote: to be spread into its own. */
export const sandboxConfig = defineConfig({
  sandbox: setting(
    'NEXUS_SANDBOX',
    is.oneOf('auto', 'on', 'off'),
    'Agents, set-ups and checks run in a sandbox by bubblewrap: `auto` where one can be had, `on` or workers and ' +
      'quality checkers do not serve.',
    { default: 'auto' },
  ),
  sandboxWrite: setting(
    'NEXUS_SANDBOX_WRITE',
    is.list,
    'Folders and files that may be written in the sandbox besides the clone, its /tmp and the package caches: for ' +
      'example the folder where an agent’s program keeps its state, or where a compiler caches.',
    { default: '' },
  ),
  sandboxHide: setting(
    'NEXUS_SANDBOX_HIDE',
    is.list,
    'Folders and files that are not seen in the sandbox, besides the usual places of keys and logins.',
    { default: '' },
  ),
});

/** For people: what there is, and why there is nothing. */
export type SandboxState = { state: 'on' | 'off' | 'missing'; says: string; mend: string };

export type Fenced = {
  /** Null: commands run as they are. Whether there is a network, the caller adds. */
  places: Omit<Sandbox, 'network'> | null;
  says: SandboxState;
};

type Settings = ConfigOf<typeof sandboxConfig> & { home: string; hubs?: string | undefined };

/**
 * Looks once what this machine can do. `ground` is the folder of the home in which the clones lie; `hidden` is what of
 * this service is not to be seen besides. Throws `SANDBOX_UNAVAILABLE` where the settings insist on what cannot be had.
 */
export const openFence = async (
  settings: Settings,
  {
    ground,
    hidden = [],
    look = probeSandbox,
  }: { ground: string; hidden?: readonly string[]; look?: typeof probeSandbox },
): Promise<Fenced> => {
  const found = settings.sandbox === 'off' ? null : await look();
  if (settings.sandbox === 'on' && found?.usable === false) {
    throw fail('SANDBOX_UNAVAILABLE', { why: found.says, mend: found.mend });
  }
  const says = saysOf(found);
  return { places: found?.usable ? await placesOf(settings, ground, hidden) : null, says };
};

const saysOf = (found: SandboxLook | null): SandboxState => {
  if (found === null) return { state: 'off', says: 'NEXUS_SANDBOX is off', mend: '' };
  return found.usable
    ? { state: 'on', says: found.says, mend: '' }
    : { state: 'missing', says: found.says, mend: found.mend };
};

const placesOf = async (
  settings: Settings,
  ground: string,
  more: readonly string[],
): Promise<Omit<Sandbox, 'network'>> => {
  const { home, hubs, sandboxWrite, sandboxHide } = settings;
  // The cache of set-ups is not among them: it is copied by us, and nobody's to write.
  const caches = ['npm', 'pnpm', 'yarn', 'pip', 'go-build'].map((name) => join(home, 'caches', name));
  for (const folder of caches) await mkdir(folder, { recursive: true });
  const elsewhere = hubs && !/^[a-z+]+:\/\//.test(hubs) ? [resolve(hubs)] : [];
  const installation = join(import.meta.dirname, '../../..');
  return {
    writable: [...caches, ...sandboxWrite.map(fromHome)],
    readable: [join(home, ground, 'package.json')],
    hidden: [
      ...[home, ...elsewhere, ...more.map((path) => resolve(path)), join(installation, '.env'), ...secretFiles()],
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
