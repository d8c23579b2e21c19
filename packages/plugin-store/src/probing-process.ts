import { isPareError } from '@pare/core';
import type { HostPluginEntry, PluginProblem } from '@pare/runtime';
import { loadConfig, loadPlugins } from '@pare/runtime/node';
import { setTimeout as pause } from 'node:timers/promises';
import { configName, type ProbeReply, type ProbeRequest, type ProbeResult } from './probe-protocol.js';

/* The process that `probe` starts: loads a plugin where a hang, a crash or a leak harms nobody, and tells what it saw. */

/** Milliseconds in which what loading has begun may end by itself. */
const settling = 100;

process.once('message', (request: ProbeRequest) => {
  void answer(request);
});

async function answer(request: ProbeRequest): Promise<void> {
  // Node makes them when they are first used, which is not for a plugin to answer for.
  void [process.stdout, process.stderr, process.stdin];
  // The loader's own library is not on the plugin's time.
  await import('jiti');
  const before = surroundings();
  send({ kind: 'loading' });
  const loaded = request.kind === 'package' ? await loadPackage(request) : await loadFromConfig(request);
  await pause(settling);
  const { problems, notes } = left(before, surroundings(), request.kind === 'package' ? request.reference.package : (request.file ?? configName));
  send({ kind: 'done', result: { ...loaded, problems: [...loaded.problems, ...problems], notes } }, () => process.exit(0));
}

function send(reply: ProbeReply, then?: () => void): void {
  process.send!(reply, undefined, undefined, then);
}

async function loadPackage({ reference, seconds }: Extract<ProbeRequest, { kind: 'package' }>): Promise<Omit<ProbeResult, 'notes'>> {
  return { ...(await load([reference], reference.from, seconds)), names: [] };
}

async function loadFromConfig({ cwd, file, seconds }: Extract<ProbeRequest, { kind: 'config' }>): Promise<Omit<ProbeResult, 'notes'>> {
  try {
    const { config } = await loadConfig(cwd, file, seconds);
    const entries = (config.plugins ?? []).flat(Infinity as 1) as HostPluginEntry[];
    const names = entries.filter((entry) => typeof entry === 'string');
    // Packages are probed one by one; here it is the file itself and the values that it made or imported.
    return { ...(await load(entries.filter((entry) => typeof entry !== 'string'), cwd, seconds)), names };
  } catch (error) {
    if (!isPareError(error)) throw error;
    const unread: PluginProblem = { path: file ?? configName, found: error.message, allowed: 'a configuration that can be read', fix: error.help };
    const { problems = [unread] } = error.data as { problems?: readonly PluginProblem[] };
    return { plugins: [], problems, names: [] };
  }
}

async function load(entries: readonly HostPluginEntry[], cwd: string, seconds: number): Promise<Pick<ProbeResult, 'plugins' | 'problems'>> {
  const { plugins, problems } = await loadPlugins(entries, { cwd, timeoutSeconds: seconds });
  return { plugins: plugins.map(({ kind, id, api, summary }) => ({ kind, id, api, summary })), problems };
}

/** What a plugin that only defines itself leaves as it was. */
interface Surroundings {
  readonly resources: readonly string[];
  readonly globals: readonly string[];
  readonly listeners: readonly string[];
  readonly folder: string;
}

function surroundings(): Surroundings {
  return {
    // Timers, sockets and the like that keep a process from ending.
    resources: process.getActiveResourcesInfo(),
    globals: Object.getOwnPropertyNames(globalThis),
    listeners: process.eventNames().flatMap((name) => Array.from({ length: process.listenerCount(name) }, () => String(name))),
    folder: process.cwd(),
  };
}

function left(before: Surroundings, after: Surroundings, name: string): { problems: PluginProblem[]; notes: string[] } {
  const problems: PluginProblem[] = [];
  const resources = added(before.resources, after.resources);
  if (resources.length > 0) {
    problems.push({
      path: name,
      found: `${resources.join(', ')} left running by loading it`,
      allowed: 'a module that starts nothing when it is imported; what keeps running keeps the process from ending',
      fix: `Remove or update ${name}; its author starts such things in create() or apply() and ends them there.`,
    });
  }
  if (before.folder !== after.folder) {
    problems.push({ path: name, found: `the working folder changed to ${after.folder}`, allowed: 'a module that leaves the process as it is', fix: `Remove or update ${name}.` });
  }
  const notes = [
    ...added(before.globals, after.globals).map((global) => `${name} adds the global ${global}`),
    ...added(before.listeners, after.listeners).map((event) => `${name} listens to "${event}" of the process`),
  ];
  return { problems, notes };
}

/** Members of `after` beyond those of `before`, each as often as it was added. */
function added(before: readonly string[], after: readonly string[]): string[] {
  const rest = [...before];
  return after.filter((item) => {
    const index = rest.indexOf(item);
    if (index === -1) return true;
    rest.splice(index, 1);
    return false;
  });
}
