/** Markup that is safe to put into a page. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Insertable = Html | string | number | undefined | false | readonly Insertable[];

/** Markup with values inserted: text is escaped, markup and lists of it are taken as they are, undefined and false leave nothing. */
export function html(strings: TemplateStringsArray, ...values: readonly Insertable[]): Html {
  return new Html(strings.map((part, index) => (index === 0 ? part : insert(values[index - 1]) + part)).join(''));
}

function insert(value: Insertable): string {
  if (value === undefined || value === false) return '';
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return (value as readonly Insertable[]).map(insert).join('');
  return escapeHtml(String(value as string | number));
}

/** Text for any place in a page, attributes in quotes included. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${String(character.charCodeAt(0))};`);
}
