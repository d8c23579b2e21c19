import { dtypeBits, type DType } from '@pare/core';
import { ExpressionPrinter, foldWorkgroups, position, type DeviceTraits, type KernelLanguage, type LineKernel, type MapKernel, type PrintedKernel, type ReduceKernel } from '@pare/executor';
import { dialect, storageType, storedText, typeName } from './dialect.js';
import { prelude } from './prelude.gen.js';

/* Generated kernels in CUDA C++. */

/** Invocations of a block that computes elements by themselves. */
const mapWidth = 256;
/** Invocations of a block whose invocations go through lines. */
const lineWidth = 64;

/** Prints generated kernels in CUDA C++. */
export const cuda: KernelLanguage = {
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

const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);
const ownPosition = `const int ${position.name} = (int)((blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x);`;

function printMap({ name, dtype, count, value }: MapKernel, traits: DeviceTraits): PrintedKernel {
  const printer = new ExpressionPrinter(dialect);
  const end = printer.size(count);
  if (dtypeBits(dtype) >= 8) {
    const body = printer.inside(position.name, () => {
      const result = printer.print(value);
      printer.lines.push(`result[${position.name}] = ${storedText(dtype, result)};`);
    });
    const lines = [ownPosition, ...printer.lines, `if (${position.name} >= ${end}) return;`, ...body];
    return finish(name, printer, dtype, lines, foldWorkgroups(Math.ceil(count / mapWidth), traits.maximumWorkgroups), mapWidth);
  }
  // One invocation fills a whole byte: neighbours must not write halves of one byte at once.
  const body = printer.inside(position.name, () => {
    const result = printer.print(value);
    printer.lines.push(`bits |= ((u32)${result} & 15u) << (half * 4);`);
  });
  const lines = [
    ownPosition.replace(position.name, 'byte'),
    ...printer.lines,
    `if (byte * 2 >= ${end}) return;`,
    'u32 bits = 0;',
    'for (int half = 0; half < 2; half++) {',
    `  const int ${position.name} = byte * 2 + half;`,
    `  if (${position.name} >= ${end}) break;`,
    ...indent(body),
    '}',
    'result[byte] = (u8)bits;',
  ];
  return finish(name, printer, dtype, lines, foldWorkgroups(Math.ceil(count / 2 / mapWidth), traits.maximumWorkgroups), mapWidth);
}

function printReduce({ name, dtype, count, extent, reduction, variable, body }: ReduceKernel, traits: DeviceTraits): PrintedKernel {
  const printer = new ExpressionPrinter(dialect);
  const { type } = body;
  const width = extent <= 64 ? 32 : 256;
  const end = printer.size(extent);
  const total = printer.size(count);
  const counter = printer.counter(variable);
  const { before, body: inner } = printer.insideLoop(variable, () => {
    const value = printer.print(body);
    printer.lines.push(`combination = ${dialect.combine(reduction, type, 'combination', value)};`);
  });
  const combined = (other: string): string => `combination = ${dialect.combine(reduction, type, 'combination', other)};`;
  // Invocations of a warp exchange values by themselves; warps meet in shared memory.
  const exchange = (from: number): string[] => [`for (int span = ${String(from)}; span > 0; span >>= 1) {`, `  const ${typeName(type)} other = __shfl_down_sync(0xffffffffu, combination, span);`, `  ${combined('other')}`, '}'];
  const lines = [
    `const int ${position.name} = (int)(blockIdx.y * gridDim.x + blockIdx.x);`,
    ...printer.lines,
    `if (${position.name} >= ${total}) return;`,
    ...before,
    dialect.variable('combination', type, dialect.neutral(reduction, type)),
    dialect.loop(counter, '(int)threadIdx.x', end, String(width)),
    ...indent(inner),
    '}',
    ...exchange(16),
    ...(width === 32
      ? []
      : [
          `__shared__ ${typeName(type)} warps[${String(width / 32)}];`,
          'if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = combination;',
          '__syncthreads();',
          'if (threadIdx.x >= 32) return;',
          `combination = threadIdx.x < ${String(width / 32)} ? warps[threadIdx.x] : ${dialect.neutral(reduction, type)};`,
          ...exchange(width / 64),
        ]),
    `if (threadIdx.x == 0) result[${position.name}] = ${storedText(dtype, 'combination')};`,
  ];
  return finish(name, printer, dtype, lines, foldWorkgroups(count, traits.maximumWorkgroups), width);
}

function printLines({ name, dtype, count, extent, variable, mode, reduction, exclusive, elements, target, value }: LineKernel, traits: DeviceTraits): PrintedKernel {
  const printer = new ExpressionPrinter(dialect);
  const { type } = value;
  const end = printer.size(extent);
  const total = printer.size(count);
  const counter = printer.counter(variable);
  const { before, body: inner } = printer.insideLoop(variable, () => {
    const at = printer.print(target);
    const inside = `if ((u32)${at} < (u32)${printer.size(elements)}) `;
    const element = printer.print(value);
    if (mode === 'scatter') {
      printer.lines.push(`${inside}result[${at}] = ${storedText(dtype, reduction === 'replace' ? element : dialect.combine(reduction, type, `(${typeName(type)})result[${at}]`, element))};`);
      return;
    }
    const next = `running = ${dialect.combine(reduction === 'replace' ? 'sum' : reduction, type, 'running', element)};`;
    const write = `${inside}result[${at}] = ${storedText(dtype, 'running')};`;
    printer.lines.push(...(exclusive ? [write, next] : [next, write]));
  });
  const lines = [
    ownPosition,
    ...printer.lines,
    `if (${position.name} >= ${total}) return;`,
    ...before,
    ...(mode === 'scan' ? [dialect.variable('running', type, dialect.neutral(reduction === 'replace' ? 'sum' : reduction, type))] : []),
    dialect.loop(counter, '0', end, '1'),
    ...indent(inner),
    '}',
  ];
  return finish(name, printer, dtype, lines, foldWorkgroups(Math.ceil(count / lineWidth), traits.maximumWorkgroups), lineWidth);
}

function finish(name: string, printer: ExpressionPrinter, dtype: DType, lines: readonly string[], workgroups: PrintedKernel['workgroups'], width: number): PrintedKernel {
  const { buffers } = printer;
  const uniforms = printer.uniforms();
  const parameters = [
    `${storageType(dtype)}* __restrict__ result`,
    ...buffers.map((buffer) => `const ${storageType(buffer.dtype)}* __restrict__ ${buffer.name}`),
    ...(uniforms === undefined ? [] : ['const u32* __restrict__ uniforms']),
  ];
  const code = [prelude, `extern "C" __global__ void __launch_bounds__(${String(width)}) generated(${parameters.join(', ')}) {`, ...indent(lines), '}', ''].join('\n');
  return { source: { name, code, entry: 'generated', constants: {}, invocations: width }, inputs: buffers.map(({ reference }) => reference), uniforms, workgroups };
}
