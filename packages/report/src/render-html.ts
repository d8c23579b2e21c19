import { sizeChart, tradeOffChart, type Chart } from './charts.js';
import type { Cell, Report, Row } from './document.js';
import { html, Html } from './html.js';
import { uniformValue, type LayerGrid } from './layers.js';
import { formatBytes, formatChange, formatNumber } from './metrics.js';
import { uniformText, verdictMark } from './render-text.js';
import { sizePartLabels, sizeParts } from './sizes.js';
import { style } from './style.js';

/** The report as one HTML page that loads nothing: style, charts and data are inside. A policy in the page forbids the rest. */
export async function renderHtml(report: Report): Promise<string> {
  const plots = await Promise.all(report.plots.map((plot, index) => tradeOffChart(plot, `plot-${String(index + 1)}`)));
  const sizes = await sizeChart(report);
  const layered = report.rows.filter(({ layers }) => layers.length > 0);
  const recorded = report.rows.filter(({ provenance, stages }) => provenance !== undefined || stages.length > 0);
  const links: readonly (readonly [id: string, title: string, shown: boolean])[] = [
    ['comparison', 'Comparison', true],
    ['trade-off', 'Quality against size', plots.length > 0],
    ['sizes', 'Where the bytes are', sizes !== undefined],
    ['layers', 'Layer by layer', layered.length > 0],
    ['provenance', 'Recipes and provenance', recorded.length > 0],
  ];
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${report.title}</title>
<style>${new Html(style)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<header class="wrap">
<h1>${report.title}</h1>
<nav aria-label="Sections"><ul>${links.filter(([, , shown]) => shown).map(([id, title]) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
</header>
<main id="main" class="wrap" tabindex="-1">
${report.cards.length > 0 && html`<dl class="cards">${report.cards.map(({ label, value, detail }) => html`<div><dt>${label}</dt><dd class="value">${value}</dd>${detail !== '' && html`<dd class="detail">${detail}</dd>`}</div>`)}</dl>`}
${comparisonSection(report)}
${plots.length > 0 && html`<section id="trade-off" aria-labelledby="trade-off-title"><h2 id="trade-off-title">Quality against size</h2><p>Circles on the dashed line are the Pareto front: no other run is both smaller and better. Diamonds are beaten by another run; a square is the original.</p>${plots.map((chart) => figure(chart, `${chart.title}.`))}</section>`}
${sizes !== undefined && sizeSection(report, sizes)}
${layered.length > 0 && layerSection(layered)}
${recorded.length > 0 && provenanceSection(recorded)}
</main>
<footer class="wrap">Made by <code>pare report</code>. This page is complete in itself and loads nothing.</footer>
</body>
</html>
`;
  return page.text;
}

function figure({ wide, narrow }: Chart, caption: string): Html {
  return html`<figure><div class="wide">${new Html(wide)}</div><div class="narrow">${new Html(narrow)}</div><figcaption>${caption}</figcaption></figure>`;
}

/** A table that scrolls sideways on narrow screens; reachable and named for those who scroll with the keyboard. */
function scrollable(label: string, table: Html): Html {
  return html`<div class="scroll" role="region" tabindex="0" aria-label="${label}">${table}</div>`;
}

const verdictWords = { better: 'better', worse: 'worse', same: 'same' } as const;

function cellHtml(cell: Cell | undefined): Html {
  if (cell === undefined) return html`<td><span aria-label="not measured">–</span></td>`;
  const { text, change, verdict, best, cached } = cell;
  const shown = change !== undefined && change !== 0 && verdict !== 'same';
  return html`<td${best && new Html(' class="best"')}>${best && html`<span aria-label="best">★</span> `}${text}${cached && html` <span class="cached" title="measured in an earlier run">cached</span>`}${
    verdict === 'same'
      ? html`<small>same</small>`
      : shown && html`<small${verdict !== undefined && html` class="${verdict}"`}>${verdict !== undefined && html`<span aria-hidden="true">${verdictMark(verdict)}</span> `}${formatChange(change)}${verdict !== undefined && html`<span class="hidden"> ${verdictWords[verdict]}</span>`}</small>`
  }</td>`;
}

function comparisonSection({ metrics, rows, notes }: Report): Html {
  const marked = rows.some(({ cells }) => Object.values(cells).some(({ best }) => best));
  const main = metrics.filter(({ primary }) => primary);
  const further = metrics.filter(({ primary }) => !primary);
  const caption = `▲ better, ▼ worse than the original.${marked ? ' A star marks the best of the runs.' : ''}${rows.some(({ cells }) => Object.values(cells).some(({ cached }) => cached)) ? ' Cached values were measured in an earlier run.' : ''}`;
  return html`<section id="comparison" aria-labelledby="comparison-title"><h2 id="comparison-title">Comparison</h2>${
    main.length > 0 && scrollable('Comparison of the runs', comparisonTable(main, rows, caption))
  }${further.length > 0 && html`<details${main.length === 0 && new Html(' open')}><summary>Further metrics</summary>${scrollable('Further metrics of the runs', comparisonTable(further, rows, caption))}</details>`}${
    notes.length > 0 && html`<h3>Notes</h3><ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>`
  }</section>`;
}

function comparisonTable(metrics: Report['metrics'], rows: readonly Row[], caption: string): Html {
  const hints = { lower: 'lower is better', higher: 'higher is better', neutral: '' } as const;
  return html`<table><caption><span>${caption}</span></caption>
<thead><tr><th scope="col">Run</th>${metrics.map(({ label, direction }) => html`<th scope="col">${label}${hints[direction] !== '' && html`<small>${hints[direction]}</small>`}</th>`)}</tr></thead>
<tbody>${rows.map((row) => html`<tr${row.role === 'original' && new Html(' class="original"')}><th scope="row">${row.name}<small>${row.summary}</small></th>${metrics.map(({ name }) => cellHtml(row.cells[name]))}</tr>
`)}</tbody></table>`;
}

function sizeSection({ rows }: Report, chart: Chart): Html {
  const sized = rows.flatMap(({ name, size }) => (size === undefined ? [] : [{ name, size }]));
  const used = sizeParts.filter((part) => sized.some(({ size }) => size.parts.some((entry) => entry.part === part)));
  const bytesOf = (parts: readonly { readonly part: string; readonly bytes: number }[], part: string): string => {
    const bytes = parts.find((entry) => entry.part === part)?.bytes;
    return bytes === undefined ? '–' : formatBytes(bytes);
  };
  const table = html`<table><caption><span>Bytes of the written weights by kind of module</span></caption>
<thead><tr><th scope="col">Run and module</th>${used.map((part) => html`<th scope="col">${sizePartLabels[part]}</th>`)}<th scope="col">Total</th></tr></thead>
${sized.map(
  ({ name, size }) => html`<tbody><tr class="original"><th scope="rowgroup">${name}</th>${used.map((part) => html`<td>${bytesOf(size.parts, part)}</td>`)}<td>${formatBytes(size.total)}</td></tr>
${size.kinds.map(({ kind, bytes, parts }) => html`<tr><th scope="row"><small>${kind}</small></th>${used.map((part) => html`<td>${bytesOf(parts, part)}</td>`)}<td>${formatBytes(bytes)}</td></tr>`)}</tbody>
`,
)}</table>`;
  return html`<section id="sizes" aria-labelledby="sizes-title"><h2 id="sizes-title">Where the bytes are</h2>
<ul class="key">${used.map((part) => html`<li><i style="background:var(--part-${part})"></i>${sizePartLabels[part]}</li>`)}</ul>
${figure(chart, 'Tensors of the safetensors files, headers not counted. Bars share one scale.')}
<details${sized.length === 1 && new Html(' open')}><summary>Bytes by kind of module</summary>${scrollable('Bytes by kind of module', table)}</details></section>`;
}

/** A dotted name that may be broken after its dots. */
function breakable(name: string): Html {
  return html`${name.split('.').map((part, index) => (index === 0 ? part : html`.<wbr>${part}`))}`;
}

function layerSection(rows: readonly Row[]): Html {
  return html`<section id="layers" aria-labelledby="layers-title"><h2 id="layers-title">Layer by layer</h2>
<p>Where bits went and where error arose. Shades repeat the numbers.</p>
${rows.map(
  ({ name, summary, layers }, index) => html`<details${index === 0 && new Html(' open')}><summary>${name} · ${summary}</summary>
${layers.map((grid) => layerTable(name, grid))}</details>`,
)}</section>`;
}

function layerTable(run: string, grid: LayerGrid): Html {
  const { title, note, layers, columns, cells } = grid;
  const uniform = uniformValue(grid);
  if (uniform !== undefined) return html`<p><strong>${title}.</strong> ${uniformText(uniform)}</p>`;
  return scrollable(
    `${run}: ${title}`,
    html`<table class="heat"><caption><span><strong>${title}.</strong> ${note}</span></caption><thead><tr><th scope="col">Layer</th>${columns.map((column) => html`<th scope="col">${breakable(column)}</th>`)}</tr></thead>
<tbody>${layers.map(
      (layer, index) => html`<tr><th scope="row">${layer}</th>${cells[index]!.map((cell) =>
        cell === undefined ? html`<td>–</td>` : html`<td style="--shade:${cell.shade.toFixed(3)}">${formatNumber(cell.value)}</td>`,
      )}</tr>
`,
    )}</tbody></table>`,
  );
}

function provenanceSection(rows: readonly Row[]): Html {
  return html`<section id="provenance" aria-labelledby="provenance-title"><h2 id="provenance-title">Recipes and provenance</h2>
${rows.map((row) => html`<details${rows.length === 1 && new Html(' open')}><summary>${row.name} · ${row.summary}</summary>${provenanceOf(row)}</details>`)}</section>`;
}

function provenanceOf({ name, recipe, stages, provenance }: Row): Html {
  const fact = (label: string, value: Html | string): Html => html`<dt>${label}</dt><dd>${value}</dd>`;
  const facts = [
    ...(recipe === undefined ? [] : [fact('Recipe', recipe)]),
    ...stages.map(({ technique, options, modules }, index) => {
      const settings = Object.entries(options).map(([option, value]) => `${option}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
      return fact(
        stages.length === 1 ? 'Technique' : `Stage ${String(index + 1)}`,
        html`${technique}${modules.length > 0 && `, ${String(modules.length)} modules`}${settings.length > 0 && html`<br><code>${settings.join(', ')}</code>`}`,
      );
    }),
  ];
  if (provenance === undefined) return html`<dl class="facts">${facts}</dl>`;
  const { source, calibration, backend, seed, plugins, files } = provenance;
  facts.push(fact('Source', source.name));
  if (calibration !== undefined) {
    facts.push(fact('Calibration', html`${calibration.data}, ${calibration.samples} windows of ${calibration.sequenceLength} tokens<br><code>sha256 ${calibration.sha256}</code>`));
  }
  if (backend !== undefined) facts.push(fact('Backend', backend));
  if (seed !== undefined) facts.push(fact('Seed', String(seed)));
  facts.push(fact('Plugins', plugins.map(({ kind, id, version }) => `${kind} ${id}${version === undefined ? '' : ` ${version}`}`).join(', ')));
  const fileTable = html`<table><caption><span>Files that were read, and what was written</span></caption><thead><tr><th scope="col">File</th><th scope="col" class="text">Role</th><th scope="col">Size</th><th scope="col" class="text">SHA-256</th></tr></thead><tbody>${source.files.map(
    ({ path, bytes, sha256 }) => html`<tr><th scope="row">${path}</th><td class="text">source</td><td>${formatBytes(bytes)}</td><td class="text hash"><code>${sha256}</code></td></tr>
`,
  )}${files.map(({ format, path, bytes }) => html`<tr><th scope="row">${path}</th><td class="text">written, ${format}</td><td>${formatBytes(bytes)}</td><td class="text">–</td></tr>
`)}</tbody></table>`;
  return html`<dl class="facts">${facts}</dl>${scrollable(`Files of ${name}`, fileTable)}`;
}
