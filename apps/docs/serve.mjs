// node apps/docs/serve.mjs [port]: the built site on this machine. Any server of static files does as well.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json', '.woff2': 'font/woff2' };

/** Serves a folder on a free port of this machine, or the one given. */
export function serveFolder(folder, port = 0) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    const file = [path, join(path, 'index.html'), `${path}.html`].map((name) => join(folder, name)).find((name) => existsSync(name) && statSync(name).isFile());
    response.writeHead(file === undefined ? 404 : 200, { 'content-type': file === undefined ? 'text/plain' : (types[extname(file)] ?? 'application/octet-stream') });
    if (file === undefined) response.end('not found');
    else createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () => resolve({ address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { address } = await serveFolder(join(dirname(fileURLToPath(import.meta.url)), 'out/site'), Number(process.argv[2] ?? 4173));
  console.log(address);
}
