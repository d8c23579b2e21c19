// Keeps the page, and what it has fetched (texts, the small model), for the time without a network. The build fills in files and version.
const files = __FILES__;
const cacheName = 'pare-__VERSION__';

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(cacheName).then((cache) => cache.addAll(files)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  const removeOld = async () => {
    for (const name of await caches.keys()) if (name.startsWith('pare-') && name !== cacheName) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(removeOld());
});

self.addEventListener('fetch', (event) => {
  if (event.request.method !== 'GET' || new URL(event.request.url).origin !== location.origin) return;
  const answer = async () => {
    const cache = await caches.open(cacheName);
    const kept = await cache.match(event.request, { ignoreSearch: true });
    if (kept !== undefined) return kept;
    const response = await fetch(event.request);
    if (response.ok && response.status === 200) event.waitUntil(cache.put(event.request, response.clone()));
    return response;
  };
  event.respondWith(answer());
});
