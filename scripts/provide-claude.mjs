/**
 * Finds the CLI of Claude Code that tests run against, or installs it: 7 s and 380 MB, once a machine and version.
 *
 *   node scripts/provide-claude.mjs        prints its path
 *
 * It lies in `${XDG_CACHE_HOME:-~/.cache}/nexus/claude-code-<version>`, beside no lock file of ours: every `npm ci`,
 * in every image, would bring it along. `NEXUS_CLAUDE_PROGRAM` names another one.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

export const claudeVersion = '2.1.328';

/** The path of a CLI that starts. Throws with what npm said where it cannot be installed. */
export const provideClaude = () => {
  if (process.env.NEXUS_CLAUDE_PROGRAM) return process.env.NEXUS_CLAUDE_PROGRAM;
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const folder = join(cache, 'nexus', `claude-code-${claudeVersion}`);
  const program = join(folder, 'node_modules', '.bin', 'claude');
  if (existsSync(program)) return program;
  mkdirSync(dirname(folder), { recursive: true });
  // Made aside and moved as a whole: several tests may need it at once.
  const fresh = mkdtempSync(`${folder}-`);
  try {
    install(fresh);
    try {
      renameSync(fresh, folder);
    } catch (error) {
      if (!existsSync(program)) throw error;
    }
    return program;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
};

const install = (folder) => {
  process.stderr.write(`nexus: installing Claude Code ${claudeVersion} for the tests; once, about 380 MB\n`);
  const allowed = { '@anthropic-ai/claude-code': true };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, allowScripts: allowed }));
  const name = `@anthropic-ai/claude-code@${claudeVersion}`;
  const npm = spawnSync('npm', ['install', '--no-save', '--loglevel=error', '--include=optional', name], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const program = join(folder, 'node_modules', '.bin', 'claude');
  const works = npm.status === 0 && spawnSync(program, ['--version'], { encoding: 'utf8' }).status === 0;
  if (works) return;
  const said = `${npm.error?.message ?? ''}${npm.stdout ?? ''}${npm.stderr ?? ''}`.slice(-2000);
  throw new Error(`Claude Code ${claudeVersion} cannot be installed for the tests (npm: ${npm.status}).\n${said}`);
};

if (import.meta.url === `file://${process.argv[1]}`) process.stdout.write(`${provideClaude()}\n`);
