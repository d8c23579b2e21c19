import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import MiniSearch from 'minisearch';
import { searchOptions } from './search-options.js';

/** What readers type, and the page that has to be among the first results. */
const questions: readonly (readonly [query: string, page: string])[] = [
  ['act-order', '/techniques/gptq.html'],
  ['tensor train', '/techniques/tensorgpt.html'],
  ['PARE_OPTIONS_INVALID', '/reference/errors.html'],
  ['resume', '/tutorials/first-compression.html'],
  ['defineTechnique', '/api/core-technique.html'],
];
/** As many as VitePress shows. */
const firstResults = 16;

/** Asks the search index of a built site, as its pages do: from a file of the site and without a server. Returns what it does not find. */
export async function searchProblems(site: string): Promise<string[]> {
  const chunks = join(site, 'assets/chunks');
  const file = readdirSync(chunks).find((name) => name.startsWith('@localSearchIndexroot'));
  if (file === undefined) return ['the site has no search index'];
  // The chunk is a module whose default export is the index as JSON; it may be newer than one of this name that was imported before.
  const source = Buffer.from(readFileSync(join(chunks, file))).toString('base64');
  const { default: index } = (await import(`data:text/javascript;base64,${source}`)) as { default: string };
  const search = MiniSearch.loadJSON<{ id: string }>(index, { fields: ['title', 'titles', 'text'], storeFields: ['title', 'titles'] });
  return questions.flatMap(([query, page]) => {
    const found = search.search(query, searchOptions).slice(0, firstResults);
    return found.some(({ id }) => String(id).split('#')[0]!.endsWith(page)) ? [] : [`"${query}" does not find ${page} among: ${found.map(({ id }) => String(id)).join(', ')}`];
  });
}
