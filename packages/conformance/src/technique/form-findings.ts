import type { ModulePlan, ModuleReport, WeightForm } from '@pare/core';
import { denseFloat32, deserializeForm, quantizedPart, serializeForm, storedBits, structureProblem, writtenBits } from '@pare/weights';
import { isDeepStrictEqual } from 'node:util';
import type { Finding } from '../kit/finding.js';

/** What a plan says about a module, as far as it says it. */
function promisedBy(entry: ModulePlan, form: WeightForm): Record<string, unknown> {
  const kept = promiseOf(form);
  const promised: Record<string, unknown> = { ...kept, form: entry.produces };
  if (entry.estimated !== true) promised['storedBits'] = entry.storedBits;
  for (const name of ['bits', 'groupSize', 'symmetric', 'groupIndex', 'numbers'] as const) if (name in kept && entry[name] !== undefined) promised[name] = entry[name];
  if (form.form === 'factorized' && entry.estimated !== true) promised['rank'] = entry.rank;
  if (form.form === 'sparse') Object.assign(promised, { pattern: entry.sparsity?.pattern, writtenBits: entry.writtenBits });
  return promised;
}

function promiseOf(form: WeightForm): Record<string, unknown> {
  const kept: Record<string, unknown> = { form: form.form, storedBits: storedBits(form) };
  const quantized = quantizedPart(form);
  if (quantized !== undefined) {
    const { bits, groupSize, symmetric, numbers } = quantized.scheme;
    Object.assign(kept, { bits, groupSize, symmetric, groupIndex: quantized.groupIndex !== undefined, ...(numbers === undefined ? {} : { numbers }) });
  }
  if (form.form === 'factorized') kept['rank'] = form.left.shape[1];
  if (form.form === 'sparse') Object.assign(kept, { pattern: form.pattern, writtenBits: writtenBits(form) });
  return kept;
}

/** Where a result is not what its plan promised. Bytes are what users choose models by. */
export function promiseFindings(name: string, entry: ModulePlan, form: WeightForm): Finding[] {
  const [kept, promised] = [promiseOf(form), promisedBy(entry, form)];
  return Object.keys(promised).flatMap((what): Finding[] => {
    if (isDeepStrictEqual(kept[what], promised[what])) return [];
    const bytes = what === 'storedBits' || what === 'writtenBits';
    return [
      {
        fault: bytes ? `${name} plans other bytes than it stores for ${entry.module}` : `${name} plans another ${what} than it makes of ${entry.module}`,
        expected: `${what} ${JSON.stringify(promised[what])}, as plan promised`,
        found: `${what} ${JSON.stringify(kept[what])}`,
        advice: bytes
          ? 'count codes, scales, zeros, masks and indices in plan, as storedBits of @pare/weights does; set estimated: true only where the size hangs on the weights'
          : 'make plan and apply take their figures from one function',
      },
    ];
  });
}

/** Where a plan does not have exactly one entry for each target. */
export function planTargetFindings(name: string, plan: readonly ModulePlan[], targets: readonly string[]): Finding[] {
  const planned = plan.map(({ module }) => module);
  if (isDeepStrictEqual(planned, targets)) return [];
  const missing = targets.filter((target) => !planned.includes(target));
  const foreign = planned.filter((module) => !targets.includes(module));
  const twice = planned.filter((module, index) => planned.indexOf(module) !== index);
  const found = [
    ...(missing.length > 0 ? [`nothing for ${missing.join(', ')}`] : []),
    ...(foreign.length > 0 ? [`an entry for ${foreign.join(', ')}, which the stage does not target`] : []),
    ...(twice.length > 0 ? [`more than one for ${twice.join(', ')}`] : []),
  ];
  return [{ fault: `${name} plans other targets than it was given`, expected: 'one entry for each target, in their order', found: found.join('; ') || 'another order', advice: 'plan: (targets) => targets.map(({ info }) => ({ module: info.name, … }))' }];
}

/** What is wrong with the figures of a plan. */
export function planFigureFindings(name: string, plan: readonly ModulePlan[], produces: readonly string[]): Finding[] {
  return plan.flatMap((entry) => [
    ...(produces.includes(entry.produces) ? [] : [{ fault: `${name} plans a form that it does not declare`, expected: `one of produces: ${produces.join(', ')}`, found: `${entry.produces} for ${entry.module}`, advice: 'list every form in produces' }]),
    ...(['storedBits', 'flops', 'workingBytes'] as const)
      .filter((figure) => !(Number.isFinite(entry[figure]) && entry[figure] >= 0))
      .map((figure) => ({ fault: `${name} plans an impossible ${figure}`, expected: 'a finite number, 0 or more', found: `${String(entry[figure])} for ${entry.module}`, advice: 'compute it from info.shape and the options alone' })),
  ]);
}

/** A result must have its module's shape, agree with itself, stand for finite values, and survive being written and read. */
export function formFindings(name: string, module: string, form: WeightForm | undefined, shape: readonly number[]): Finding[] {
  if (form === undefined) return [{ fault: `${name} forgets a module: ${module} was not replaced`, expected: 'module.replace once for every module of the call', found: 'no result', advice: 'hand in the weight as it was, with a fallback report, where nothing can be done' }];
  const findings: Finding[] = [];
  if (!isDeepStrictEqual([...form.shape], [...shape])) findings.push({ fault: `${name} changes the shape of ${module}`, expected: JSON.stringify(shape), found: JSON.stringify(form.shape), advice: 'shapes are [out, in], whatever the storage layout' });
  if (form.form === 'shared') return findings;
  const problem = structureProblem(form);
  if (problem !== undefined) {
    const fault = /NaN|Infinity|not finite/.test(problem) ? 'makes numbers that are not finite' : 'hands in a weight that contradicts itself';
    return [...findings, { fault: `${name} ${fault}`, expected: 'finite values, and parts whose sizes and ranges agree', found: `${module}: ${problem}`, advice: 'guard divisions by zero scales, norms and diagonals; WeightForm in @pare/core says what each part holds' }];
  }
  const bad = denseFloat32(form).findIndex((value) => !Number.isFinite(value));
  if (bad !== -1) return [...findings, { fault: `${name} makes numbers that are not finite`, expected: 'finite values', found: `${module}: element ${String(bad)} is not finite`, advice: 'look for products of parts that overflow, each finite by itself' }];
  const { tensors, metadata } = serializeForm(form);
  const read = deserializeForm(tensors, metadata);
  if (!sameForm(form, read)) findings.push({ fault: `${name} makes a result that does not come back from disk`, expected: 'the same parts and scheme', found: `${module} differs after writing and reading`, advice: 'round scales to scaleType before they are handed in, and use codes of the stated bits' });
  return findings;
}

/** Reports hold finite numbers. */
export function reportFindings(name: string, module: string, report: ModuleReport): Finding[] {
  return [['loss', report.loss ?? 0] as const, ...Object.entries(report.details ?? {})]
    .filter(([, value]) => !Number.isFinite(value))
    .map(([what, value]) => ({ fault: `${name} reports a number that JSON cannot hold`, expected: 'finite numbers', found: `${module}: ${what} is ${String(value)}`, advice: 'leave it out where it does not exist' }));
}

/** True for forms with the same parts, to the bit. */
export function sameForm(a: WeightForm, b: WeightForm): boolean {
  const [first, second] = [serializeForm(a), serializeForm(b)];
  if (!isDeepStrictEqual(first.metadata, second.metadata)) return false;
  const bytes = ({ data }: { readonly data: ArrayBufferView }): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Object.entries(first.tensors).every(([part, tensor]) => second.tensors[part] !== undefined && bytes(tensor).equals(bytes(second.tensors[part])));
}

/** Share of the weights that two results have in common, to a thousandth of the largest. */
export function agreement(a: WeightForm, b: WeightForm): number {
  if (a.form === 'shared' || b.form === 'shared') return a.form === b.form ? 1 : 0;
  const [first, second] = [denseFloat32(a), denseFloat32(b)];
  const largest = first.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const equal = first.reduce((sum, value, index) => sum + (Math.abs(value - second[index]!) <= 1e-3 * largest ? 1 : 0), 0);
  return equal / first.length;
}
