import { dirname, join } from 'node:path';
import ts from 'typescript';
import { readText, root, sourceFiles } from './workspace.js';

/** A block of TypeScript in a document. */
export interface Snippet {
  readonly document: string;
  /** Line of the document that the block's first line stands on. */
  readonly line: number;
  readonly text: string;
}

/** The `ts` blocks of a markdown text. */
export function snippetsOf(document: string, markdown: string): Snippet[] {
  const snippets: Snippet[] = [];
  const lines = markdown.split('\n');
  let start: number | undefined;
  for (const [index, line] of lines.entries()) {
    if (start === undefined && /^```(ts|typescript)\s*$/.test(line)) start = index + 1;
    else if (start !== undefined && /^```\s*$/.test(line)) {
      snippets.push({ document, line: start + 1, text: lines.slice(start, index).join('\n') });
      start = undefined;
    }
  }
  return snippets;
}

/** Compiles snippets as modules that lie where their documents lie, against built packages. Returns what the compiler says. */
export function compileSnippets(snippets: readonly Snippet[], base: string = root): string[] {
  const virtual = new Map(snippets.map((snippet, index) => [join(base, dirname(snippet.document), `snippet-${String(index)}.mts`), snippet]));
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
  const { fileExists, readFile, getSourceFile } = host;
  host.getCurrentDirectory = () => base;
  host.fileExists = (name) => virtual.has(name) || fileExists(name);
  host.readFile = (name) => virtual.get(name)?.text ?? readFile(name);
  host.getSourceFile = (name, language, ...rest) => {
    const snippet = virtual.get(name);
    return snippet === undefined ? getSourceFile(name, language, ...rest) : ts.createSourceFile(name, `${snippet.text}\nexport {};\n`, language);
  };
  const program = ts.createProgram([...virtual.keys()], options, host);
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
    const snippet = diagnostic.file === undefined ? undefined : virtual.get(diagnostic.file.fileName);
    if (snippet === undefined) return `${diagnostic.file?.fileName ?? ''}: ${message}`;
    const { line } = diagnostic.file!.getLineAndCharacterOfPosition(diagnostic.start ?? 0);
    return `${snippet.document}:${String(snippet.line + line)}: ${message}`;
  });
}

/** Every TypeScript block of every document compiles. */
export function checkSnippets(): string[] {
  const documents = [
    'README.md',
    'CONTRIBUTING.md',
    ...['docs', 'packages', 'plugins', 'apps', 'tools', 'examples/third-party-plugin'].flatMap((folder) => sourceFiles(folder, (path) => path.endsWith('.md') && !path.includes('/templates/'))),
  ];
  return compileSnippets(documents.flatMap((document) => snippetsOf(document, readText(document))));
}
