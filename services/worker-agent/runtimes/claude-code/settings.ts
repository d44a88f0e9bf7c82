/** The settings of the runtime `claude-code`. */
import { defineConfig, is, setting } from '@nexus/shared/config';

export const claudeConfig = defineConfig({
  claudeProgram: setting(
    'NEXUS_CLAUDE_PROGRAM',
    is.text,
    'The CLI of Claude Code: a name that is looked for on the path, or a full path.',
    { default: 'claude' },
  ),
  claudeFolder: setting(
    'NEXUS_CLAUDE_FOLDER',
    is.optionalText,
    'The folder with the login of Claude Code; left out, the person’s own. Conversations lie in it only if no login does, else in NEXUS_HOME, as agents may read them.',
  ),
  claudeLogin: setting(
    'NEXUS_CLAUDE_LOGIN',
    is.oneOf('auto', 'subscription', 'api_key', 'bedrock', 'vertex'),
    'What pays for Claude Code: `auto` takes a subscription’s login, else the API key, else Bedrock or Vertex.',
    { default: 'auto' },
  ),
  claudeToken: setting(
    'CLAUDE_CODE_OAUTH_TOKEN',
    is.optionalText,
    'A subscription’s long-lived token, as `claude setup-token` makes it.',
    { secret: true },
  ),
  claudeModel: setting(
    'NEXUS_CLAUDE_MODEL',
    is.optionalText,
    'The model of agents that name none: opus, sonnet, haiku or a full name; left out, the CLI’s own choice.',
  ),
  claudeRetries: setting(
    'NEXUS_CLAUDE_RETRIES',
    is.count(0, 50),
    'How often the CLI asks again when the API is overloaded or fails, before the attempt is put aside: six times ' +
      'are half a minute, or as many rounds of a rate that is used up.',
    { default: '6' },
  ),
  claudeTimeout: setting('NEXUS_CLAUDE_TIMEOUT', is.duration, 'How long the CLI waits for one answer of the API.', {
    default: '10m',
  }),
  claudeIdle: setting(
    'NEXUS_CLAUDE_IDLE',
    is.duration,
    'The CLI is ended when it has told nothing at all for so long; a tool that runs tells something every 30 s.',
    { default: '11m' },
  ),
  claudeTurns: setting('NEXUS_CLAUDE_TURNS', is.count(1, 100_000), 'The most turns that one run may take.', {
    default: '300',
  }),
  claudeRotate: setting(
    'NEXUS_CLAUDE_ROTATE',
    is.count(10, 100),
    'At so many per cent of its context a conversation ends, and a new one goes on from the work so far.',
    { default: '80' },
  ),
  claudePark: setting(
    'NEXUS_CLAUDE_PARK',
    is.duration,
    'How long an attempt of a CLI is put aside when the provider takes no more and does not say until when.',
    { default: '1m' },
  ),
});
