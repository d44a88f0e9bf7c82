/**
 * The sandbox: a program in namespaces of its own, by bubblewrap (https://github.com/containers/bubblewrap).
 *
 * It sees the system read-only, with a /tmp of its own, without /run (where the sockets of Docker, D-Bus and their kin
 * lie) and without what is hidden from it; it writes to its folder and to what is named, nowhere else. It sees no other
 * process, so it can read nobody's environment and signal nobody, and it has no capability. Network: ours, or none.
 *
 * From outside it is a tree like any other: its processes carry their marks, and signals reach each of them. TERM is
 * not for bubblewrap itself: it leaves when the program has, and so says how that ended.
 */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { allowedEnv } from './environment.ts';
import { findProgram } from './find-program.ts';

export type Sandbox = {
  /** Folders and files that can be written beside the working folder; those that do not exist are left out. */
  writable: readonly string[];
  /** Folders and files that are not seen; what is writable inside them is. */
  hidden: readonly string[];
  /** Of what is hidden, this may be read. */
  readable?: readonly string[];
  /** What else is seen at a path, one after the other; what lies there itself is not. It may be written. */
  mounts?: readonly Mount[] | undefined;
  /** False: no network but a loopback of its own. */
  network: boolean;
  /** Without network: this port of its loopback leads to this socket of ours. */
  relay?: { port: number; socket: string } | undefined;
};

/** A folder or file that is seen at another path. Where that path is a link, it lies below another mount. */
export type Mount = { from: string; to: string };

export type SandboxLook = { usable: true; says: string } | { usable: false; says: string; mend: string };

/** The program and arguments that run `command` in a sandbox; `scratch` becomes its /tmp. */
export const inSandbox = (
  command: readonly string[],
  { folder, sandbox, scratch }: { folder: string; sandbox: Sandbox; scratch: string },
): string[] => {
  const here = realOf(folder);
  const writable = sandbox.writable.filter(existsSync).map(realOf);
  const mounts = (sandbox.mounts ?? []).map(({ from, to }) => ({
    from: realOf(from),
    // Not the path itself: in a folder that is seen in its place there is no such link.
    to: join(realOf(dirname(to)), basename(to)),
  }));
  const written = [...writable, ...mounts.map(({ to }) => to)];
  // A folder that is named as both is written: made read-only again at the end, nothing would be kept in it.
  const hidden = sandbox.hidden
    .filter(existsSync)
    .map(realOf)
    .filter((path) => !written.includes(path));
  const folders = ['/run', ...hidden.filter(isFolder)];
  const relay = sandbox.network ? undefined : sandbox.relay;
  return [
    'bwrap',
    ...['--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    ...(sandbox.network ? [] : ['--unshare-net']),
    ...['--cap-drop', 'ALL', '--hostname', 'agent'],
    ...['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc'],
    ...['/tmp', '/var/tmp'].filter(existsSync).flatMap((path) => ['--bind', scratch, path]),
    ...folders.flatMap((path) => ['--tmpfs', path]),
    ...hidden.filter((path) => !isFolder(path)).flatMap((path) => ['--ro-bind', '/dev/null', path]),
    ...['--ro-bind-try', names, names, '--ro-bind-try', installation, installation],
    ...['--ro-bind-try', process.execPath, process.execPath],
    ...(sandbox.readable ?? []).filter(existsSync).flatMap((path) => ['--ro-bind', realOf(path), realOf(path)]),
    ...writable.flatMap((path) => ['--bind', path, path]),
    ...mounts.flatMap(({ from, to }) => ['--bind', from, to]),
    ...['--bind', here, here, '--chdir', here],
    ...(relay ? ['--ro-bind', relay.socket, relayed] : []),
    // A folder in memory that stands for a hidden one must not become a place to keep things.
    ...folders.flatMap((path) => ['--remount-ro', path]),
    ...['--', 'env', '--default-signal=TERM,INT,HUP'],
    ...(relay ? [process.execPath, relayFile, String(relay.port), relayed] : []),
    ...command,
  ];
};

/** Where the socket of a relay is seen inside, and who serves it. */
const relayed = '/run/nexus-relay';
const relayFile = fileURLToPath(new URL('./relay.mjs', import.meta.url));

/** Where names are looked up: on many systems a link into /run. */
const names = realOrSame('/etc/resolv.conf');
/** Our own programs, the player among them, wherever we are installed. */
const installation = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

function realOrSame(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
const realOf = (path: string): string => realpathSync(path);
const isFolder = (path: string): boolean => statSync(path).isDirectory();

/** Whether bubblewrap is on the search path, as programs that we start find it. */
export const findBubblewrap = (): Promise<string | null> => findProgram('bwrap', { env: allowedEnv() });

/** What is to be done where bubblewrap failed with these words. */
export const whyNoSandbox = (says: string): { says: string; mend: string } => {
  const shown = says.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  if (/default-signal|unrecognized option/.test(says)) {
    return { says: `the \`env\` here is not that of coreutils: ${shown}`, mend: 'install coreutils 8.31 or newer' };
  }
  const inContainer = existsSync('/.dockerenv') || existsSync('/run/.containerenv');
  const mend = inContainer
    ? 'start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined ' +
      '--security-opt systempaths=unconfined'
    : 'allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, ' +
      'kernel.apparmor_restrict_unprivileged_userns=0';
  return { says: `bubblewrap cannot make one here: ${shown}`, mend };
};
