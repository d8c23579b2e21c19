import { slug } from '@pare/checks';
import { readFileSync } from 'node:fs';
import { defineConfig, type DefaultTheme } from 'vitepress';
import { searchOptions } from '../src/search-options.js';

const sidebar = JSON.parse(readFileSync(new URL('../out/sidebar.json', import.meta.url), 'utf8')) as DefaultTheme.SidebarItem[];

export default defineConfig({
  // Options give addresses of servers on the reader's own machine as examples.
  ignoreDeadLinks: 'localhostLinks',
  title: 'Pare',
  description: 'Language-model compression for TypeScript, without Python.',
  lang: 'en',
  srcDir: 'out/pages',
  outDir: 'out/site',
  cacheDir: 'out/cache',
  metaChunk: true,
  vite: { build: { chunkSizeWarningLimit: 4000 } },
  markdown: {
    theme: { light: 'github-light', dark: 'github-dark' },
    anchor: { slugify: slug },
    config(renderer) {
      // A block that is the content of a file shows the file's name: ```js [pare.config.js].
      const fence = renderer.renderer.rules.fence!;
      renderer.renderer.rules.fence = (tokens, index, ...rest) => {
        const name = /\[([^\]]+)\]/.exec(tokens[index]!.info)?.[1];
        return `${name === undefined ? '' : `<p class="file-name">${renderer.utils.escapeHtml(name)}</p>`}${fence(tokens, index, ...rest)}`;
      };
    },
  },
  themeConfig: {
    sidebar,
    nav: [
      { text: 'Concepts', link: '/concepts' },
      { text: 'First compression', link: '/tutorials/first-compression' },
      { text: 'Techniques', link: '/techniques/' },
      { text: 'API', link: '/api/' },
    ],
    outline: { level: [2, 3] },
    search: { provider: 'local', options: { miniSearch: { searchOptions } } },
    docFooter: { prev: false, next: false },
    footer: { message: 'Apache-2.0' },
  },
});
