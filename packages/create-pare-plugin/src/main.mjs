import { isPareError } from '@pare/core';
import { readArguments, usage } from './arguments.mjs';
import { askForTheRest } from './questions.mjs';
import { standaloneFiles } from './standalone-files.mjs';
import { checkFolder, writePackage } from './write-package.mjs';

/** @typedef {{ readonly stdout: { write(text: string): unknown }, readonly stderr: { write(text: string): unknown }, readonly cwd: string, readonly interactive: boolean }} Surroundings */

/**
 * The command. Exit codes are those of `pare`: 0 done, 1 a defect, 2 the user can fix it, 130 given up at a question.
 * @param {readonly string[]} argv without node and script
 * @param {Surroundings} [surroundings]
 * @returns {Promise<number>}
 */
export async function main(argv, surroundings = { stdout: process.stdout, stderr: process.stderr, cwd: process.cwd(), interactive: process.stdin.isTTY && process.stdout.isTTY }) {
  const { stdout, stderr, cwd, interactive } = surroundings;
  try {
    const given = readArguments(argv);
    if (given.help) {
      stdout.write(usage);
      return 0;
    }
    if (given.folder !== undefined) checkFolder(given.folder, cwd);
    const settings = await askForTheRest(given, interactive && !given.yes);
    if (settings === undefined) return 130;
    const folder = checkFolder(settings.folder, cwd);
    const files = standaloneFiles(settings);
    writePackage(folder, files);
    stdout.write(`Wrote ${settings.packageName} (${settings.kind}, ${settings.toolchain}) with ${String(files.size)} files.\n\n  cd ${settings.folder}\n  npm install\n  npm test\n\nThe README says what each file is for.\n`);
    return 0;
  } catch (error) {
    if (!isPareError(error)) {
      stderr.write(`PARE_DEFECT ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      return 1;
    }
    stderr.write(`${error.code} ${error.message}\n  ${error.help}\n`);
    return 2;
  }
}
