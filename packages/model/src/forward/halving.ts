import { isPareError, type DeviceTensor, type Executable, type RunOptions } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import type { RunnerContext } from './context.js';

/** True for the failure that fewer windows at a time may avoid. */
function isOutOfMemory(error: unknown): boolean {
  return isPareError(error) && error.code === 'PARE_BACKEND_OUT_OF_MEMORY';
}

/**
 * Runs a graph over windows `hidden` [windows, length, size]. When the backend runs out of memory, once: over the first half of the windows, then over the rest.
 *
 * @param between inputs of the second half that follow from the outputs of the first (running sums)
 * @param join outputs of both halves into those of the whole; owns what it is given
 * @throws PARE_BACKEND_OUT_OF_MEMORY for half of the windows too
 */
export async function runOrHalve(
  context: RunnerContext,
  executable: Executable,
  inputs: Readonly<Record<string, DeviceTensor>>,
  hidden: DeviceTensor,
  between: (first: Readonly<Record<string, DeviceTensor>>) => Readonly<Record<string, DeviceTensor>>,
  join: (first: Record<string, DeviceTensor>, second: Record<string, DeviceTensor>) => Promise<Record<string, DeviceTensor>>,
): Promise<Record<string, DeviceTensor>> {
  const options: RunOptions = context.signal === undefined ? {} : { signal: context.signal };
  try {
    return await executable.run({ ...inputs, hidden }, options);
  } catch (error) {
    const windows = hidden.shape[0]!;
    if (!isOutOfMemory(error) || windows < 2) throw error;
    const middle = Math.ceil(windows / 2);
    using scope = context.backend.scope();
    const halves = await (await context.executables.get(`halve ${String(windows)} ${hidden.shape.join()}`, () => splitGraph(hidden, middle))).run({ hidden }, options);
    const [front, back] = [scope.own(halves['front']!), scope.own(halves['back']!)];
    const first = await executable.run({ ...inputs, hidden: front }, options);
    for (const tensor of Object.values(first)) scope.own(tensor);
    const second = await executable.run({ ...inputs, ...between(first), hidden: back }, options);
    for (const tensor of Object.values(first)) scope.keep(tensor);
    return join(first, second);
  }
}

function splitGraph({ shape }: DeviceTensor, middle: number): ReturnType<GraphBuilder['build']> {
  const builder = new GraphBuilder('halve');
  const hidden = builder.input('hidden', 'float32', [...shape]);
  builder.output(builder.slice(hidden, 0, 0, middle), 'front');
  builder.output(builder.slice(hidden, 0, middle, shape[0]!), 'back');
  return builder.build();
}

/** Both halves' `output` one after the other. */
export async function joinOutputs(context: RunnerContext, first: Record<string, DeviceTensor>, second: Record<string, DeviceTensor>): Promise<Record<string, DeviceTensor>> {
  using scope = context.backend.scope();
  const [front, back] = [scope.own(first['output']!), scope.own(second['output']!)];
  const executable = await context.executables.get(`join ${front.shape.join()} ${back.shape.join()}`, () => {
    const builder = new GraphBuilder('join');
    builder.output(builder.concat([builder.input('front', 'float32', [...front.shape]), builder.input('back', 'float32', [...back.shape])], 0), 'output');
    return builder.build();
  });
  return executable.run({ front, back });
}
