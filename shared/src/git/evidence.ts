/** Evidence: trees of files in the hub, made without a work tree, by one `git fast-import`. */
import { fail, isFailure } from '@nexus/shared/errors';
import { readFileAt, readRef } from './look.ts';
import { isUrl } from './refs.ts';
import { git, nexusIdentity, partsOf, runGit, withScratch } from './run-git.ts';

type EvidenceFiles = Readonly<Record<string, string | Uint8Array>>;
type EvidenceOptions = {
  hub: string;
  ref: string;
  files: EvidenceFiles;
  message: string;
  signal?: AbortSignal | undefined;
};

/**
 * Commits files (paths may be nested) to a ref of the hub and returns the ref. A ref that exists grows: its files stay
 * unless named again.
 */
export const commitEvidence = async (options: EvidenceOptions): Promise<string> => {
  const { hub, ref, signal } = options;
  for (let tries = 1; ; tries++) {
    const parent = await readRef(hub, ref, signal);
    try {
      await growRef(options, parent);
      return ref;
    } catch (error) {
      // Somebody else's evidence came in between, such as that of an earlier delivery: ours goes on top.
      const moved = isFailure(error, 'GIT_FAILED') && (await readRef(hub, ref, signal)) !== parent;
      if (!moved || tries === triesMax) throw error;
    }
  }
};

const triesMax = 5;

const growRef = async (options: EvidenceOptions, parent: string | null): Promise<void> => {
  const { hub, ref, files, message, signal } = options;
  if (!isUrl(hub)) {
    await importFiles(hub, ref, parent, files, message, signal);
    return;
  }
  await withScratch(parent, async (at) => {
    if (parent) await git(['fetch', '--quiet', '--no-tags', '--', hub, `${ref}:${ref}`], { at, signal });
    await importFiles(at.bare, ref, parent, files, message, signal);
    const lease = `--force-with-lease=${ref}:${parent ?? ''}`;
    await git(['push', '--quiet', '--no-verify', lease, '--', hub, `${ref}:${ref}`], { at, signal });
  });
};

/** The text of one file of evidence (its first `bytesMax`, default 16 MB), or null if there is none. */
export const readEvidence = (options: {
  hub: string;
  ref: string;
  path: string;
  bytesMax?: number | undefined;
  signal?: AbortSignal | undefined;
}): Promise<string | null> => atEvidence(options, (bare) => readFileAt(bare, options.ref, options.path, options));

/** The paths of all files under a ref of evidence; empty if there is no such ref. */
export const listEvidence = async (options: {
  hub: string;
  ref: string;
  signal?: AbortSignal | undefined;
}): Promise<string[]> => {
  const paths = await atEvidence(options, async (bare) => {
    const args = ['ls-tree', '-r', '-z', '--name-only', options.ref];
    const result = await runGit(args, { at: { bare }, signal: options.signal, answers: [0, 128] });
    return result.exitCode === 0 ? partsOf(result.stdout) : [];
  });
  return paths ?? [];
};

/** Reads in the hub, or, behind a URL, in what was fetched of it. Null where there is no such ref. */
const atEvidence = async <T>(
  { hub, ref, signal }: { hub: string; ref: string; signal?: AbortSignal | undefined },
  read: (bare: string) => Promise<T>,
): Promise<T | null> => {
  if (!ref.startsWith('refs/')) throw fail('BUG', { message: `"${ref}" is not the full name of a ref` });
  if (!isUrl(hub)) return read(hub);
  const commit = await readRef(hub, ref, signal);
  if (commit === null) return null;
  return withScratch(commit, async (at) => {
    await git(['fetch', '--quiet', '--no-tags', '--depth=1', '--', hub, `${ref}:${ref}`], { at, signal });
    return read(at.bare);
  });
};

/** https://git-scm.com/docs/git-fast-import: one stream makes blobs, trees, commit and ref. */
const importFiles = async (
  bare: string,
  ref: string,
  parent: string | null,
  files: EvidenceFiles,
  message: string,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const parts: Uint8Array[] = [];
  const line = (text: string) => parts.push(Buffer.from(`${text}\n`));
  const data = (content: string | Uint8Array) => {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    line(`data ${bytes.length}`);
    parts.push(bytes);
    line('');
  };
  line(`commit ${ref}`);
  line(`committer ${nexusIdentity.name} <${nexusIdentity.email}> ${Math.floor(Date.now() / 1000)} +0000`);
  data(message);
  if (parent) line(`from ${parent}`);
  for (const [path, content] of Object.entries(files)) {
    line(`M 100644 inline ${quoted(path)}`);
    data(content);
  }
  line('done');
  await git(['fast-import', '--quiet', '--done', '--date-format=raw'], {
    at: { bare },
    input: Buffer.concat(parts),
    signal,
  });
};

/** A path as fast-import reads it; what git itself would not store is our mistake. */
const quoted = (path: string): string => {
  const parts = path.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..' || part.toLowerCase() === '.git')) {
    throw fail('BUG', { message: `"${path}" cannot be a path of evidence` });
  }
  return `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
};
