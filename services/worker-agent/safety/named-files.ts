/**
 * What a command line names below /tmp. The sandbox has a /tmp of its own, where a person's program would not be found,
 * though it is there when they look.
 */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

const ofSandbox = ['/tmp', '/var/tmp'];

/**
 * The folders of the files that it names, for what lies beside them; the file alone where its folder is /tmp itself or
 * holds something hidden. Nothing that is hidden, and nothing through a link: it could lead to what is hidden.
 */
export const namedBelowTmp = (command: string, hidden: readonly string[]): string[] => {
  const secret = hidden.filter(existsSync).map((path) => realpathSync(path));
  const words = command.match(/\/(?:var\/)?tmp\/[^\s'"`;|&<>()$]+/g) ?? [];
  const files = words.filter((word) => isPlainFile(word) && !secret.some((path) => isInside(word, path)));
  const seen = files.map((file) => {
    const folder = dirname(file);
    return ofSandbox.includes(folder) || secret.some((path) => isInside(path, folder)) ? file : folder;
  });
  return [...new Set(seen)];
};

const isPlainFile = (path: string): boolean =>
  existsSync(path) && realpathSync(path) === path && statSync(path).isFile();

const isInside = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
