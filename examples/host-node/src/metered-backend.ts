import { defineBackend, type Backend, type BackendPlugin, type Executable } from '@pare/core';

/** What a backend was asked to do since the meter was last read. */
export interface Meter {
  graphRuns: number;
  bytesWritten: number;
}

/**
 * A backend of one's own, the short way: another one with something around it. This one counts, so that a job can say what it cost; a queue for a shared device, a trace, or a
 * limit would stand in the same place.
 */
export function meteredBackend<O>(inner: BackendPlugin<O>, meter: Meter): BackendPlugin<O> {
  return defineBackend({
    ...inner,
    id: 'metered',
    title: `${inner.title}, metered`,
    summary: `${inner.summary} Counts graph runs and bytes.`,
    // One better than what it stands around, so that "auto" takes it.
    score: async () => {
      const found = await inner.score();
      return { ...found, score: found.score === 0 ? 0 : found.score + 1 };
    },
    create: async (options, context) => meterBackend(await inner.create(options, context), meter),
  });
}

function meterBackend(inner: Backend, meter: Meter): Backend {
  return {
    id: 'metered',
    device: inner.device,
    allocate: (dtype, shape) => inner.allocate(dtype, shape),
    write: (tensor, options) => {
      meter.bytesWritten += tensor.data.byteLength;
      return inner.write(tensor, options);
    },
    read: (tensor) => inner.read(tensor),
    unsupported: (graph) => inner.unsupported(graph),
    ...(inner.fallbacks === undefined ? {} : { fallbacks: (graph) => inner.fallbacks!(graph) }),
    compile: async (graph) => meterExecutable(await inner.compile(graph), meter),
    synchronize: () => inner.synchronize(),
    memory: () => inner.memory(),
    capability: (ref) => inner.capability(ref),
    scope: () => inner.scope(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

function meterExecutable(inner: Executable, meter: Meter): Executable {
  return {
    graph: inner.graph,
    run: (inputs, options) => {
      meter.graphRuns++;
      return inner.run(inputs, options);
    },
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}
