import type { BoundOperand, DeviceBuffer, KernelDevice, KernelLayout } from '../device.js';
import type { KernelSource } from '../program.js';
import type { BufferPool } from './buffer-pool.js';

/* What launches need beyond their operands, for the steps of plans and the dispatches of programs alike. */

/** How a launch binds its kernel. */
export function layoutOf({
  kernel,
  operands,
  uniforms,
}: {
  readonly kernel: KernelSource;
  readonly operands: readonly { readonly access: 'read' | 'write' }[];
  readonly uniforms?: Uint32Array | undefined;
}): KernelLayout {
  return { kernel, access: operands.map(({ access }) => access), uniforms: uniforms !== undefined };
}

/** All launches' uniforms in one buffer, each in a window at an offset that a binding can have; no buffer where there are none. */
export function uploadUniforms(
  device: KernelDevice,
  pool: BufferPool,
  launches: readonly { readonly uniforms?: Uint32Array | undefined }[],
): { readonly buffer: DeviceBuffer | undefined; readonly windows: readonly (BoundOperand | undefined)[] } {
  const alignment = device.traits.offsetAlignment;
  let end = 0;
  const places = launches.map(({ uniforms }) => {
    if (uniforms === undefined) return undefined;
    const offset = end;
    end = Math.ceil((offset + uniforms.byteLength) / alignment) * alignment;
    return { offset, uniforms };
  });
  if (end === 0) return { buffer: undefined, windows: places.map(() => undefined) };
  const bytes = new Uint8Array(end);
  for (const place of places) if (place !== undefined) bytes.set(new Uint8Array(place.uniforms.buffer, place.uniforms.byteOffset, place.uniforms.byteLength), place.offset);
  const buffer = pool.acquire(end);
  device.upload(buffer, bytes);
  return { buffer, windows: places.map((place) => (place === undefined ? undefined : { buffer, access: 'read', offset: place.offset, bytes: place.uniforms.byteLength })) };
}
