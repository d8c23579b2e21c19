import type { Continuation } from '@pare/core';

export type { Continuation } from '@pare/core';

/** A token to score: its probability is read off the state at `place` of a row. */
export interface Pick {
  readonly group: number;
  readonly member: number;
  /** Index of the token among the scored ones of its sequence. */
  readonly index: number;
  readonly token: number;
  readonly place: number;
}

/**
 * Several sequences as one row: what they have in common once, then what each has of its own, one behind another. A token's position is its position in its own
 * sequence; it sees tokens of the common part and of its own branch that come before it. So every token meets exactly what it would meet in its sequence alone.
 */
export interface TreeRow {
  readonly tokens: Int32Array;
  readonly positions: Int32Array;
  /** 0 for the common part, 1, 2, … for the branches. */
  readonly branches: Int32Array;
  readonly picks: readonly Pick[];
}

/**
 * Lays out groups of sequences as rows. The last token of a sequence is only ever predicted, so it is in no row: choices of one token each cost nothing but their
 * prompt. A group that would make a row longer than `maximumTokens` goes into several, each with the common part.
 */
export function treeRows(groups: readonly (readonly Continuation[])[], maximumTokens: number): TreeRow[] {
  return groups.flatMap((members, group) => {
    const shared = commonLength(members);
    const rows: TreeRow[] = [];
    let pending: number[] = [];
    let length = shared;
    const flush = (): void => {
      if (pending.length > 0) rows.push(layOut(members, group, pending, shared, length));
      pending = [];
      length = shared;
    };
    for (const [member, { ids }] of members.entries()) {
      const own = ids.length - 1 - shared;
      if (length + own > maximumTokens) flush();
      pending.push(member);
      length += own;
    }
    flush();
    return rows;
  });
}

/** Tokens that all sequences of a group begin with, their last tokens aside. */
function commonLength(members: readonly Continuation[]): number {
  const [first, ...others] = members;
  if (first === undefined) return 0;
  let length = Math.min(...members.map(({ ids }) => ids.length - 1));
  for (const { ids } of others) {
    let same = 0;
    while (same < length && ids[same] === first.ids[same]) same++;
    length = same;
  }
  return length;
}

function layOut(members: readonly Continuation[], group: number, chosen: readonly number[], shared: number, length: number): TreeRow {
  const tokens = new Int32Array(length);
  const positions = new Int32Array(length);
  const branches = new Int32Array(length);
  const picks: Pick[] = [];
  tokens.set(members[chosen[0]!]!.ids.subarray(0, shared));
  for (let place = 0; place < shared; place++) positions[place] = place;
  let begin = shared;
  for (const [order, member] of chosen.entries()) {
    const { ids, start } = members[member]!;
    for (let position = shared; position + 1 < ids.length; position++) {
      const place = begin + position - shared;
      tokens[place] = ids[position]!;
      positions[place] = position;
      branches[place] = order + 1;
    }
    for (let position = start; position < ids.length; position++) {
      const place = position - 1 < shared ? position - 1 : begin + position - 1 - shared;
      picks.push({ group, member, index: position - start, token: ids[position]!, place });
    }
    begin += ids.length - 1 - shared;
  }
  return { tokens, positions, branches, picks };
}
