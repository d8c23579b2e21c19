/**
 * The first key that an object of a JSON text holds twice, as a path, or undefined. `JSON.parse` keeps the last one silently, so a header
 * could show one tensor to a check and another to a reader.
 *
 * @param text Valid JSON.
 */
export function findDuplicateKey(text: string): string | undefined {
  // One entry for each open object (its keys so far) or array (undefined); `path` holds the last key at each depth.
  const open: (Set<string> | undefined)[] = [];
  const path: string[] = [];
  for (let index = 0; index < text.length; index++) {
    switch (text.charCodeAt(index)) {
      case 0x7b: // {
        open.push(new Set());
        path.push('');
        break;
      case 0x5b: // [
        open.push(undefined);
        path.push('');
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        path.pop();
        break;
      case 0x22: {
        const end = stringEnd(text, index);
        const keys = open.at(-1);
        // In an object, a string before a colon is a key: values are followed by a comma or a brace.
        if (keys !== undefined && text.charCodeAt(skipSpace(text, end)) === 0x3a) {
          const key = JSON.parse(text.slice(index, end)) as string;
          path[path.length - 1] = key;
          if (keys.has(key)) return path.filter((part) => part !== '').join('.');
          keys.add(key);
        }
        index = end - 1;
        break;
      }
    }
  }
  return undefined;
}

/** Index after the closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  let index = start + 1;
  while (text.charCodeAt(index) !== 0x22) index += text.charCodeAt(index) === 0x5c ? 2 : 1;
  return index + 1;
}

function skipSpace(text: string, start: number): number {
  let index = start;
  while (' \t\r\n'.includes(text[index] ?? 'end')) index++;
  return index;
}
