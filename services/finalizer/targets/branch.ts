/**
 * The result as a branch: `nexus/<task>` in the person's repository, of which nothing else is touched. A task without a
 * repository gets one of its own, made here.
 */
import { existsSync } from 'node:fs';
import { isPushed, makeRepository, pushResult } from '@nexus/shared/git';
import { shellWord } from '@nexus/shared/process';
import { defineTarget, type Release, type Released } from '../define-target.ts';
import { isLocal, withoutSecrets } from '../repository.ts';

export default defineTarget({
  name: 'branch',
  order: 0,
  takes: () => true,
  release: async (release) => {
    const { repository } = release;
    if (repository === null) await makeRepository({ ...release, folder: release.output });
    else await pushResult({ ...release, repository });
    return placeOf(release);
  },
  find: async (release) => {
    const { repository, output } = release;
    if (repository === null && !existsSync(output)) return null;
    return (await isPushed({ ...release, repository: repository ?? output })) ? placeOf(release) : null;
  },
});

const placeOf = ({ repository, output, branch, baseCommit }: Release): Released => {
  const range = `${baseCommit.slice(0, 12)}..${branch}`;
  if (repository === null) {
    const at = `git -C ${shellWord(output)}`;
    const undo = `${at} switch main && ${at} branch -D ${branch}`;
    return { branch, repository: output, look: `${at} log --stat ${range}`, undo, checkout: output };
  }
  const shown = withoutSecrets(repository);
  const name = shellWord(shown);
  if (isLocal(repository)) {
    const at = `git -C ${name}`;
    const look = `${at} log --stat ${range}`;
    return { branch, repository: shown, look, undo: `${at} branch -D ${branch}`, checkout: null };
  }
  const look = `git fetch ${name} ${branch} && git log --stat ${baseCommit.slice(0, 12)}..FETCH_HEAD`;
  return { branch, repository: shown, look, undo: `git push ${name} --delete ${branch}`, checkout: null };
};
