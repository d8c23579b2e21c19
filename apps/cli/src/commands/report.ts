import { nearest, pareError } from '@pare/core';
import type { Report } from '@pare/report';
import { writeFile } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import type { CommandContext } from '../context.js';
import type { ReportOptions } from '../program.js';
import { reportOf } from '../values/read-results.js';

const formats = ['html', 'md', 'json', 'csv'] as const;
type ReportFormat = (typeof formats)[number];

/** `pare report`: writes results as pages, tables and data. */
export async function report(context: CommandContext, files: readonly string[], options: ReportOptions): Promise<void> {
  const { terminal, cwd } = context;
  const targets = targetsOf(options);
  const document = await reportOf(context, files, { title: options.title });
  for (const { format, file } of targets) {
    const text = await render(document, format);
    await writeFile(resolve(cwd, file), text).catch((error: NodeJS.ErrnoException) => {
      throw pareError('PARE_FILE_UNWRITABLE', { file, reason: error.message }, error);
    });
  }
  if (terminal.json) terminal.printJson({ files: targets.map(({ file }) => file), report: document });
  else for (const { file } of targets) terminal.print(`written  ${terminal.style.bold(file)}`);
  for (const note of document.notes) terminal.note(`${terminal.noteStyle.yellow('note')} ${note}`);
}

/** Which file each format goes to. @throws PARE_COMMAND_INVALID */
function targetsOf({ output, format }: ReportOptions): { readonly format: ReportFormat; readonly file: string }[] {
  const extension = extname(output);
  const known = formats.find((name) => extension === `.${name}`);
  const chosen = (format ?? [known ?? 'html']).map((name) => {
    const found = formats.find((candidate) => candidate === name);
    if (found !== undefined) return found;
    const near = nearest(name, formats);
    throw pareError('PARE_COMMAND_INVALID', { problem: `--format got "${name}"`, help: `${near === undefined ? '' : `Did you mean "${near}"? `}Formats of a report: ${formats.join(', ')}.` });
  });
  const base = known === undefined ? output : output.slice(0, -extension.length);
  const named = (name: ReportFormat): boolean => chosen.length === 1 && (known === name || (known === undefined && extension !== ''));
  return chosen.map((name) => ({ format: name, file: named(name) ? output : `${base}.${name}` }));
}

async function render(document: Report, format: ReportFormat): Promise<string> {
  const { renderCsv, renderHtml, renderJson, renderMarkdown } = await import('@pare/report');
  switch (format) {
    case 'html':
      return renderHtml(document);
    case 'md':
      return renderMarkdown(document);
    case 'json':
      return renderJson(document);
    case 'csv':
      return renderCsv(document);
  }
}
