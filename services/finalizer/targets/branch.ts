/**
 * The result as a branch: `nexus/<task>` in the person's repository, of which nothing else is touched. A task without a
 * repository gets one of its own, made here.
 */
import { makeRepository, pushResult } from '@nexus/shared/git';
import { shellWord } from '@nexus/shared/process';
import { defineTarget } from '../define-target.ts';
import { isLocal, withoutSecrets } from '../repository.ts';

export default defineTarget({
  name: 'branch',
  order: 0,
  takes: () => true,
  release: async (release) => {
    const { hub, commit, baseCommit, branch, repository, credentials, signal } = release;
    const range = `${baseCommit.slice(0, 12)}..${branch}`;
    if (repository === null) {
      await makeRepository({ ...release, folder: release.output });
      const at = `git -C ${shellWord(release.output)}`;
      const undo = `${at} switch main && ${at} branch -D ${branch}`;
      return { branch, repository: release.output, look: `${at} log --stat ${range}`, undo, checkout: release.output };
    }
    await pushResult({ hub, commit, repository, branch, credentials, signal });
    const shown = withoutSecrets(repository);
    const name = shellWord(shown);
    if (isLocal(repository)) {
      const at = `git -C ${name}`;
      const look = `${at} log --stat ${range}`;
      return { branch, repository: shown, look, undo: `${at} branch -D ${branch}`, checkout: null };
    }
    const look = `git fetch ${name} ${branch} && git log --stat ${baseCommit.slice(0, 12)}..FETCH_HEAD`;
    return { branch, repository: shown, look, undo: `git push ${name} --delete ${branch}`, checkout: null };
  },
});
