import { readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter } from 'node:path';
import type { LibraryChoice } from './open-cuda.js';
import type { Machine } from './find-libraries.js';

/** The machine that runs this. */
export function thisMachine(): Machine {
  return {
    platform: process.platform,
    environment: process.env,
    home: homedir(),
    list: (folder) => {
      try {
        return readdirSync(folder);
      } catch {
        return [];
      }
    },
  };
}

/** Where this machine's libraries are looked for: in folders of the option, then in those of PARE_CUDA_LIBRARIES, then everywhere else. */
export function libraryChoice(folder: string | undefined): LibraryChoice {
  const named = (process.env['PARE_CUDA_LIBRARIES'] ?? '').split(delimiter).filter((part) => part !== '');
  return { machine: thisMachine(), folders: [...(folder === undefined ? [] : [folder]), ...named] };
}
