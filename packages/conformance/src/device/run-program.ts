import type { Program, ProgramRunner } from '@pare/executor';

export type TestArray = Float32Array | Int32Array | Uint32Array | Uint8Array;

/** Runs a program over named arrays, which are updated where it writes. Buffers named only there are an error. */
export async function runProgram(runner: ProgramRunner, { temporaries, dispatches }: Program, arrays: Readonly<Record<string, TestArray>>): Promise<void> {
  // Scratch starts as rubbish, which a kernel must not rely on.
  const scratch = temporaries.map(({ name, bytes }) => [name, new Uint8Array(bytes).fill(0xff)] as const);
  const content = new Map<string, TestArray>([...Object.entries(arrays), ...scratch]);
  const buffers = new Map([...content].map(([name, array]) => [name, runner.allocate(array.byteLength)]));
  try {
    for (const [name, array] of content) runner.write(buffers.get(name)!, array);
    runner.run({ temporaries: [], dispatches }, Object.fromEntries(buffers));
    const written = new Set(dispatches.flatMap(({ operands }) => operands.filter(({ access }) => access === 'write').map(({ buffer }) => buffer)));
    for (const [name, array] of Object.entries(arrays)) {
      // Reading also tells what failed.
      const bytes = await runner.read(buffers.get(name)!);
      if (written.has(name)) new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(new Uint8Array(bytes));
    }
  } finally {
    for (const buffer of buffers.values()) buffer[Symbol.dispose]();
  }
}
