/** An argument as one would type it in a POSIX shell. */
export function shellQuote(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", String.raw`'\''`)}'`;
}

/** The command that continues an interrupted run: the same arguments, with `--resume` and without `--overwrite`. */
export function resumeCommand(argv: readonly string[]): string {
  const kept = argv.filter((argument) => argument !== '--overwrite' && argument !== '--resume');
  return ['pare', ...kept, '--resume'].map(shellQuote).join(' ');
}
