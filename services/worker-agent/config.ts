/** The settings of a worker. */
import { catalogConfig } from '@nexus/shared/catalog';
import { type ConfigOf, defineConfig, type FabricConfig, is, setting } from '@nexus/shared/config';
import { sessionConfig } from '@nexus/shared/ledger';
import { memoryConfig, recallConfig } from '@nexus/shared/memory';
import { embedConfig } from '@nexus/shared/model';
import { projectConfig } from '@nexus/shared/project';
import { spendConfig } from '@nexus/shared/spend';
import { z } from 'zod';
import { openaiConfig } from './openai/settings.ts';
import { claudeConfig } from './runtimes/claude-code/settings.ts';
import { safetyConfig } from './safety/settings.ts';

export const config = defineConfig({
  ...catalogConfig,
  ...memoryConfig,
  ...recallConfig,
  ...embedConfig,
  ...projectConfig,
  ...sessionConfig,
  ...spendConfig,
  ...openaiConfig,
  ...safetyConfig,
  ...claudeConfig,
  slots: setting('NEXUS_SLOTS', is.count(1, 256), 'How many attempts a worker runs side by side.', { default: '4' }),
  agentCommand: setting(
    'NEXUS_AGENT_COMMAND',
    is.optionalText,
    'The command that the runtime `command` runs as an agent: it reads its prompt on standard input and works in the current folder.',
  ),
  runtime: setting(
    'NEXUS_RUNTIME',
    is.text,
    'The runtime of attempts for which nobody asked for one, and the only one for them; `auto` takes the first usable.',
    { default: 'auto' },
  ),
  agentEnvironment: setting(
    'NEXUS_AGENT_ENV',
    is.list,
    'Names of variables that agents and set-up commands get besides the fixed allow-list. ANTHROPIC_API_KEY and ' +
      'OPENAI_API_KEY stay with the worker: in their place agents get a pass for a proxy that adds the key.',
    { default: '' },
  ),
  agentOutputMax: setting('NEXUS_AGENT_OUTPUT_MAX', is.bytes, 'An agent that writes more output is ended.', {
    default: '20MB',
  }),
  evidenceMax: setting(
    'NEXUS_EVIDENCE_MAX',
    is.bytes,
    'So much of an agent’s output is kept as evidence: its beginning and its end.',
    { default: '2MB' },
  ),
  checkpointInterval: setting(
    'NEXUS_CHECKPOINT_INTERVAL',
    is.duration,
    'How often the work of a running agent is saved at least, so that a crash of the machine costs no more.',
    { default: '5m' },
  ),
  checkpointThrottle: setting(
    'NEXUS_CHECKPOINT_THROTTLE',
    is.duration,
    'Work that an agent changed is saved also in between, when it is quiet, but not more often than this.',
    { default: '30s' },
  ),
  checkpointQuiet: setting(
    'NEXUS_CHECKPOINT_QUIET',
    is.duration,
    'An agent that has printed nothing for so long is quiet: a good moment to save what it changed.',
    { default: '3s' },
  ),
  checkpointFileMax: setting(
    'NEXUS_CHECKPOINT_FILE_MAX',
    is.bytes,
    'Larger files stay out of checkpoints; they are named to the next attempt. So do those above ' +
      'NEXUS_COMMIT_FILE_MAX, however large this is.',
    { default: '100MB' },
  ),
  commitFileMax: setting(
    'NEXUS_COMMIT_FILE_MAX',
    z.union([z.literal('off').transform(() => 0), is.bytes]),
    'An attempt that adds a larger file to its commit is sent back with the file’s name, since hosts refuse it. ' +
      '0 or off: none is too large. Files that were larger before are left alone.',
    { default: '100MB' },
  ),
  watchEvery: setting(
    'NEXUS_WATCH_EVERY',
    is.duration,
    'How often the folder of a running agent is looked at for changes.',
    { default: '15s' },
  ),
  stuckAfter: setting(
    'NEXUS_STUCK_AFTER',
    is.duration,
    'An agent is stuck that for so long neither changes a file, commits nor prints anything new; 0: never.',
    { default: '15m' },
  ),
  stuckSilent: setting(
    'NEXUS_STUCK_SILENT',
    is.duration,
    'An agent is stuck that prints nothing for so long, whatever it changes; 0: never. Many print only at their end.',
    { default: '30m' },
  ),
  stuckRepeats: setting(
    'NEXUS_STUCK_REPEATS',
    is.count(0, 10_000),
    'An agent is stuck that prints the same few lines so many times over and changes nothing; 0: never.',
    { default: '50' },
  ),
  agentsMax: setting(
    'NEXUS_AGENTS_MAX',
    is.count(0, 10_000),
    'How many agents run on this machine at a time, those of all its workers together; 0: as many as there are slots.',
    { default: '0' },
  ),
  memoryReserve: setting(
    'NEXUS_MEMORY_RESERVE',
    is.bytes,
    'A worker takes no attempt while less memory than this is free, on the machine or in its container.',
    { default: '256MB' },
  ),
  diskWait: setting(
    'NEXUS_DISK_WAIT',
    is.duration,
    'An attempt that meets a full disk before its agent begins, or which others fill, is tried again for so long, uncounted, then it fails; 0: at once.',
    { default: '5m' },
  ),
  repositoryAgents: setting(
    'NEXUS_REPOSITORY_AGENTS',
    is.flag,
    'yes: plans may name the agents that a repository keeps in .claude/agents. They are prompts by whoever wrote it.',
    { default: 'no' },
  ),
  cleanEvery: setting('NEXUS_CLEAN_EVERY', is.duration, 'How often a worker removes old workspaces from its machine.', {
    default: '1h',
  }),
  orphansEvery: setting(
    'NEXUS_ORPHANS_EVERY',
    is.duration,
    'How often a worker looks for agents of an earlier life, whose claim is lost, and ends them; and for ' +
      'what the dead have reserved of budgets, and gives it back.',
    { default: '30s' },
  ),
  keepFailed: setting(
    'NEXUS_KEEP_FAILED',
    is.duration,
    'Workspaces of attempts that did not finish are kept so long, to be looked at.',
    { default: '24h' },
  ),
});

export type WorkerConfig = ConfigOf<typeof config> & FabricConfig;
