import { dtypeBits, type DType } from '@pare/core';
import { ExpressionPrinter, foldWorkgroups, position, scalarTypeOf, type DeviceTraits, type KernelLanguage, type LineKernel, type MapKernel, type PrintedKernel, type ReduceKernel } from '@pare/executor';
import { dialect, storageType } from './dialect.js';
import { combineText, neutralText, typeName } from './operations.js';
import { prelude } from './prelude.gen.js';

/* Generated kernels in WGSL. */

/** Invocations of a workgroup that computes elements by themselves. */
const mapWidth = 64;

/** Prints generated kernels in WGSL. */
export const wgsl: KernelLanguage = {
  print(kernel, traits) {
    switch (kernel.kind) {
      case 'map':
        return printMap(kernel, traits);
      case 'reduce':
        return printReduce(kernel, traits);
      case 'lines':
        return printLines(kernel, traits);
    }
  },
};

/** An element's bits as they are stored in a word. */
function storedBits(dtype: DType, value: string): string {
  switch (dtype) {
    case 'float16':
      return `halfFromF32(${value})`;
    case 'bfloat16':
      return `brainFromF32(${value})`;
    case 'bool':
      return `select(0u, 1u, ${value})`;
    default:
      return scalarTypeOf(dtype) === 'i32' ? `bitcast<u32>(${value})` : value;
  }
}

const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);

function printMap({ name, dtype, count, value }: MapKernel, traits: DeviceTraits): PrintedKernel {
  const printer = new ExpressionPrinter(dialect);
  const bits = dtypeBits(dtype);
  const end = printer.size(count);
  if (bits >= 32) {
    const body = printer.inside(position.name, () => {
      const result = printer.print(value);
      printer.lines.push(`result[${position.name}] = ${result};`);
    });
    const lines = [`let ${position.name} = invocation(id, groups);`, ...printer.lines, `if (${position.name} >= ${end}) { return; }`, ...body];
    return finish(name, printer, dtype, lines, foldWorkgroups(Math.ceil(count / mapWidth), traits.maximumWorkgroups));
  }
  // One invocation fills a whole word: neighbours must not write parts of one word at once.
  const perWord = 32 / bits;
  const body = printer.inside(position.name, () => {
    const result = printer.print(value);
    printer.lines.push(`word |= (${storedBits(dtype, result)} & ${String(bits === 16 ? 0xffff : (1 << bits) - 1)}u) << (u32(lane) * ${String(bits)}u);`);
  });
  const lines = [
    'let first = invocation(id, groups);',
    ...printer.lines,
    `if (first * ${String(perWord)} >= ${end}) { return; }`,
    'var word = 0u;',
    `for (var lane = 0; lane < ${String(perWord)}; lane++) {`,
    `  let ${position.name} = first * ${String(perWord)} + lane;`,
    `  if (${position.name} >= ${end}) { break; }`,
    ...indent(body),
    '}',
    'result[first] = word;',
  ];
  return finish(name, printer, dtype, lines, foldWorkgroups(Math.ceil(count / perWord / mapWidth), traits.maximumWorkgroups));
}

function printReduce({ name, dtype, count, extent, reduction, variable, body }: ReduceKernel, traits: DeviceTraits): PrintedKernel {
  const printer = new ExpressionPrinter(dialect);
  const type = body.type;
  const width = extent <= 64 ? 32 : Math.min(256, traits.maximumInvocations);
  const end = printer.size(extent);
  const total = printer.size(count);
  const counter = printer.counter(variable);
  const { before, body: inner } = printer.insideLoop(variable, () => {
    const value = printer.print(body);
    printer.lines.push(`combination = ${combineText(reduction, type, 'combination', value)};`);
  });
  const lines = [
    `let ${position.name} = i32(group.y * groups.x + group.x);`,
    ...printer.lines,
    `if (${position.name} >= ${total}) { return; }`,
    ...before,
    `var combination: ${typeName(type)} = ${neutralText(reduction, type)};`,
    `for (var ${counter} = i32(local); ${counter} < ${end}; ${counter} += ${String(width)}) {`,
    ...indent(inner),
    '}',
    'shared_values[local] = combination;',
    'workgroupBarrier();',
    `for (var span = ${String(width / 2)}u; span > 0u; span >>= 1u) {`,
    `  if (local < span) { shared_values[local] = ${combineText(reduction, type, 'shared_values[local]', 'shared_values[local + span]')}; }`,
    '  workgroupBarrier();',
    '}',
    `if (local == 0u) { result[${position.name}] = shared_values[0]; }`,
  ];
  return finish(name, printer, dtype, lines, foldWorkgroups(count, traits.maximumWorkgroups), { width, shared: `var<workgroup> shared_values: array<${typeName(type)}, ${String(width)}>;` });
}

function printLines({ name, dtype, count, extent, variable, mode, reduction, exclusive, target, value }: LineKernel, traits: DeviceTraits): PrintedKernel {
  const printer = new ExpressionPrinter(dialect);
  const type = value.type;
  const end = printer.size(extent);
  const total = printer.size(count);
  const counter = printer.counter(variable);
  const { before, body: inner } = printer.insideLoop(variable, () => {
    const at = printer.print(target);
    const element = printer.print(value);
    if (mode === 'scatter') {
      printer.lines.push(`result[${at}] = ${reduction === 'replace' ? element : combineText(reduction, type, `result[${at}]`, element)};`);
      return;
    }
    const next = `running = ${combineText(reduction === 'replace' ? 'sum' : reduction, type, 'running', element)};`;
    const write = `result[${at}] = running;`;
    printer.lines.push(...(exclusive ? [write, next] : [next, write]));
  });
  const lines = [
    `let ${position.name} = invocation(id, groups);`,
    ...printer.lines,
    `if (${position.name} >= ${total}) { return; }`,
    ...before,
    ...(mode === 'scan' ? [`var running: ${typeName(type)} = ${neutralText(reduction === 'replace' ? 'sum' : reduction, type)};`] : []),
    `for (var ${counter} = 0; ${counter} < ${end}; ${counter}++) {`,
    ...indent(inner),
    '}',
  ];
  return finish(name, printer, dtype, lines, foldWorkgroups(Math.ceil(count / mapWidth), traits.maximumWorkgroups));
}

function finish(name: string, printer: ExpressionPrinter, dtype: DType, lines: readonly string[], workgroups: PrintedKernel['workgroups'], group?: { readonly width: number; readonly shared: string }): PrintedKernel {
  const { buffers } = printer;
  const uniforms = printer.uniforms();
  const width = group?.width ?? mapWidth;
  const declarations = [
    `@group(0) @binding(0) var<storage, read_write> result: array<${storageType(dtype)}>;`,
    ...buffers.map((buffer, index) => `@group(0) @binding(${String(index + 1)}) var<storage, read> ${buffer.name}: array<${storageType(buffer.dtype)}>;`),
    ...(uniforms === undefined ? [] : [`@group(0) @binding(${String(buffers.length + 1)}) var<uniform> uniforms: array<vec4u, ${String(uniforms.length / 4)}>;`]),
    ...(group === undefined ? [] : [group.shared]),
    `fn invocation(id: vec3u, groups: vec3u) -> i32 { return i32(id.y * (groups.x * ${String(width)}u) + id.x); }`,
  ];
  const code = [
    prelude,
    ...declarations,
    `@compute @workgroup_size(${String(width)})`,
    'fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {',
    // Grids are folded over two axes, so the third is 1.
    '  runtimeZero = groups.z - 1u;',
    ...indent(lines),
    '}',
    '',
  ].join('\n');
  return { source: { name, code, entry: 'main', constants: {} }, inputs: buffers.map(({ reference }) => reference), uniforms, workgroups };
}
