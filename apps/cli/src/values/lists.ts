import { pareError } from '@pare/core';

/** The entries of a comma-separated list, as typed after `option`. @throws PARE_COMMAND_INVALID when an entry is empty or named twice */
export function parseList(text: string, option: string): string[] {
  const entries = text.split(',').map((entry) => entry.trim());
  if (entries.includes('')) {
    throw pareError('PARE_COMMAND_INVALID', { problem: `${option} got "${text}", which has an empty entry`, help: 'Separate names by single commas: first,second.' });
  }
  const repeated = entries.find((entry, index) => entries.indexOf(entry) !== index);
  if (repeated !== undefined) {
    throw pareError('PARE_COMMAND_INVALID', { problem: `${option} names "${repeated}" twice`, help: 'Name each one once.' });
  }
  return entries;
}

/** One more `--set name.option=value`. Names, options and values are checked by the host; only the shape is checked here. @throws PARE_COMMAND_INVALID */
export function collectAssignment(text: string, previous: readonly string[] = []): string[] {
  if (!/^[^.=\s]+\.[^=\s]+=/.test(text)) {
    throw pareError('PARE_COMMAND_INVALID', { problem: `--set got "${text}"`, help: 'Write --set technique.option=value, such as --set gptq.groupSize=64.' });
  }
  return [...previous, text];
}
