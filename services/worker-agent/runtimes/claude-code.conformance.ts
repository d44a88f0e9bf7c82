import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@nexus/shared/config';
import { claudeProgram } from '../../../test/tools/claude.ts';
import {
  type Ask,
  openMessagesApi,
  refuse,
  type Script,
  say,
  use,
} from '../../../test/tools/messages-api/messages-api.ts';
import { claudeConfig } from './claude-code/settings.ts';
import type { Behaviour, Conformance } from './conformance.ts';

const api = await openMessagesApi();
const folder = await mkdtemp(join(tmpdir(), 'nexus-claude-'));

const bash = (command: string, text = '') => use('Bash', { command }, text);
/** A command, and when it has run, the end. */
const onceRun =
  (command: string, text = ''): Script =>
  (ask) =>
    ask.turn === 0 ? bash(command, text) : say('That was it.');
const promptOf = (ask: Ask): string => ask.prompt.replaceAll('\u2060', '');

/** Each behaviour as what the model answers: the real CLI does the rest. */
const scripts: Record<Behaviour, Script> = {
  works: (ask) =>
    ask.turn === 0
      ? use('Write', { file_path: 'made.txt', content: 'Grüße, 世界' }, 'hello from the agent')
      : say('Done.'),
  keeps_prompt: (ask) =>
    ask.turn === 0 ? use('Write', { file_path: 'prompt.txt', content: promptOf(ask) }) : say('Done.'),
  keeps_environment: onceRun('env > env.txt'),
  fails: () => refuse(400, 'invalid_request_error', 'this cannot be'),
  crashes: () => bash('kill -KILL $PPID'),
  hangs: () => bash('sleep 300', 'hanging'),
  hangs_stubbornly: () => bash("trap '' TERM; while true; do sleep 1; done", 'hanging'),
  floods: () => bash('true', 'this never ends '.repeat(1000)),
  leaves_background: onceRun('setsid sleep 300 > /dev/null 2>&1 & echo $! > pid.txt'),
  speaks_slowly: onceRun('sleep 0.3', 'one'),
};

export const conformance: Conformance = {
  behave: (behaviour) => ({
    agentCommand: null,
    task: null,
    settings: {
      ...loadConfig(claudeConfig, {}),
      claudeProgram: claudeProgram(),
      claudeFolder: folder,
      claudeLogin: 'api_key',
      anthropicKey: 'sk-ant-conformance',
      anthropicUrl: api.script(behaviour, scripts[behaviour]),
    },
  }),
  exitCodeOfFailure: 1,
  // What the CLI tells the commands that it runs, SHELL where nobody set one, and the way to the model.
  environment: new RegExp(
    `^(${[
      ...['ANTHROPIC_.*', 'CLAUDE.*', 'COREPACK_.*', 'NoDefault.*'],
      ...['AI_AGENT', 'API_TIMEOUT_MS', 'DISABLE_AUTOUPDATER', 'IS_SANDBOX', 'GIT_EDITOR', 'SHELL'],
    ].join('|')})$`,
  ),
  close: async () => {
    await api.close();
    await rm(folder, { recursive: true, force: true });
  },
};
