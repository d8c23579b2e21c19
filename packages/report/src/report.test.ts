import axe from 'axe-core';
import { JSDOM } from 'jsdom';
import { describe, expect, it } from 'vitest';
import { buildReport, breakDown, formatBytes, formatChange, formatNumber, formatValue, meaningOf, moduleKindOf, paretoFront, parseResult, parseResults, renderCsv, renderHtml, renderJson, renderMarkdown, sizePartOf, type Report, type ResultInput, type StoredTensor } from './index.js';

interface ManifestOptions {
  readonly bits?: number;
  readonly losses?: readonly number[];
  readonly before?: Record<string, number | null>;
  readonly after?: Record<string, number | null>;
  readonly sourceName?: string;
  readonly sourceHash?: string;
}

/** A manifest with two layers of one matrix each. */
function manifest({ bits = 4, losses = [1, 4], before = { perplexity: 10, bytes: 1000, parameters: 500 }, after = { perplexity: 11, bytes: 300, parameters: 500 }, sourceName = 'tiny', sourceHash = 'aa' }: ManifestOptions = {}): Record<string, unknown> {
  return {
    pare: 1,
    recipe: { version: 1, name: 'gptq-w4', stages: [{ technique: 'gptq', options: { bits, groupSize: 64, clip: 'minmax' } }] },
    seed: 0,
    source: { name: sourceName, files: [{ path: 'model.safetensors', bytes: 1000, sha256: sourceHash }] },
    calibration: { data: 'text.txt', sha256: 'bb', samples: 8, sequenceLength: 16 },
    backend: 'cpu',
    plugins: [{ id: 'gptq', kind: 'technique', package: '@pare/technique-gptq', version: '0.1.0' }],
    stages: [{ technique: 'gptq', modules: losses.map((loss, layer) => ({ module: `model.layers.${String(layer)}.self_attn.q_proj`, bits, loss })) }],
    formats: [{ id: 'hf', files: [{ path: 'model.safetensors', bytes: 400 }], verification: { tensors: 1, largestDifference: 0 } }],
    metrics: { before, after },
  };
}

const tensors: readonly StoredTensor[] = [
  { name: 'model.layers.0.self_attn.q_proj.weight_packed', bytes: 200 },
  { name: 'model.layers.0.self_attn.q_proj.weight_scale', bytes: 40 },
  { name: 'model.layers.0.self_attn.q_proj.weight_zero_point', bytes: 10 },
  { name: 'model.layers.0.self_attn.q_proj.weight_shape', bytes: 16 },
  { name: 'model.layers.0.input_layernorm.weight', bytes: 8 },
  { name: 'model.embed_tokens.weight', bytes: 100 },
];

const folder = (file: string, options?: ManifestOptions): ResultInput => parseResult(manifest(options), file, tensors);
const evaluated = (model: string, metrics: Record<string, number | null>, options: Record<string, unknown> = {}, details?: Record<string, unknown>): ResultInput =>
  parseResult({ model, metrics, backend: 'cpu', evaluations: [{ evaluator: 'perplexity', options, metrics, seconds: 1, details }] }, `${model}.json`);

const three = (): Report =>
  buildReport([
    folder('out/w8', { bits: 8, after: { perplexity: 10.1, bytes: 600, parameters: 500 } }),
    folder('out/w4'),
    folder('out/bad', { after: { perplexity: 12, bytes: 400, parameters: 500 } }),
  ]);

describe('parseResult', () => {
  it('reads manifests and the documents of compress and evaluate', () => {
    expect(folder('out/w4')).toMatchObject({ name: 'w4', kind: 'compressed', recipe: 'gptq-w4', after: { perplexity: 11 }, provenance: { seed: 0, backend: 'cpu' } });
    const compressed = parseResult({ output: '/somewhere/out', seconds: 1, stages: [{ technique: 'rtn', modules: 14 }], metrics: { bytes: 3 }, metricsBefore: { bytes: 9 } }, 'c.json');
    expect(compressed).toMatchObject({ name: 'out', location: '/somewhere/out', kind: 'compressed', before: { bytes: 9 }, after: { bytes: 3 } });
    expect(evaluated('models/tiny', { perplexity: 10 })).toMatchObject({ name: 'tiny', kind: 'measured', after: { perplexity: 10 } });
  });

  it('takes numbers that JSON could not hold for not measured', () => {
    expect(evaluated('m', { perplexity: null, bytes: 4 }).after).toEqual({ bytes: 4 });
  });

  it.each([
    [[], 'the document is no object'],
    [{ hello: 1 }, 'neither "pare", nor "model" and "metrics"'],
    [{ model: 'm', metrics: { perplexity: 'ten' } }, 'metrics.perplexity is no finite number'],
    [{ ...manifest(), stages: [{ technique: 7 }] }, 'stages[0].technique is no text'],
    [{ ...manifest(), source: undefined }, 'source is no object'],
  ])('refuses %j', (document, problem) => {
    expect(() => parseResult(document, 'x.json')).toThrow(expect.objectContaining({ code: 'PARE_REPORT_INPUT_INVALID', message: expect.stringContaining(problem) as string }));
  });

  it('refuses manifests of another version', () => {
    expect(() => parseResult({ ...manifest(), pare: 2 }, 'x')).toThrow(expect.objectContaining({ code: 'PARE_REPORT_VERSION_UNKNOWN', message: 'x has version 2; this Pare reads version 1' }));
  });
});

describe('buildReport', () => {
  it('compares runs with the original they share, by the direction of each metric', () => {
    const { rows, metrics } = three();
    expect(rows.map(({ id, role, name }) => [id, role, name])).toEqual([
      ['A', 'original', 'tiny'],
      ['B', 'compressed', 'w8'],
      ['C', 'compressed', 'w4'],
      ['D', 'compressed', 'bad'],
    ]);
    expect(metrics.map(({ name }) => name)).toEqual(['perplexity', 'bytes', 'parameters']);
    const w4 = rows[2]!;
    expect(w4.summary).toBe('gptq, 4 bits, group 64');
    expect(w4.cells['perplexity']).toEqual({ value: 11, text: '11', change: 0.1, verdict: 'worse', best: false, cached: false });
    expect(w4.cells['bytes']).toEqual({ value: 300, text: '300 B', change: -0.7, verdict: 'better', best: true, cached: false });
    expect(w4.cells['parameters']).toMatchObject({ change: 0, verdict: undefined, best: false });
    expect(rows[1]!.cells['perplexity']!.best).toBe(true);
  });

  it('marks the Pareto front, the original included', () => {
    const [plot] = three().plots;
    expect(plot!.points.map(({ name, front }) => [name, front])).toEqual([
      ['tiny', true],
      ['w8', true],
      ['w4', true],
      ['bad', false],
    ]);
    expect(three().cards).toContainEqual({ label: 'On the Pareto front', value: '2 of 3', detail: 'w8, w4' });
  });

  it('completes a folder and its original with measurements', () => {
    const { rows } = buildReport([
      folder('w4', { before: { bytes: 1000 }, after: { bytes: 300 } }),
      evaluated('w4', { perplexity: 11 }, {}, { layers: [{ layer: 0, error: 0.5 }, { layer: 1, error: 0.25 }] }),
      evaluated('models/tiny', { perplexity: 10 }),
    ]);
    expect(rows.map(({ name }) => name)).toEqual(['tiny', 'w4']);
    expect(rows[1]!.cells['perplexity']).toMatchObject({ value: 11, change: 0.1 });
    expect(rows[1]!.layers.find(({ title }) => title === 'Layers by perplexity')).toMatchObject({ layers: ['0', '1'], columns: ['error'], cells: [[{ value: 0.5, shade: 1 }], [{ value: 0.25, shade: 0.5 }]] });
  });

  it('takes a model with the name of the original but other numbers for a run', () => {
    const { rows } = buildReport([folder('w4'), evaluated('elsewhere/tiny', { perplexity: 17 })]);
    expect(rows.map(({ name, role }) => `${role} ${name}`)).toEqual(['original tiny', 'compressed w4', 'measured tiny (2)']);
  });

  it('keeps originals apart that differ, and says so', () => {
    const different = buildReport([folder('a'), folder('b', { sourceHash: 'other' })]);
    expect(different.rows.map(({ name }) => name)).toEqual(['tiny', 'tiny (2)', 'a', 'b']);
    expect(different.notes).toEqual([expect.stringContaining('did not start from the same model')]);
    const remeasured = buildReport([folder('a'), folder('b', { before: { perplexity: 10.5 } })]);
    expect(remeasured.rows.filter(({ role }) => role === 'original')).toHaveLength(2);
  });

  it('notes numbers that were measured with different options', () => {
    const { notes } = buildReport([evaluated('a', { perplexity: 10 }, { samples: 64 }), evaluated('b', { perplexity: 9 }, { samples: 8 })]);
    expect(notes).toEqual(['perplexity ran with different options (a, b); its numbers cannot be compared.']);
    expect(buildReport([evaluated('a', { perplexity: 10 }, { x: 1, y: 2 }), evaluated('b', { perplexity: 9 }, { y: 2, x: 1 })]).notes).toEqual([]);
  });

  it('pairs what a recipe would make with its model, and marks what was measured in an earlier run', () => {
    const recipe = { version: 1, name: 'rtn-w4', stages: [{ technique: 'rtn', options: { bits: 4, groupSize: 64 } }] };
    const document = (perplexity: number, cached: boolean, more: object = {}): object => ({
      model: 'models/tiny',
      metrics: { perplexity, 'other.perplexity': 1 + perplexity, bytes: 100 },
      evaluations: [
        { evaluator: 'size', metrics: { bytes: 100 }, cached: false },
        { evaluator: 'perplexity', metrics: { perplexity }, cached },
        { evaluator: 'other', metrics: { perplexity: 1 + perplexity }, cached },
      ],
      ...more,
    });
    const results = parseResults({ results: [document(10, true), document(11, true, { recipe }), document(12, false, { artifact: '/out/tiny/onnx/model_q4.onnx' })] }, 'several.json');
    const report = buildReport(results);
    expect(report.rows.map(({ role, name, summary }) => [role, name, summary])).toEqual([
      ['original', 'tiny', 'before compression'],
      ['compressed', 'tiny + rtn-w4', 'rtn, 4 bits, group 64'],
      ['measured', 'tiny/model_q4.onnx', 'measured only'],
    ]);
    const marks = report.rows.map(({ cells }) => Object.entries(cells).flatMap(([name, { cached }]) => (cached ? [name] : [])));
    expect(marks).toEqual([['perplexity', 'other.perplexity'], ['perplexity', 'other.perplexity'], []]);
    expect(report.rows[1]!.cells['perplexity']).toMatchObject({ change: 0.1, verdict: 'worse' });
    expect(renderMarkdown(report)).toContain('11 \\(▼ \\+10.0 %\\) ★ °');
    expect(renderCsv(report).split('\r\n').map((line) => line.split(',').at(-1))).toEqual(['cached', 'other.perplexity perplexity', 'other.perplexity perplexity', '', '']);
    expect(() => parseResults({ results: [{}] }, 'x.json')).toThrow(expect.objectContaining({ code: 'PARE_REPORT_INPUT_INVALID' }));
  });

  it('refuses results without a metric', () => {
    expect(() => buildReport([folder('a', { before: {}, after: {} })])).toThrow(expect.objectContaining({ code: 'PARE_REPORT_EMPTY' }));
    expect(() => buildReport([])).toThrow(expect.objectContaining({ code: 'PARE_REPORT_EMPTY' }));
  });

  it('gives no star where all values read the same', () => {
    const { rows } = buildReport([folder('a', { after: { perplexity: 11.00001 } }), folder('b', { after: { perplexity: 11.00002 } })]);
    expect(rows.map(({ cells }) => cells['perplexity']?.best)).toEqual([false, false, false]);
  });

  it('shades layers within a column and bits on one scale', () => {
    const [losses, bits] = folderLayers();
    expect(losses).toMatchObject({ title: 'Error by gptq', layers: ['0', '1'], columns: ['self_attn.q_proj'], cells: [[{ value: 1, shade: 0.25 }], [{ value: 4, shade: 1 }]] });
    expect(bits).toMatchObject({ title: 'Bits', cells: [[{ value: 4, shade: 0.25 }], [{ value: 4, shade: 0.25 }]] });
  });
});

it('says in a sentence what is the same everywhere', async () => {
  const report = buildReport([folder('a')]);
  expect(renderMarkdown(report)).toContain('4 in every layer and matrix.');
  expect(renderMarkdown(report)).toContain('| 1 | 4 |');
  const { document } = new JSDOM(await renderHtml(report)).window;
  expect([...document.querySelectorAll('#layers td')].map((cell) => cell.textContent)).toEqual(['1', '4']);
});

function folderLayers(): Report['rows'][number]['layers'] {
  return buildReport([folder('a')]).rows[1]!.layers;
}

describe('paretoFront', () => {
  it('agrees with the definition on many random sets', () => {
    let state = 1;
    const random = (): number => (state = (state * 48271) % 2147483647) % 6;
    for (let round = 0; round < 200; round++) {
      const points = Array.from({ length: 7 }, () => ({ x: random(), y: random() }));
      const front = paretoFront(points, 'higher');
      for (const [index, { x, y }] of points.entries()) {
        const beaten = points.some((other) => (other.x < x && other.y >= y) || (other.x === x && other.y > y));
        expect(front[index]).toBe(!beaten);
      }
    }
  });
});

describe('sizes', () => {
  it('puts every byte somewhere', () => {
    const size = breakDown(tensors);
    expect(size.total).toBe(374);
    expect(size.parts).toEqual([
      { part: 'codes', bytes: 200 },
      { part: 'scales', bytes: 40 },
      { part: 'zeros', bytes: 10 },
      { part: 'embedding', bytes: 100 },
      { part: 'norms', bytes: 8 },
      { part: 'other', bytes: 16 },
    ]);
    expect(size.kinds.map(({ kind, bytes }) => [kind, bytes])).toEqual([
      ['attention', 266],
      ['embedding', 100],
      ['norm', 8],
    ]);
  });

  it.each([
    ['transformer.h.3.ln_1.weight', 'norm', 'norms'],
    ['transformer.wte.weight', 'embedding', 'embedding'],
    ['gpt_neox.layers.0.attention.query_key_value.weight', 'attention', 'linear'],
    ['gpt_neox.layers.0.post_attention_layernorm.weight', 'norm', 'norms'],
    ['model.layers.0.self_attn.q_norm.weight', 'norm', 'norms'],
    ['model.decoder.layers.0.fc1.weight', 'feed-forward', 'linear'],
    ['model.decoder.final_layer_norm.bias', 'norm', 'norms'],
    ['model.decoder.embed_positions.weight', 'embedding', 'embedding'],
    ['lm_head.weight', 'head', 'head'],
    ['embed_out.weight', 'head', 'head'],
    ['lm_head.weight_packed', 'head', 'codes'],
    ['model.norm.weight', 'norm', 'norms'],
    ['transformer.ln_f.bias', 'norm', 'norms'],
    ['transformer.h.0.mlp.c_fc.weight', 'feed-forward', 'linear'],
    ['something.else', 'other', 'other'],
  ])('knows %s', (name, kind, part) => {
    expect([moduleKindOf(name), sizePartOf(name)]).toEqual([kind, part]);
  });
});

describe('formatting', () => {
  it('writes values for people', () => {
    expect([0, 999, 1023, 1536, 5449088, 3e12].map(formatBytes)).toEqual(['0 B', '999 B', '1023 B', '1.50 KiB', '5.20 MiB', '2.73 TiB']);
    expect([0, 12.7112, 1234.56, 0.00001234, 42].map(formatNumber)).toEqual(['0', '12.71', '1235', '1.23e-5', '42']);
    expect([-0.629, 0.03114, 0.0003, 12.5, 0, -1e-9].map(formatChange)).toEqual(['−62.9 %', '+3.1 %', '+0.03 %', '+1250 %', '0 %', '0 %']);
    expect(formatValue('accuracy', 0.98)).toBe('0.980');
    expect(formatValue('other.perplexity', 12.7112)).toBe('12.71');
    expect(meaningOf('other.perplexity')).toMatchObject({ label: 'Perplexity (other)', direction: 'lower' });
    expect(meaningOf('constructor')).toMatchObject({ direction: 'neutral' });
  });
});

describe('Markdown, CSV and JSON', () => {
  const hostile = (): Report => buildReport([folder('out/=1+1|<b>,"x"'), folder('out/w4', { after: { perplexity: 11.5, bytes: 280, parameters: 500 } })]);

  it('write tables that hostile names cannot break', () => {
    const markdown = renderMarkdown(hostile());
    const row = markdown.split('\n').find((line) => line.includes('=1'))!;
    expect(row.split(/(?<!\\)\|/)).toHaveLength(6);
    expect(row).not.toContain('<b>');
    const csv = renderCsv(hostile());
    expect(csv.split('\r\n')[0]).toBe('run,role,recipe,perplexity,bytes,parameters');
    expect(csv).toContain(`"'=1+1|<b>,""x""",compressed,"gptq, 4 bits, group 64",11,300,500\r\n`);
  });

  it('write the document', () => {
    expect(JSON.parse(renderJson(three()))).toMatchObject({ pareReport: 1, rows: expect.any(Array) as unknown });
  });
});

describe('renderHtml', () => {
  const page = async (report: Report): Promise<Document> => new JSDOM(await renderHtml(report)).window.document;

  it('holds table, plots in two widths, sizes, layers and provenance', async () => {
    const document = await page(three());
    expect(document.querySelector('h1')!.textContent).toBe('3 runs of tiny compared');
    const cells = [...document.querySelectorAll('#comparison tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent!.replace(/\s+/g, ' ').trim()));
    expect(cells[2]).toEqual(['w4gptq, 4 bits, group 64', '11▼ +10.0 % worse', '★ 300 B▲ −70.0 % better']);
    expect(document.querySelectorAll('#trade-off svg')).toHaveLength(2);
    expect(document.querySelector('#sizes svg desc')!.textContent).toContain('w4, 374 B: codes 200 B');
    expect(document.querySelectorAll('#layers details')).toHaveLength(3);
    expect(document.querySelector('#provenance')!.textContent).toContain('groupSize: 64');
    const links = [...document.querySelectorAll('nav a')].map((link) => link.getAttribute('href')!);
    for (const link of links) expect(document.querySelector(link), link).not.toBeNull();
  });

  it('draws each point where its values are on the axes', async () => {
    const document = await page(three());
    const svg = document.querySelector('#trade-off .wide svg')!;
    const place = (element: Element): [number, number] => {
      const [x, y] = /translate\(([-\d.]+),([-\d.]+)\)/.exec(element.getAttribute('transform')!)!.slice(1).map(Number);
      return [x!, y!];
    };
    const points = [...svg.querySelectorAll('.mark-symbol path')].map(place);
    const [yAxis] = [...svg.querySelectorAll('.mark-group.role-axis')].filter((axis) => axis.textContent!.includes('Perplexity'));
    const ticks = [...yAxis!.querySelectorAll('.role-axis-label text')].map((label) => ({ value: Number(label.textContent), y: place(label)[1] }));
    expect(ticks.length).toBeGreaterThan(2);
    const [first, last] = [ticks[0]!, ticks.at(-1)!];
    const slope = (last.y - first.y) / (last.value - first.value);
    const values = [10, 10.1, 11, 12];
    for (const [index, value] of values.entries()) {
      const expected = (value - 10) * slope;
      expect(points[index]![1] - points[0]![1]).toBeCloseTo(expected, 0);
    }
    expect(slope).toBeLessThan(0);
  });

  it('loads nothing and runs nothing', async () => {
    const text = await renderHtml(three());
    expect(text).not.toMatch(/https?:|\/\/[a-z]|<script|<link|<img|@import|url\(/i);
    expect(text).toContain("default-src 'none'");
  });

  it('shows hostile names as text', async () => {
    const name = `"><script>alert(1)</script><img src=x onerror=alert(2)>'&amp;`;
    const report = buildReport([folder(`out/${name.replaceAll('/', '∕')}`, { sourceName: name }), evaluated('plain', { [name]: 3, perplexity: 4 })], { title: name });
    const document = await page(report);
    expect(document.querySelectorAll('script, img')).toHaveLength(0);
    expect(document.querySelector('h1')!.textContent).toBe(name);
    expect(document.querySelector('#comparison thead')!.textContent).toContain(name);
    expect(document.querySelector('#trade-off desc')!.textContent).toContain(name.slice(0, 20));
  });

  it('is the same each time, with every id once', async () => {
    const text = await renderHtml(three());
    expect(await renderHtml(three())).toBe(text);
    const ids = [...new JSDOM(text).window.document.querySelectorAll('[id]')].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('makes do with a single measurement', async () => {
    const document = await page(buildReport([evaluated('models/tiny', { perplexity: 10 })]));
    expect(document.querySelector('#comparison')!.textContent).toContain('tiny');
    expect(document.querySelectorAll('svg')).toHaveLength(0);
  });

  it('has no finding of axe', async () => {
    const dom = new JSDOM(await renderHtml(three()), { runScripts: 'outside-only' });
    dom.window.eval(axe.source);
    // Rules about colours need a layout, which a document without a browser does not have.
    const results = await (dom.window as unknown as { axe: typeof axe }).axe.run(dom.window.document, { rules: { 'color-contrast': { enabled: false } } });
    expect(results.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)).toEqual([]);
    expect(results.passes.length).toBeGreaterThan(15);
  });
});
