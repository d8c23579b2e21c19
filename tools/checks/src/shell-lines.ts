/** The commands of a shell block as lists of words: comments left out, lines that end in a backslash joined, `&&` and `;` split, variables set in front dropped. */
export function shellCommands(text: string): string[][] {
  return text
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .flatMap((line) => splitCommands(wordsOf(line)))
    .map((words) => words.filter((_word, index) => !words.slice(0, index + 1).every((before) => /^[A-Z_]+=/.test(before))))
    .filter((words) => words.length > 0);
}

/** A line's words; quotes hold words together, `#` behind a blank begins a comment. */
function wordsOf(line: string): string[] {
  const words: string[] = [];
  for (const match of line.matchAll(/((?:"[^"]*"|'[^']*'|[^\s"'])+)/g)) {
    const word = match[0];
    if (word.startsWith('#')) break;
    words.push(word.replaceAll(/"([^"]*)"|'([^']*)'/g, (_all, double: string | undefined, single: string | undefined) => double ?? single ?? ''));
  }
  return words;
}

function splitCommands(words: readonly string[]): string[][] {
  const commands: string[][] = [[]];
  for (const word of words) {
    if (word === '&&' || word === ';') commands.push([]);
    else commands.at(-1)!.push(word);
  }
  return commands.filter((command) => command.length > 0);
}
