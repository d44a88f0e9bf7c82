/** Commands of ours as people type them, in texts that go out. */

/**
 * A text of ours (never one of an agent or a person) with that word wherever it names one of our commands. What starts
 * and ends a fleet is, where its command runs in a container, what starts and ends containers.
 */
export const asTyped = (text: string, word: string): string =>
  text.replaceAll(commands, (_, verb: string) =>
    word.startsWith('docker compose ') && verb in byCompose ? `${byCompose[verb]}` : `${word} ${verb}`,
  );

const byCompose: Readonly<Record<string, string>> = { up: 'docker compose up -d', down: 'docker compose down' };
const verbs =
  'run|plan|up|down|status|tasks|task|logs|agents|stop|pause|drain|resume|retry|answer|cancel|cost|budget|dlq|memory|' +
  'sessions|token|doctor|help|<command>|\\[options\\]|--help';
// In `docker compose exec gateway nexus …` it is the container's word.
const commands = new RegExp(`(?<![\\w./-]|npx |exec \\S+ )nexus (${verbs})(?![\\w-])`, 'g');
