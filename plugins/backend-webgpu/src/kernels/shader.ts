import type { KernelSource } from '@pare/executor';

export { uniformWords, type Float } from '@pare/executor';

/* WGSL needs tile sizes of private arrays, element types and bindings as text. A .wgsl file may say them with a few directives, each alone on its line:

     #if NAME / #if !NAME … #else … #end    lines for one value of a flag
     #for i < COUNT … #end                  the lines COUNT times, with $i replaced by 0, 1, …: register tiles are unrolled, so that every index is constant

   Numbers become `const NAME = value;` after the text. Directives become empty lines and unrolled copies stand on one line, so the line numbers of a compiler's
   messages are those of the file. */

/** Values of a kernel's flags and constants. */
export type ShaderValues = Readonly<Record<string, number | boolean>>;

/** The WGSL of a .wgsl file with its directives carried out. `libraries` are texts of functions that it calls, with the same directives. */
export function specialise(text: string, values: ShaderValues, libraries: readonly string[] = []): string {
  const constants = Object.entries(values).flatMap(([name, value]) => (typeof value === 'number' ? [`const ${name} = ${String(value)};`] : []));
  return [carryOut(text, values), ...constants, ...libraries.map((library) => carryOut(library, values))].join('\n');
}

function carryOut(text: string, values: ShaderValues): string {
  const lines = text.split('\n');
  const output = new Array<string>(lines.length).fill('');
  const position = expand(lines, 0, values, output);
  if (position !== lines.length) throw new RangeError(`line ${String(position + 1)}: ${lines[position]!.trim()} without #if or #for`);
  return output.join('\n');
}

/** Writes lines from `from` up to the #end or #else that belongs to none of them, and returns its position. */
function expand(lines: readonly string[], from: number, values: ShaderValues, output: string[]): number {
  let position = from;
  while (position < lines.length) {
    const line = lines[position]!.trim();
    if (line === '#end' || line === '#else') return position;
    const condition = /^#if (!?)(\w+)$/.exec(line);
    const loop = /^#for (\w+) < (\w+)$/.exec(line);
    if (condition !== null) {
      const holds = Boolean(lookUp(values, condition[2]!, position)) !== (condition[1] === '!');
      const skipped = new Array<string>(lines.length);
      let end = expand(lines, position + 1, values, holds ? output : skipped);
      if (lines[end]?.trim() === '#else') end = expand(lines, end + 1, values, holds ? skipped : output);
      position = end + 1;
    } else if (loop !== null) {
      const given = /^\d+$/.test(loop[2]!) ? Number(loop[2]) : lookUp(values, loop[2]!, position);
      const body = new Array<string>(lines.length).fill('');
      const end = expand(lines, position + 1, values, body);
      const once = body
        .slice(position + 1, end)
        .map((part) => part.replace(/\/\/.*/, '').trim())
        .filter((part) => part !== '')
        .join(' ');
      output[position + 1] = Array.from({ length: Number(given) }, (_, index) => once.replaceAll(new RegExp(`\\$${loop[1]!}\\b`, 'g'), String(index))).join(' ');
      position = end + 1;
    } else {
      if (line.startsWith('#')) throw new RangeError(`line ${String(position + 1)}: ${line} is no directive`);
      output[position] = lines[position]!;
      position += 1;
    }
  }
  return position;
}

function lookUp(values: ShaderValues, name: string, position: number): number | boolean {
  const value = values[name];
  if (value === undefined) throw new RangeError(`line ${String(position + 1)}: ${name} has no value`);
  return value;
}

const cache = new Map<string, KernelSource>();

/** A kernel of a file. Equal names and values give the same object, so that its text is made once. */
export function kernel(
  name: string,
  text: string,
  values: ShaderValues = {},
  libraries: readonly string[] = [],
): KernelSource {
  const key = JSON.stringify([name, values]);
  let source = cache.get(key);
  if (source === undefined) {
    source = { name, code: specialise(text, values, libraries), entry: 'main', constants: {} };
    cache.set(key, source);
  }
  return source;
}
