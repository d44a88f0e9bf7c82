/** Looking at what is there. `where` is a hub (folder or URL), a clone, or any repository, as each function says. */

export type RefEntry = { ref: string; commit: string };
export type DiffStat = {
  files: { path: string; added: number; removed: number }[];
  added: number;
  removed: number;
};

/** The refs of a hub below a prefix, such as `refs/nexus/<task>/wip/`, by name. */
export const listRefs = async (_hub: string, _prefix: string): Promise<RefEntry[]> => {
  throw new Error('to follow');
};

/** The commit of one ref of a hub (folder or URL), or null. */
export const readRef = async (_hub: string, _ref: string): Promise<string | null> => {
  throw new Error('to follow');
};

/** The commit that a clone stands on. */
export const headOf = async (_folder: string): Promise<string> => {
  throw new Error('to follow');
};

/** Files and lines that differ between two commits of a clone or a hub folder; binary files count 0 lines. */
export const diffStat = async (_where: string, _from: string, _to: string): Promise<DiffStat> => {
  throw new Error('to follow');
};
