/** @param {string} word */
function capitalise(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** Ids of plugins: lower-case words joined by dashes. */
export const idPattern = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

/** Names that a module cannot give to a plugin, or that templates use themselves. */
const taken = new Set(
  (
    'await break case catch class const continue debugger default delete do else enum export extends false finally for function if implements import in instanceof interface let new null package private ' +
    'protected public return static super switch this throw true try typeof undefined var void while with yield arguments eval options prune smallest squares write verify device describe expect it config ' +
    'weight values indices'
  ).split(' '),
);

/** The variable that holds a plugin. @param {string} id @param {string} kind */
export function variableOf(id, kind) {
  const variable = id.split('-').map((word, index) => (index === 0 ? word : capitalise(word))).join('');
  return taken.has(variable) ? `${variable}${capitalise(kind)}` : variable;
}

/** @param {string} id */
export const typeOf = (id) => id.split('-').map(capitalise).join('');

/** @param {string} id */
export const titleOf = (id) => capitalise(id.replaceAll('-', ' '));

/** A text as a JavaScript literal in single quotes. @param {string} text */
export const literalOf = (text) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', ' ')}'`;
