/**
 * The dependency rule of `tidy.ts`: which module may import which, which library is whose, which service writes which
 * ledger document, and who runs git.
 */
import { writers } from '@nexus/shared/ledger/write';
import { type Finding, imports, ours } from './look.ts';
import { type Import, isScript, isTest, type SourceFile, type Tree } from './source.ts';

/** Who may import whom: a module of `shared` imports from lower levels, and from those named beside it. */
const levels: Record<string, { level: number; beside?: string[] }> = {
  errors: { level: 0 },
  messages: { level: 1 },
  config: { level: 1 },
  telemetry: { level: 1 },
  bus: { level: 2 },
  model: { level: 2, beside: ['process'] },
  process: { level: 2 },
  git: { level: 2, beside: ['process'] },
  spend: { level: 2, beside: ['bus'] },
  memory: { level: 2, beside: ['bus'] },
  ledger: { level: 3 },
  catalog: { level: 3 },
  project: { level: 3 },
  service: { level: 3 },
  client: { level: 3 },
};

/** One library, one module; a library that is not named here belongs to whoever imports it first. */
const owners: Record<string, string[]> = {
  ioredis: ['shared/src/bus/'],
  bullmq: ['shared/src/bus/'],
  execa: ['shared/src/process/'],
  pino: ['shared/src/telemetry/'],
  'prom-client': ['shared/src/telemetry/'],
  fastify: ['services/gateway/'],
  commander: ['services/cli/'],
  openai: ['shared/src/model/'],
};
/** Plain data formats, which anybody may read. */
const anybodys = ['zod', 'yaml'];

/** `shared/src/bus`, `services/gateway`, or the top folder. */
export const moduleOf = (path: string): string =>
  /^(shared\/src\/[\w-]+|services\/[\w-]+)\//.exec(path)?.[1] ?? path.split('/')[0] ?? '';

export function climbs(file: SourceFile, { specifier }: Import): string | null {
  const from = moduleOf(file.path).slice('shared/src/'.length);
  const to = /^@nexus\/shared\/([\w-]+)/.exec(specifier)?.[1];
  if (to === undefined || to === from) return null;
  const [source, target] = [levels[from], levels[to]];
  if (!source || !target) return `${source ? to : from} has no level`;
  const allowed = target.level < source.level || source.beside?.includes(to);
  return allowed ? null : `${from} (level ${source.level}) imports ${to} (level ${target.level})`;
}

export function leavesModule(file: SourceFile, { path }: Import): string | null {
  if (path === null || !isScript(path) || moduleOf(path) === moduleOf(file.path)) return null;
  return isTest(file.path) && path.startsWith('test/tools/') ? null : `leaves ${moduleOf(file.path)} for ${path}`;
}

export function importsService(file: SourceFile, { specifier, path }: Import): string | null {
  const other = /^(?:@nexus|services)\/([\w-]+)/.exec(path ?? specifier)?.[1];
  return other && other !== 'shared' && `services/${other}` !== moduleOf(file.path) ? `imports ${specifier}` : null;
}

/** Imports of a library by a module that does not own it. */
export function strangers(tree: Tree): Finding[] {
  const first = new Map<string, string>();
  return imports(
    tree,
    ({ path }) => ours(path),
    (file, { specifier, path }) => {
      if (path !== null || /^(node:|@nexus\/|#)/.test(specifier)) return null;
      const library = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
      if (anybodys.includes(library)) return null;
      const owned = owners[library];
      if (owned)
        return owned.some((prefix) => file.path.startsWith(prefix))
          ? null
          : `${library} belongs to ${owned.join(', ')}`;
      const owner = first.get(library) ?? moduleOf(file.path);
      first.set(library, owner);
      return owner === moduleOf(file.path) ? null : `${library} is imported by ${owner} already`;
    },
  );
}

export function writesForeign(line: string, path: string): string | null {
  const service = path.split('/')[1] ?? '';
  for (const { service: owner, builders } of Object.values(writers)) {
    if (owner === service) continue;
    const found = builders.find((name) => new RegExp(`\\b${name}\\(`).test(line));
    if (found) return `${found} is for ${owner} alone`;
  }
  return null;
}

/** Git runs in its module, and where an agent is played, who calls it as any agent would. */
const runGit = ['shared/src/git/', 'services/worker-agent/player.ts'];

export function runsGit(line: string, path: string): string | null {
  if (runGit.some((prefix) => path.startsWith(prefix))) return null;
  const found = /(?:^\s*|\[|\bspawn\w*\(|\bexec\w*\()['"]git['"],(?! '--version')/.test(line);
  return found ? 'runs git' : null;
}
