import type { DevicePrograms, Program } from '@pare/executor';

/** One workgroup a row; grids longer than a device takes are folded over two axes. */
function program(code: string, rows: number, columns: number, strength: number, maximum: number): Program {
  const uniforms = new Uint32Array(4);
  uniforms.set([rows, columns]);
  new Float32Array(uniforms.buffer)[2] = strength;
  const y = Math.ceil(rows / maximum);
  return {
    temporaries: [],
    dispatches: [
      {
        kernel: { name: 'soft-threshold', code, entry: 'main', constants: {} },
        operands: [{ buffer: 'weights', access: 'write' }],
        uniforms,
        workgroups: [Math.ceil(rows / y), y, 1],
      },
    ],
  };
}

/** The same on a device whose kernels are written in WGSL. */
export async function softThresholdOnDevice(programs: DevicePrograms, code: string, weight: Float32Array, rows: number, columns: number, strength: number): Promise<Float32Array> {
  using weights = programs.allocate(weight.byteLength);
  programs.write(weights, weight);
  programs.run(program(code, rows, columns, strength, programs.traits.maximumWorkgroups), { weights });
  return new Float32Array(await programs.read(weights));
}
