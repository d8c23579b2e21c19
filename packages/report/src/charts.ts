import type { Spec } from 'vega';
import type { Report, TradeOffPlot } from './document.js';
import { formatBytes, formatValue, meaningOf } from './metrics.js';
import { sizePartLabels } from './sizes.js';

/** A chart in two widths: SVG text does not reflow, so a phone gets its own drawing. */
export interface Chart {
  readonly title: string;
  /** What a reader who does not see the chart needs to know. */
  readonly description: string;
  readonly wide: string;
  readonly narrow: string;
}

const widths = { wide: 860, narrow: 330 } as const;

/** Colours are custom properties of the page, so charts follow its light or dark scheme. */
const ink = 'var(--ink)';
const muted = 'var(--muted)';
const line = 'var(--line)';
const axisStyle = { domainColor: muted, tickColor: muted, gridColor: line, labelColor: muted, titleColor: ink, labelFontSize: 12, titleFontSize: 13, titleFontWeight: 600, titlePadding: 10 } as const;

/**
 * Quality against size, every point with its name, the Pareto front as a line.
 * @param id distinguishes the chart's elements from those of others on a page
 */
export async function tradeOffChart(plot: TradeOffPlot, id: string): Promise<Chart> {
  const { size, quality, points } = plot;
  const title = `${quality.label} against ${size.label.toLowerCase()}`;
  const front = points.filter((point) => point.front).map(({ name }) => name);
  const listed = points.map(({ name, x, y }) => `${name}: ${formatValue(size.name, x)}, ${formatValue(quality.name, y)}`).join('; ');
  const description = `${listed}. On the Pareto front: ${front.join(', ')}.`;
  const draw = (kind: keyof typeof widths): Promise<string> => render(tradeOffSpec(plot, widths[kind]), title, description, `${id}-${kind}`);
  return { title, description, wide: await draw('wide'), narrow: await draw('narrow') };
}

function tradeOffSpec({ size, quality, points }: TradeOffPlot, outer: number): Spec {
  const margin = { left: 74, right: 26, top: 14, bottom: 48 };
  const width = outer - margin.left - margin.right;
  const height = outer < 500 ? 250 : 330;
  const bytes = meaningOf(size.name).unit === 'bytes';
  const ys = points.map(({ y }) => y);
  const logarithmic = Math.min(...ys) > 0 && Math.max(...ys) / Math.min(...ys) > 20;
  const xDomain = padded(points.map(({ x }) => x), false);
  const yDomain = padded(ys, logarithmic);
  const position = (value: number, [low, high]: readonly [number, number], log: boolean): number =>
    log ? (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low)) : (value - low) / (high - low);
  const placed = placeLabels(
    points.map((point) => ({ ...point, px: position(point.x, xDomain, false) * width, py: (1 - position(point.y, yDomain, logarithmic)) * height })),
    width,
    height,
  );
  const front = placed.filter((point) => point.front).sort((a, b) => a.x - b.x || a.y - b.y);
  const tickCount = outer < 500 ? 4 : 7;
  return {
    width,
    height,
    padding: margin,
    autosize: 'none',
    data: [
      { name: 'points', values: placed },
      { name: 'front', values: front },
    ],
    scales: [
      { name: 'x', type: 'linear', domain: [...xDomain], range: 'width', zero: false },
      { name: 'y', type: logarithmic ? 'log' : 'linear', domain: [...yDomain], range: 'height', zero: false },
    ],
    axes: [
      {
        ...axisStyle,
        orient: 'bottom',
        scale: 'x',
        grid: true,
        tickCount,
        title: bytes ? 'Size of the weights' : size.label,
        ...(bytes && { values: byteTicks(xDomain, tickCount), encode: { labels: { update: { text: { signal: byteLabel(xDomain[1]) } } } } }),
      },
      { ...axisStyle, orient: 'left', scale: 'y', grid: true, tickCount: 6, titleX: 14 - margin.left, ...(logarithmic && { values: logTicks(yDomain), format: '~g' }), title: `${quality.label} (${quality.direction} is better)` },
    ],
    marks: [
      {
        type: 'line',
        from: { data: 'front' },
        encode: { enter: { x: { scale: 'x', field: 'x' }, y: { scale: 'y', field: 'y' }, stroke: { value: 'var(--accent)' }, strokeWidth: { value: 2 }, strokeDash: { value: [6, 4] } } },
      },
      {
        type: 'symbol',
        from: { data: 'points' },
        encode: {
          enter: {
            x: { scale: 'x', field: 'x' },
            y: { scale: 'y', field: 'y' },
            size: { value: 110 },
            shape: { signal: "datum.original ? 'square' : datum.front ? 'circle' : 'diamond'" },
            fill: { signal: "datum.original ? 'var(--muted)' : datum.front ? 'var(--accent)' : 'var(--surface)'" },
            stroke: { signal: "datum.original ? 'var(--muted)' : datum.front ? 'var(--accent)' : 'var(--ink)'" },
            strokeWidth: { value: 1.5 },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'points' },
        encode: {
          enter: {
            x: { scale: 'x', field: 'x', offset: { field: 'dx' } },
            y: { scale: 'y', field: 'y', offset: { field: 'dy' } },
            align: { field: 'align' },
            baseline: { value: 'middle' },
            text: { field: 'label' },
            fill: { value: ink },
            fontSize: { value: labelSize },
          },
        },
      },
    ],
  };
}

/** A little more than the range of values, so that no point lies on an edge. */
function padded(values: readonly number[], logarithmic: boolean): readonly [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (logarithmic) return [low / 1.3, high * 1.3];
  const space = high > low ? (high - low) * 0.12 : Math.abs(high) * 0.1 || 1;
  return [low >= 0 ? Math.max(0, low - space) : low - space, high + space];
}

/** Powers of ten, with their doubles and fivefolds where there are few. */
function logTicks([low, high]: readonly [number, number]): number[] {
  const decades = Math.log10(high / low);
  const first = Math.floor(Math.log10(low));
  const powers = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, index) => 10 ** (first + index));
  return powers.flatMap((power) => (decades > 2.5 ? [power] : [power, 2 * power, 5 * power])).filter((tick) => tick >= low && tick <= high);
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
const unitOf = (bytes: number): number => Math.min(byteUnits.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));

/** Round numbers of the unit that the largest value has. */
function byteTicks([low, high]: readonly [number, number], count: number): number[] {
  const factor = 1024 ** unitOf(high);
  const rough = (high - low) / factor / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((multiple) => multiple * power).find((candidate) => candidate >= rough)!;
  const ticks: number[] = [];
  for (let tick = Math.ceil(low / factor / step); tick * step * factor <= high; tick++) ticks.push(tick * step * factor);
  return ticks;
}

function byteLabel(high: number): string {
  const unit = unitOf(high);
  return `format(datum.value / ${String(1024 ** unit)}, '.3~g') + ' ${byteUnits[unit]!}'`;
}

interface PlacedPoint {
  readonly name: string;
  readonly px: number;
  readonly py: number;
  readonly front: boolean;
}

interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

const labelSize = 12;
/** Width of an average letter of the label's size, measured generously. */
const letterWidth = 6.6;

/**
 * Names beside their points: the first of twelve places that hits neither the edges, a point, an earlier name, nor the line of the front; beside the point when none is free.
 */
function placeLabels<P extends PlacedPoint>(points: readonly P[], width: number, height: number): (P & { label: string; dx: number; dy: number; align: string })[] {
  const longest = Math.floor((width * 0.6) / letterWidth);
  const square = (x: number, y: number, half: number): Box => ({ left: x - half, top: y - half, right: x + half, bottom: y + half });
  const taken: Box[] = [...points.map(({ px, py }) => square(px, py, 7)), ...alongFront(points).map(([x, y]) => square(x, y, 2))];
  return points.map((point) => {
    const { px, py, name } = point;
    const label = name.length > longest ? `${name.slice(0, longest - 1)}…` : name;
    const wide = label.length * letterWidth;
    const places = [0, -14, 14, -26, 26].flatMap((dy) => {
      const dx = dy === 0 ? 12 : 9;
      const sides = [
        { dx, dy, align: 'left' },
        { dx: -dx, dy, align: 'right' },
      ];
      return dy === 0 ? sides : [...sides, { dx: 0, dy: dy + Math.sign(dy) * 2, align: 'center' }];
    });
    const boxOf = ({ dx, dy, align }: (typeof places)[number]): Box => {
      const left = align === 'left' ? px + dx : align === 'right' ? px + dx - wide : px + dx - wide / 2;
      return { left, right: left + wide, top: py + dy - labelSize / 2, bottom: py + dy + labelSize / 2 };
    };
    const free = (box: Box): boolean =>
      box.left >= 0 && box.right <= width && box.top >= 0 && box.bottom <= height && !taken.some((other) => box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom);
    const place = places.find((candidate) => free(boxOf(candidate))) ?? places[px > width / 2 ? 1 : 0]!;
    taken.push(boxOf(place));
    return { ...point, ...place, label };
  });
}

/** Places on the line of the front, a few pixels apart. */
function alongFront(points: readonly PlacedPoint[]): [x: number, y: number][] {
  const front = points.filter((point) => point.front).sort((a, b) => a.px - b.px);
  return front.slice(1).flatMap((to, index) => {
    const from = front[index]!;
    const steps = Math.ceil(Math.hypot(to.px - from.px, to.py - from.py) / 5);
    return Array.from({ length: steps }, (_, step): [number, number] => [from.px + ((to.px - from.px) * step) / steps, from.py + ((to.py - from.py) * step) / steps]);
  });
}

/** One bar a run, divided by what its bytes are for. Undefined when no run's tensors are known. */
export async function sizeChart({ rows }: Report): Promise<Chart | undefined> {
  const sized = rows.flatMap(({ name, size }) => (size === undefined ? [] : [{ name, size }]));
  if (sized.length === 0) return undefined;
  const title = 'Stored bytes by what they are for';
  const description = sized
    .map(({ name, size }) => `${name}, ${formatBytes(size.total)}: ${size.parts.map(({ part, bytes }) => `${sizePartLabels[part].toLowerCase()} ${formatBytes(bytes)}`).join(', ')}`)
    .join('. ');
  const largest = Math.max(...sized.map(({ size }) => size.total));
  const draw = (kind: keyof typeof widths): Promise<string> => {
    const width = widths[kind] - 16;
    const step = 48;
    const longest = Math.floor((width - 90) / letterWidth);
    const segments = sized.flatMap(({ size }, index) => {
      let start = 0;
      return size.parts.map(({ part, bytes }) => {
        const segment = { y: index * step + 20, x: (start / largest) * width, x2: ((start + bytes) / largest) * width, color: `var(--part-${part})` };
        start += bytes;
        return segment;
      });
    });
    const names = sized.map(({ name, size }, index) => ({ y: index * step + 14, name: name.length > longest ? `${name.slice(0, longest - 1)}…` : name, total: formatBytes(size.total) }));
    const text = (field: string, x: number, align: 'left' | 'right', fill: string) =>
      ({
        type: 'text',
        from: { data: 'names' },
        encode: { enter: { x: { value: x }, y: { field: 'y' }, text: { field }, align: { value: align }, fill: { value: fill }, fontSize: { value: 13 } } },
      }) as const;
    return render(
      {
        width,
        height: sized.length * step,
        padding: 8,
        autosize: 'none',
        data: [
          { name: 'segments', values: segments },
          { name: 'names', values: names },
        ],
        marks: [
          {
            type: 'rect',
            from: { data: 'segments' },
            encode: {
              enter: {
                x: { field: 'x' },
                x2: { field: 'x2' },
                y: { field: 'y' },
                height: { value: 20 },
                fill: { field: 'color' },
                stroke: { value: 'var(--surface)' },
                strokeWidth: { value: 1 },
              },
            },
          },
          text('name', 0, 'left', ink),
          text('total', width, 'right', muted),
        ],
      },
      title,
      description,
      `sizes-${kind}`,
    );
  };
  return { title, description, wide: await draw('wide'), narrow: await draw('narrow') };
}

/** A Vega chart as inline SVG with a title and a description. Vega is loaded when the first chart is drawn. */
async function render(spec: Spec, title: string, description: string, id: string): Promise<string> {
  const { View, parse } = await import('vega');
  const view = new View(parse({ ...spec, config: { font: 'inherit', axis: { labelFont: 'inherit', titleFont: 'inherit' }, text: { font: 'inherit' } } } as Spec), { renderer: 'none' });
  try {
    return labelled(await view.toSVG(), title, description, id);
  } finally {
    view.finalize();
  }
}

/** The drawing as one image to assistive software: its own title and description, no roles and namespaces inside. */
function labelled(svg: string, title: string, description: string, id: string): string {
  const body = svg.replace(/ (role|aria-[a-z]+|xmlns(:xlink)?|version)="[^"]*"/g, '');
  return body.replace(/^<svg/, `<svg role="img" aria-labelledby="${id}-title ${id}-description"`).replace('>', `><title id="${id}-title">${escapeXml(title)}</title><desc id="${id}-description">${escapeXml(description)}</desc>`);
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${String(character.charCodeAt(0))};`);
}
