/**
 * What a template is filled with: text by name, and what holds by name.
 * @typedef {Readonly<Record<string, string | boolean>>} Values
 */

/**
 * Fills in a template. `{{name}}` is a value. `{{#flag}}…{{/flag}}` stays where the flag holds, `{{^flag}}…{{/flag}}` where it does not; a tag that has a line to itself takes the line with
 * it. Braces whose text begins with no name hold TypeScript that plain JavaScript leaves out: `weight{{: Float32Array}}`, `row[0]{{!}}`.
 * @param {string} template
 * @param {Values} values
 * @returns {string}
 * @throws {Error} for a name that has no value
 */
export function render(template, values) {
  /** @param {string} name */
  const known = (name) => {
    const value = values[name];
    if (value === undefined) throw new Error(`the template uses {{${name}}}, which has no value`);
    return value;
  };
  let text = template.replaceAll(/^[ \t]*(\{\{[#^/]\w+\}\})[ \t]*\n/gm, '$1');
  // Sections that hold no others first, so that they may be nested.
  const section = /\{\{([#^])(\w+)\}\}((?:(?!\{\{[#^/])[^])*)\{\{\/\2\}\}/;
  for (let match = section.exec(text); match !== null; match = section.exec(text)) {
    const [whole, kind, name = '', body = ''] = match;
    const kept = (known(name) === true) === (kind === '#');
    text = `${text.slice(0, match.index)}${kept ? body : ''}${text.slice(match.index + whole.length)}`;
  }
  return text
    .replaceAll(/\{\{(\w+)\}\}/g, (_, /** @type {string} */ name) => String(known(name)))
    .replaceAll(/(?<!\$)\{\{([^\w#^/{}][^{}]*)\}\}/g, (_, /** @type {string} */ types) => (known('ts') === true ? types : ''));
}
