/**
 * Draws the flowcharts of our documents: the part of mermaid's language that they use (`a[label]`, `a --> b`, `a -. label .-> b`, one level of `subgraph`).
 * Drawn here and not in a browser, so that the site is built by Node alone and carries no script for it.
 */
export interface Flowchart {
  readonly nodes: ReadonlyMap<string, string>;
  readonly edges: readonly { readonly from: string; readonly to: string; readonly dashed: boolean; readonly label: string }[];
  readonly groups: ReadonlyMap<string, { readonly label: string; readonly members: readonly string[] }>;
}

/** @throws on lines that are none of the above */
export function parseFlowchart(text: string): Flowchart {
  const nodes = new Map<string, string>();
  const edges: { from: string; to: string; dashed: boolean; label: string }[] = [];
  const groups = new Map<string, { label: string; members: string[] }>();
  let group: { label: string; members: string[] } | undefined;
  const node = (written: string): string => {
    const { id, label } = /^(?<id>[\w-]+)(?:\[(?<label>[^\]]+)\])?$/.exec(written.trim())!.groups as { id: string; label?: string };
    if (groups.has(id)) return id;
    if (label !== undefined || !nodes.has(id)) nodes.set(id, label ?? id);
    // A node belongs to the group that it is written in, even when an edge named it before.
    if (group?.members.includes(id) === false) group.members.push(id);
    return id;
  };
  for (const line of text.split('\n').map((written) => written.trim())) {
    if (line === '' || line.startsWith('flowchart')) continue;
    const subgraph = /^subgraph ([\w-]+)(?:\s*\[([^\]]+)\])?$/.exec(line);
    const edge = /^(.+?)\s+(-->|-\.\s*(.*?)\s*\.->)\s+(.+)$/.exec(line);
    if (subgraph !== null) {
      const id = subgraph[1]!;
      nodes.delete(id);
      group = { label: subgraph[2] ?? id, members: [] };
      groups.set(id, group);
    } else if (line === 'end') group = undefined;
    else if (edge !== null) edges.push({ from: node(edge[1]!), to: node(edge[4]!), dashed: edge[2] !== '-->', label: edge[3] ?? '' });
    else if (/^[\w-]+(\[[^\]]+\])?$/.test(line)) node(line);
    else throw new Error(`flowchart: cannot read "${line}"`);
  }
  return { nodes, edges, groups };
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const lineHeight = 17;
const wrapAt = 26;
const gap = 28;
const columnsOfGroup = 4;
const width = 860;

/** The chart as SVG that takes its colours from the page. */
export function flowchartSvg(text: string): string {
  const chart = parseFlowchart(text);
  const inGroup = new Map([...chart.groups].flatMap(([id, { members }]) => members.map((member): [string, string] => [member, id])));
  const outer = [...new Set([...chart.nodes.keys()].map((id) => inGroup.get(id) ?? id).concat([...chart.groups.keys()]))];
  const rank = ranks(outer, chart.edges.map(({ from, to }) => [inGroup.get(from) ?? from, inGroup.get(to) ?? to]));
  const boxes = new Map<string, Box>();
  const parts: string[] = [];
  let y = 8;
  for (let level = 0; level <= Math.max(...rank.values()); level++) {
    const row = outer.filter((id) => rank.get(id) === level);
    const share = (width - gap * (row.length - 1)) / row.length;
    const heights = row.map((id, index) => {
      const x = index * (share + gap);
      return chart.groups.has(id) ? drawGroup(id, chart, { x, y, width: share }, boxes, parts) : drawNode(chart.nodes.get(id)!, id, { x: x + share * 0.1, y, width: share * 0.8 }, boxes, parts);
    });
    y += Math.max(...heights) + 2 * gap;
  }
  const levelOf = (id: string): number => rank.get(inGroup.get(id) ?? id)!;
  const lines = chart.edges.map(({ from, to, dashed, label }) =>
    levelOf(to) - levelOf(from) > 1 ? drawDetour(boxes.get(from)!, boxes.get(to)!, dashed, inGroup.has(to)) : drawEdge(boxes.get(from)!, boxes.get(to)!, dashed, label),
  );
  return `<svg viewBox="0 0 ${String(width)} ${String(y - gap)}" role="img" aria-label="flowchart">${lines.join('')}${parts.join('')}</svg>`;
}

/** Distance of the longest way from a source. */
function ranks(ids: readonly string[], edges: readonly (readonly [string, string])[]): Map<string, number> {
  const rank = new Map(ids.map((id) => [id, 0]));
  // As many rounds as the longest way can have steps.
  const relax = (): void => {
    for (const [from, to] of edges) if (from !== to) rank.set(to, Math.max(rank.get(to)!, rank.get(from)! + 1));
  };
  ids.forEach(relax);
  return rank;
}

function drawNode(label: string, id: string, { x, y, width: share }: Pick<Box, 'x' | 'y' | 'width'>, boxes: Map<string, Box>, parts: string[]): number {
  const lines = wrap(label, Math.max(12, Math.min(wrapAt * 2, Math.floor(share / 7.6))));
  const height = lines.length * lineHeight + 16;
  boxes.set(id, { x, y, width: share, height });
  const spans = lines.map((line, index) => `<tspan x="${String(x + share / 2)}" y="${String(y + 20 + index * lineHeight)}">${escapeXml(line)}</tspan>`);
  parts.push(`<rect class="node" x="${String(x)}" y="${String(y)}" width="${String(share)}" height="${String(height)}" rx="6"/><text class="label">${spans.join('')}</text>`);
  return height;
}

function drawGroup(id: string, chart: Flowchart, { x, y, width: share }: Pick<Box, 'x' | 'y' | 'width'>, boxes: Map<string, Box>, parts: string[]): number {
  const { label, members } = chart.groups.get(id)!;
  const inner: string[] = [];
  const columns = Math.min(columnsOfGroup, members.length);
  const cell = (share - 12 * (columns + 1)) / columns;
  let top = y + 34;
  for (let start = 0; start < members.length; start += columns) {
    const heights = members.slice(start, start + columns).map((member, index) => drawNode(chart.nodes.get(member)!, member, { x: x + 12 + index * (cell + 12), y: top, width: cell }, boxes, inner));
    top += Math.max(...heights) + 12;
  }
  boxes.set(id, { x, y, width: share, height: top - y });
  parts.push(`<rect class="group" x="${String(x)}" y="${String(y)}" width="${String(share)}" height="${String(top - y)}" rx="8"/><text class="label" x="${String(x + share / 2)}" y="${String(y + 22)}">${escapeXml(label)}</text>`, ...inner);
  return top - y;
}

function drawEdge(from: Box, to: Box, dashed: boolean, label: string): string {
  const down = to.y > from.y;
  const level = to.y === from.y;
  const right = to.x > from.x;
  const [x1, y1] = level ? [right ? from.x + from.width : from.x, from.y + from.height / 2] : [from.x + from.width / 2, down ? from.y + from.height : from.y];
  const [x2, y2] = level ? [right ? to.x : to.x + to.width, to.y + to.height / 2] : [to.x + to.width / 2, down ? to.y : to.y + to.height];
  // A head of 7 units, drawn along the line.
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
  const head = `${String(x2)},${String(y2)} ${String(x2 - 8 * dx - 4 * dy)},${String(y2 - 8 * dy + 4 * dx)} ${String(x2 - 8 * dx + 4 * dy)},${String(y2 - 8 * dy - 4 * dx)}`;
  const text = label === '' ? '' : `<text class="note" x="${String((x1 + x2) / 2 + 6)}" y="${String((y1 + y2) / 2)}">${escapeXml(label)}</text>`;
  return `<line class="edge" x1="${String(x1)}" y1="${String(y1)}" x2="${String(x2)}" y2="${String(y2)}"${dashed ? ' stroke-dasharray="5 4"' : ''}/><polygon class="head" points="${head}"/>${text}`;
}

/** An edge past the rows between: out of the left side, and into the left side of a box or the top of one in a group. */
function drawDetour(from: Box, to: Box, dashed: boolean, intoTop: boolean): string {
  const [x1, y1] = [from.x, from.y + from.height / 2];
  const [x2, y2] = intoTop ? [to.x + to.width / 2, to.y] : [to.x, to.y + to.height / 2];
  const bend = intoTop ? `${String(x2)} ${String(y1 + 20)} ${String(x2)} ${String(y2 - 60)}` : `${String(x1 - 60)} ${String(y1)} ${String(x2 - 60)} ${String(y2)}`;
  const head = intoTop ? `${String(x2)},${String(y2)} ${String(x2 - 4)},${String(y2 - 8)} ${String(x2 + 4)},${String(y2 - 8)}` : `${String(x2)},${String(y2)} ${String(x2 - 8)},${String(y2 - 4)} ${String(x2 - 8)},${String(y2 + 4)}`;
  return `<path class="edge" d="M${String(x1)} ${String(y1)} C${bend} ${String(x2)} ${String(y2)}"${dashed ? ' stroke-dasharray="5 4"' : ''}/><polygon class="head" points="${head}"/>`;
}

function wrap(text: string, columns: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line !== '' && line.length + word.length + 1 > columns) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
