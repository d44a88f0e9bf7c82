/** Where something stands in a text of YAML or JSON. */
import { type Document, isMap, isNode, type LineCounter } from 'yaml';

/** The line of the nearest node that still exists on the way to `path`: a missing field has only its parent. */
export const lineOf = (document: Document.Parsed, lines: LineCounter, path: readonly PropertyKey[]): number => {
  for (let length = path.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    const pair = isMap(parent) ? parent.items.find((item) => String(item.key) === String(key)) : undefined;
    const node = pair?.key ?? document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
};
