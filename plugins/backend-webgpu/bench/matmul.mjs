/**
 * Times the matrix products' kernels on the adapter that Dawn finds, and prints one JSON document: the device, and TFLOP/s of every variant per shape.
 *
 *   npx tsc --build && node bench/matmul.mjs [--size 4096] [--seconds 0.5] [--shapes large|decode|all]
 *
 * Each figure is the best of three runs of at least --seconds, from submission to the end of the queue, of launches in one pass; a first run is thrown away.
 */
import { create, globals } from 'webgpu';
import { fits, matMul, tiledVariants, variantName } from '../dist/kernels/index.js';

Object.assign(globalThis, globals);

function option(name, fallback) {
  const index = process.argv.indexOf(`--${name}`);
  return index === -1 ? fallback : process.argv[index + 1];
}

const size = Number(option('size', '4096'));
const seconds = Number(option('seconds', '0.5'));
const which = option('shapes', 'all');

// The object that create() returns has to live as long as the process.
const gpu = create([]);
const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
if (adapter === null) {
  process.stderr.write('Dawn finds no adapter: install a Vulkan driver, or set VK_DRIVER_FILES to one.\n');
  process.exit(1);
}
const wanted = ['maxComputeWorkgroupStorageSize', 'maxStorageBufferBindingSize', 'maxBufferSize', 'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX'];
const device = await adapter.requestDevice({ requiredLimits: Object.fromEntries(wanted.map((name) => [name, adapter.limits[name]])) });
device.addEventListener('uncapturederror', (event) => process.stderr.write(`${event.error.message}\n`));
const traits = {
  language: 'WGSL',
  maximumWorkgroups: device.limits.maxComputeWorkgroupsPerDimension,
  maximumInvocations: device.limits.maxComputeInvocationsPerWorkgroup,
  workgroupMemory: device.limits.maxComputeWorkgroupStorageSize,
  maximumBinding: device.limits.maxStorageBufferBindingSize,
  offsetAlignment: device.limits.minStorageBufferOffsetAlignment,
  maximumOperands: device.limits.maxStorageBuffersPerShaderStage,
  subgroupSize: 0,
  float16: false,
};

function buffer(bytes, usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST) {
  return device.createBuffer({ size: Math.ceil(bytes / 4) * 4, usage });
}

/** A buffer of values between −1 and 1; zeros would run at another clock. */
function randomBuffer(count) {
  const values = new Float32Array(count);
  let state = 12345;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[index] = state / 2 ** 31;
  }
  const result = buffer(count * 4);
  device.queue.writeBuffer(result, 0, values);
  return result;
}

function prepare(program, buffers) {
  return program.dispatches.map(({ kernel, operands, uniforms, workgroups }) => {
    const module = device.createShaderModule({ code: kernel.code });
    const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: kernel.entry, constants: kernel.constants } });
    const entries = operands.map(({ buffer: name, offset = 0, size: bytes }, binding) => ({ binding, resource: { buffer: buffers[name], offset, size: bytes } }));
    if (uniforms !== undefined) {
      const words = buffer(uniforms.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
      device.queue.writeBuffer(words, 0, uniforms);
      entries.push({ binding: entries.length, resource: { buffer: words } });
    }
    return { pipeline, group: device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }), workgroups };
  });
}

async function launch(steps, times) {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (let index = 0; index < times; index++) {
    for (const { pipeline, group, workgroups } of steps) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...workgroups);
    }
  }
  pass.end();
  const commands = encoder.finish();
  const start = performance.now();
  device.queue.submit([commands]);
  await device.queue.onSubmittedWorkDone();
  return (performance.now() - start) / 1000;
}

/** Seconds of one execution of a program. */
async function time(program, buffers) {
  const made = [];
  for (const { name, bytes } of program.temporaries) {
    buffers = { ...buffers, [name]: buffer(bytes) };
    made.push(buffers[name]);
  }
  const steps = prepare(program, buffers);
  await launch(steps, 1);
  const once = await launch(steps, 3) / 3;
  const times = Math.max(1, Math.min(2000, Math.ceil(seconds / once)));
  let best = Infinity;
  for (let run = 0; run < 3; run++) best = Math.min(best, (await launch(steps, times)) / times);
  for (const temporary of made) temporary.destroy();
  return best;
}

const large = [
  { name: 'square', m: size, n: size, k: size },
  { name: 'linear', m: size, n: size, k: size, transposeB: true },
  { name: 'gram', m: size / 2, n: size / 2, k: size * 4, transposeA: true },
  { name: 'small gram', m: size / 8, n: size / 8, k: size * 4, transposeA: true },
  { name: 'unaligned', m: size - 1, n: size - 1, k: size - 1 },
  { name: 'medium', m: size / 8, n: size / 4, k: size / 4, transposeB: true },
];
const decode = [1, 4, 16].flatMap((m) => [
  { name: `decode ${String(m)}`, m, n: size, k: size, transposeB: true },
  { name: `decode ${String(m)}, b by rows`, m, n: size, k: size },
]);
const results = [];
for (const shape of [...(which === 'decode' ? [] : large), ...(which === 'large' ? [] : decode)]) {
  const { name, ...sizes } = shape;
  const request = { batch: 1, aBatchStride: 0, bBatchStride: 0, transposeA: false, transposeB: false, alpha: 1, ...sizes };
  const { m, n, k } = request;
  const buffers = { a: randomBuffer(m * k), b: randomBuffer(k * n), y: buffer(m * n * 4) };
  const candidates = [{ label: 'chosen', choice: {} }];
  if (m > 16) candidates.push(...tiledVariants.filter((variant) => fits(variant, traits)).map((variant) => ({ label: variantName(variant), choice: { kernel: variant } })));
  else candidates.push(...[1, 2, 4, 8, 16, 32].map((splits) => ({ label: `skinny, ${String(splits)} slices`, choice: { kernel: 'skinny', splits } })));
  const figures = {};
  for (const { label, choice } of candidates) {
    device.pushErrorScope('validation');
    const program = matMul(request, traits, choice);
    const duration = await time(program, buffers);
    const problem = await device.popErrorScope();
    figures[label] =
      problem === null
        ? {
            kernels: program.dispatches.map(({ kernel }) => kernel.name).join(' + '),
            teraflops: Number(((2 * m * n * k) / duration / 1e12).toFixed(3)),
            gigabytesPerSecond: Number((((m * k + k * n + m * n) * 4) / duration / 1e9).toFixed(1)),
            microseconds: Number((duration * 1e6).toFixed(1)),
          }
        : { error: problem.message };
    process.stderr.write(`${name} ${label}: ${JSON.stringify(figures[label])}\n`);
  }
  results.push({ name, ...request, figures });
  for (const used of Object.values(buffers)) used.destroy();
}
const { vendor, architecture, description } = adapter.info;
process.stdout.write(`${JSON.stringify({ adapter: { vendor, architecture, description }, results }, undefined, 2)}\n`);
device.destroy();
