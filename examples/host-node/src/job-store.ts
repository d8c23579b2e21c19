import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Job } from './job.js';

/** Jobs on disk: a folder for each, with `job.json`, and the output with its journal beside it while it runs. */
export class JobStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Where a job's result lies when it is done. */
  outputOf(id: string): string {
    return join(this.#folder, id, 'output');
  }

  /** All jobs, oldest first. */
  async load(): Promise<Job[]> {
    await mkdir(this.#folder, { recursive: true });
    const jobs: Job[] = [];
    for (const id of await readdir(this.#folder)) {
      const text = await readFile(join(this.#folder, id, 'job.json'), 'utf8').catch(() => undefined);
      if (text !== undefined) jobs.push(JSON.parse(text) as Job);
    }
    return jobs.sort((a, b) => a.created.localeCompare(b.created) || a.id.localeCompare(b.id));
  }

  /** Keeps a job so that after a crash its file holds the old state or the new one. */
  async save(job: Job): Promise<void> {
    const folder = join(this.#folder, job.id);
    await mkdir(folder, { recursive: true });
    const partial = join(folder, 'job.json.partial');
    const file = await open(partial, 'w');
    try {
      await file.writeFile(`${JSON.stringify(job, undefined, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, join(folder, 'job.json'));
  }

  /** Removes a job with its result. */
  async remove(id: string): Promise<void> {
    await rm(join(this.#folder, id), { recursive: true, force: true });
  }
}
