/** A reason and what it comes to. */
export interface Chain {
  readonly rationale: string;
  /** Undefined where the text ends before the cue. */
  readonly answer: string | undefined;
}

/** Takes a teacher's text apart at the first cue between reason and answer. The answer is the rest of its line. */
export function parseChain(text: string, answerCue: string): Chain {
  const cue = answerCue.trim();
  // The cue stands at the beginning of a line if it is given so.
  const at = answerCue.startsWith('\n') ? text.search(new RegExp(`(^|\\n)[ \\t]*${escape(cue)}`)) : text.indexOf(cue);
  if (at < 0) return { rationale: text.trim(), answer: undefined };
  const rest = text.slice(text.indexOf(cue, at) + cue.length);
  return { rationale: text.slice(0, at).trim(), answer: answerLine(rest) };
}

/** The answer at the beginning of a text: its first line that is not empty. */
export function answerLine(text: string): string | undefined {
  const line = text.split('\n').map((part) => part.trim()).find((part) => part !== '');
  return line;
}

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
