import { errorCatalogue } from '@pare/core';
import { checkGenerated } from './generated.js';
import { readText, sourceFiles } from './workspace.js';

/** Every code of the catalogue is raised in shipped code, and the document of codes is current. */
export function checkErrorCodes(write: boolean): string[] {
  const sources = ['packages', 'plugins', 'apps']
    .flatMap((folder) => sourceFiles(folder, (path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && path !== 'packages/core/src/errors.ts'))
    .map((path) => readText(path));
  return [...unraisedCodes(Object.keys(errorCatalogue), sources), ...checkGenerated('docs/errors.md', errorDocument(), write)];
}

/** Codes that none of the sources names in quotes. */
export function unraisedCodes(codes: readonly string[], sources: readonly string[]): string[] {
  return codes.filter((code) => !sources.some((source) => source.includes(`'${code}'`))).map((code) => `${code} is in the catalogue and raised nowhere`);
}

/** The codes sorted, or what is out of place. */
export function unsortedCodes(codes: readonly string[]): string[] {
  return codes.flatMap((code, index) => (index > 0 && codes[index - 1]! > code ? [`${code} stands behind ${codes[index - 1]!} in the catalogue`] : []));
}

/** `docs/errors.md`: every code with its message and remedy, data shown as ‹names›. */
export function errorDocument(): string {
  const sections = Object.entries(errorCatalogue)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, template]) => {
      const { message, help } = template as unknown as { message: (data: unknown) => string; help: (data: unknown) => string };
      const lines = [`## ${code}`, '', escape(fill(message)), ''];
      const remedy = fill(help);
      if (remedy !== '' && remedy !== fill(message)) lines.push(`*${escape(remedy).trim()}*`, '');
      return lines.join('\n');
    });
  return `<!-- Generated from packages/core/src/errors.ts by "npm run generate". -->
# Errors

Every error that Pare raises on purpose has a code, a message that says what was found, and help that says what to do. The command prints them
without a stack (\`--debug\` shows it) and exits with 2. Programs get them as \`PareError\` with \`code\`, \`message\`, \`help\` and \`data\`; recognise
one with \`isPareError\`. An error without a code of this list is a defect: the command prints it as \`PARE_DEFECT\` and exits with 1.

Words in ‹angle brackets› are filled in from the occurrence.

${sections.join('\n')}`;
}

/** A template's text with placeholders for its data. */
function fill(template: (data: unknown) => string): string {
  // Arithmetic on placeholders yields NaN; it stands for some number.
  return String(template(placeholders())).replaceAll('NaN', '‹n›');
}

function placeholders(): unknown {
  return new Proxy({}, { get: (_target, key) => (typeof key === 'string' ? placeholder(key) : undefined) });
}

/** A stand-in for a value of unknown type: text shows its name, numbers are NaN, lists have one entry. */
function placeholder(name: string): unknown {
  const text = `‹${name}›`;
  const self: unknown = new Proxy(() => text, {
    get: (_target, key) => {
      switch (key) {
        case Symbol.toPrimitive:
          return (hint: string) => (hint === 'number' ? Number.NaN : text);
        case Symbol.iterator:
          return () => [self][Symbol.iterator]();
        case 'toString':
        case 'join':
        case 'toFixed':
        case 'toLocaleString':
          return () => text;
        case 'length':
          return 1;
        case 'map':
          return (each: (value: unknown) => unknown) => [each(self)];
        case 'slice':
        case 'filter':
          return () => [self];
        default:
          return typeof key === 'string' ? placeholder(key) : undefined;
      }
    },
  });
  return self;
}

function escape(text: string): string {
  return text.replaceAll('<', '&lt;').replaceAll('*', '\\*');
}
