/** `nexus token`: the token that guards the API, alone on standard output. */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';

export const addToken = (program: Command, act: Act): void => {
  program
    .command('token')
    .description('print the token of the API')
    .addHelpText(
      'after',
      `
It is NEXUS_TOKEN if that is set, else the one that was made once and lies in Redis.

Examples:
  curl -H "Authorization: Bearer $(nexus token)" http://127.0.0.1:8080/api/tasks
  docker compose exec gateway nexus token`,
    )
    .action(act(showToken));
};

const showToken = async ({ config, output, withBus }: Tools): Promise<undefined> => {
  const token =
    config.token ?? (await withBus((bus) => bus.rememberOnce('token', randomBytes(24).toString('base64url'))));
  output.document({ token });
  output.say(token);
};
