import type { Break } from './sabotage.ts';

const claims = 'test/integration/bus/claims.test.ts';
const scripts = 'shared/src/bus/scripts';

export const fabric: readonly Break[] = [
  {
    name: 'fabric-settle-without-token',
    file: `${scripts}/settle-7.lua`,
    find: "if not row or row[2] ~= consumer or row[4] ~= tonumber(ARGV[at + 2]) then\n    result = 'lost'",
    replace: "if not row then\n    result = 'lost'",
    test: { file: claims, title: 'rule 1: a consumer that lost its claim settles nothing, and its work is aborted' },
  },
];
