import { readFileSync } from 'node:fs';

/** @typedef {'Apache-2.0' | 'MIT' | 'UNLICENSED'} License */

/** What a package may be licensed under; `none` leaves the choice open. */
export const licenses = /** @type {const} */ ({ apache: 'Apache-2.0', mit: 'MIT', none: 'UNLICENSED' });

/**
 * The text of a licence.
 * @param {License} license
 * @param {string} author
 */
export function licenseText(license, author) {
  if (license === licenses.apache) return readFileSync(new URL('../templates/licenses/apache-2.0.txt', import.meta.url), 'utf8');
  const holder = author === '' ? 'the authors' : author;
  return readFileSync(new URL('../templates/licenses/mit.txt', import.meta.url), 'utf8').replace('{{year}}', String(new Date().getFullYear())).replace('{{holder}}', holder);
}
