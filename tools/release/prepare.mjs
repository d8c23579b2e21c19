// node tools/release/prepare.mjs [address of the repository]: what packages need before they are packed and that is not kept in them: the licence's text, and, once
// there is a public repository, its address. npm refuses provenance without that address (docs/decisions/0016-releases.md).
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../steps.mjs';
import { publishedPackages } from './published.mjs';

const [address] = process.argv.slice(2);
const packages = publishedPackages();
for (const { path } of packages) {
  copyFileSync(join(root, 'LICENSE'), join(root, path, 'LICENSE'));
  if (address === undefined) continue;
  const file = join(root, path, 'package.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8'));
  manifest.repository = { type: 'git', url: address, directory: path };
  writeFileSync(file, `${JSON.stringify(manifest, undefined, 2)}\n`);
}
console.log(`${packages.length} packages have the licence${address === undefined ? '; no address was given' : ` and ${address}`}`);
