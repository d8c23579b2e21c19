import { basename, dirname, join } from 'node:path';
import ts from 'typescript';
import { documents } from './documents.js';
import { fencedBlocks, fileOf } from './fenced-blocks.js';
import { readText, root } from './workspace.js';

/** A block of TypeScript in a document. */
export interface Snippet {
  readonly document: string;
  /** Line of the document that the block's first line stands on. */
  readonly line: number;
  /** The file that it is the content of, where the document names one: `src/index.ts`. */
  readonly name?: string;
  readonly text: string;
}

/** The `ts` blocks of a markdown text. One that begins with ```` ```ts continued ```` goes on where the one before ended. */
export function snippetsOf(document: string, markdown: string): Snippet[] {
  const snippets: Snippet[] = [];
  for (const block of fencedBlocks(document, markdown)) {
    const { language, info, line, text } = block;
    const name = fileOf(block);
    if (language !== 'ts' && language !== 'typescript') continue;
    const before = info === 'continued' ? snippets.pop() : undefined;
    // Empty lines stand for the prose between, so that line numbers stay those of the document.
    snippets.push(
      before === undefined ? { document, line, text, ...(name !== undefined && { name }) } : { ...before, text: `${before.text}${'\n'.repeat(line - before.line - before.text.split('\n').length + 1)}${text}` },
    );
  }
  return snippets;
}

/** TypeScript's code of "cannot find module". */
const moduleNotFound = 2307;

/** Compiles snippets as modules that lie where their documents lie, against built packages; files of a document may import one another. Returns what the compiler says. */
export function compileSnippets(snippets: readonly Snippet[], base: string = root): string[] {
  const virtual = new Map<string, Snippet>();
  for (const [index, snippet] of snippets.entries()) {
    const folder = join(base, dirname(snippet.document));
    const named = snippet.name?.endsWith('.ts') === true ? join(folder, `files of ${basename(snippet.document)}`, snippet.name) : undefined;
    // A document may show a file again, with changes.
    virtual.set(named === undefined || virtual.has(named) ? join(folder, `snippet-${String(index)}.mts`) : named, snippet);
  }
  const folders = new Set([...virtual.keys()].map((path) => dirname(path)));
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    types: ['node'],
    typeRoots: [join(base, 'node_modules/@types')],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile, directoryExists } = host;
  host.getCurrentDirectory = () => base;
  host.directoryExists = (name) => folders.has(name) || directoryExists?.(name) === true;
  host.fileExists = (name) => virtual.has(name) || fileExists(name);
  host.readFile = (name) => virtual.get(name)?.text ?? readFile(name);
  host.getSourceFile = (name, language, ...rest) => {
    const snippet = virtual.get(name);
    return snippet === undefined ? getSourceFile(name, language, ...rest) : ts.createSourceFile(name, `${snippet.text}\nexport {};\n`, language);
  };
  const program = ts.createProgram([...virtual.keys()], options, host);
  return ts.getPreEmitDiagnostics(program).flatMap((diagnostic) => {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
    // A reader's own file, `./my-backend.js`, is not ours to have.
    if (diagnostic.code === moduleNotFound && message.includes(`'./`)) return [];
    const snippet = diagnostic.file === undefined ? undefined : virtual.get(diagnostic.file.fileName);
    if (snippet === undefined) return `${diagnostic.file?.fileName ?? ''}: ${message}`;
    const { line } = diagnostic.file!.getLineAndCharacterOfPosition(diagnostic.start ?? 0);
    return `${snippet.document}:${String(snippet.line + line)}: ${message}`;
  });
}

/** Every TypeScript block of every document compiles. */
export function checkSnippets(): string[] {
  return compileSnippets(documents().flatMap((document) => snippetsOf(document, readText(document))));
}
