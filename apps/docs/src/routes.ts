/** Where documents of the repository are shown: the first pattern that matches counts. */
const places: readonly (readonly [pattern: RegExp, route: string])[] = [
  [/^README\.md$/, 'index'],
  [/^CONTRIBUTING\.md$/, 'project/contributing'],
  [/^apps\/docs\/pages\/(.+)\.md$/, '$1'],
  [/^apps\/cli\/README\.md$/, 'reference/command'],
  [/^docs\/decisions\/(.+)\.md$/, 'project/decisions/$1'],
  [/^docs\/(benchmarks|methods)\.md$/, 'results/$1'],
  [/^docs\/(options|errors|bad-input|architecture)\.md$/, 'reference/$1'],
  [/^docs\/([^/]+)\.md$/, 'guide/$1'],
  [/^plugins\/(technique|evaluator|format|backend|architecture|preset)-([^/]+)\/README\.md$/, '$1s/$2'],
  [/^packages\/([^/]+)\/README\.md$/, 'packages/$1'],
  [/^examples\/([^/]+)\/README\.md$/, 'examples/$1'],
];

/** The route of a document, undefined for those that the site leaves out. */
export function routeOf(document: string): string | undefined {
  const place = places.find(([pattern]) => pattern.test(document));
  return place === undefined ? undefined : document.replace(...place);
}

/** Folders whose links mean a page: `docs/decisions` is its list. */
export function folderRoute(folder: string): string | undefined {
  if (folder === 'docs/decisions') return 'project/decisions/index';
  return routeOf(`${folder}/README.md`);
}
