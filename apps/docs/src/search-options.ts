/**
 * How readers' words are looked up: in the pages, and by the check of the search. Pages get the function as its text, so it may use nothing from outside.
 * Guides come before the reference: the API says most words somewhere.
 */
export const searchOptions = {
  prefix: true,
  fuzzy: 0.1,
  boost: { title: 4, text: 2, titles: 1 },
  boostDocument: (id: string): number => (id.includes('/api/') ? 0.2 : id.includes('/techniques/') ? 2 : 1),
};
