import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';

const file = join(import.meta.dirname, '../../test/wrong-shapes.ts');

/** What the compiler says about each wrong technique, by the comment above it. */
function messages(): Map<string, string> {
  const lines = readFileSync(file, 'utf8').split('\n');
  const bare = lines.map((line) => line.replace('@ts-expect-error ', '')).join('\n');
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    customConditions: ['@pare/source'],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getSourceFile = (name, language, ...rest) => (name === file ? ts.createSourceFile(name, bare, language) : getSourceFile(name, language, ...rest));
  const program = ts.createProgram([file], options, host);
  const source = program.getSourceFile(file)!;
  return new Map(
    program.getSemanticDiagnostics(source).map((diagnostic) => {
      const { line } = source.getLineAndCharacterOfPosition(diagnostic.start ?? 0);
      const comment = /@ts-expect-error (.*)/.exec(lines[line - 1] ?? '')?.[1] ?? `line ${String(line + 1)}`;
      return [comment, ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')];
    }),
  );
}

describe('a technique with a wrong shape does not compile', () => {
  let found: Map<string, string>;
  beforeAll(() => {
    found = messages();
  }, 60_000);

  it.each([
    ['without apply', /Property 'apply' is missing/],
    ['a family that is none', /'"quantisation"' is not assignable to type 'TechniqueFamily'\. Did you mean '"quantization"'\?/],
    ['a form that is none', /'"int4"' is not assignable to type '"dense" \| "quantized" \|/],
    ['a plan without figures', /missing the following properties from type 'ModulePlan': storedBits, flops, workingBytes/],
    ['an apply that nobody can wait for', /'undefined' is not assignable to type 'Promise<void>'/],
    ['a slip of the keyboard', /'statistic' does not exist in type 'TechniqueDefinition<.*>'\. Did you mean to write 'statistics'\?/],
    ['options that are no schema', /'bits' does not exist in type 'OptionsSchema<unknown>'/],
    ['a result without its shape', /Property 'shape' is missing in type '\{ form: "dense";/],
  ])('%s, with a message that says so', (comment, message) => {
    expect(found.get(comment) ?? `compiled; others: ${[...found.keys()].join(', ')}`).toMatch(message);
  });

  it('and nothing else is wrong', () => {
    expect(found.size).toBe(8);
  });
});
