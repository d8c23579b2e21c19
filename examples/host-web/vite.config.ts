import { readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

/** Writes the service worker with the list of what the page consists of, so that it opens without a network from then on. */
function offline(): Plugin {
  return {
    name: 'offline',
    apply: 'build',
    generateBundle(_options, bundle) {
      const files = ['./', ...Object.keys(bundle).filter((file) => !file.endsWith('.map'))].sort();
      const source = readFileSync(new URL('src/service-worker.js', import.meta.url), 'utf8');
      // Changes whenever a file does: the names of assets carry hashes, the page's own text is hashed here.
      const page = bundle['index.html'];
      const version = hash(JSON.stringify(files) + (page?.type === 'asset' ? String(page.source) : ''));
      this.emitFile({ type: 'asset', fileName: 'service-worker.js', source: source.replace('__FILES__', JSON.stringify(files)).replace('__VERSION__', version) });
    },
  };
}

/** FNV-1a, enough to tell two builds apart. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0;
  return value.toString(16);
}

const { version } = JSON.parse(readFileSync(new URL('node_modules/@pare/core/package.json', import.meta.url), 'utf8')) as { version: string };

export default defineConfig({
  // Relative addresses: the folder works wherever it is put.
  base: './',
  define: { __PARE_VERSION__: JSON.stringify(version) },
  build: { target: 'es2022', modulePreload: { polyfill: false }, chunkSizeWarningLimit: 2000 },
  worker: { format: 'es' },
  plugins: [offline()],
});
