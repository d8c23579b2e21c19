import { cancel, confirm, group, intro, select, text } from '@clack/prompts';
import { pareError } from '@pare/core';
import { idProblem, packageNameProblem } from './arguments.mjs';
import { licenses } from './licenses.mjs';
import { pluginKinds, techniqueTemplates } from './plugin-files.mjs';
import { toolchains } from './standalone-files.mjs';

/** What each kind is, for the list to choose from. @type {Readonly<Record<import('./plugin-files.mjs').PluginKind, string>>} */
const kindHints = {
  technique: 'compresses weights',
  evaluator: 'measures models',
  backend: 'runs graphs on a device',
  format: 'writes models for a runtime',
  architecture: 'describes a family of models',
};

/**
 * @typedef {import('./standalone-files.mjs').StandaloneSettings & { readonly folder: string }} Settings
 */

/**
 * Completes what the command line left open, by questions or by the defaults.
 * @param {import('./arguments.mjs').Given} given
 * @param {boolean} interactive
 * @returns {Promise<Settings | undefined>} undefined when the user gave up
 * @throws PARE_COMMAND_INVALID when something is needed that nobody can be asked for
 */
export async function askForTheRest(given, interactive) {
  const answers = interactive ? await ask(given) : given;
  if (answers === undefined) return undefined;
  const { kind = 'technique', template = 'prune', id, toolchain = 'tsc', license = licenses.apache, author = '', kernel = false, workflow = true, title, summary } = answers;
  if (id === undefined) throw pareError('PARE_COMMAND_INVALID', { problem: 'the plugin has no id, and there is no terminal to ask at', help: 'Name it: --id my-method. "npm create pare-plugin -- --help" lists the flags.' });
  const packageName = answers.packageName ?? `pare-${kind}-${id}`;
  const folder = given.folder ?? packageName.replace(/^@[^/]*\//, '');
  return { kind, template, id, packageName, toolchain, license, author, kernel, workflow, folder, ...(title !== undefined && { title }), ...(summary !== undefined && { summary }) };
}

/** @param {import('./arguments.mjs').Given} given @returns {Promise<import('./arguments.mjs').Given | undefined>} */
async function ask(given) {
  intro('A plugin for Pare');
  let stopped = false;
  const answers = await group(
    {
      kind: () => (given.kind === undefined ? select({ message: 'What kind?', options: pluginKinds.map((kind) => ({ value: kind, label: kind, hint: kindHints[kind] })) }) : Promise.resolve(given.kind)),
      // One question more for techniques, and one less for those that have no kernel to add.
      template: ({ results }) =>
        given.template === undefined && given.kernel !== true && results.kind === 'technique'
          ? select({ message: 'Begin with?', options: Object.entries(techniqueTemplates).map(([name, hint]) => ({ value: /** @type {import('./plugin-files.mjs').TechniqueTemplate} */ (name), label: name, hint })) })
          : Promise.resolve(given.template ?? 'prune'),
      id: () => (given.id === undefined ? text({ message: 'Its id, as recipes and flags will have it?', placeholder: 'my-method', validate: (value = '') => idProblem(value) }) : Promise.resolve(given.id)),
      packageName: ({ results }) => {
        const usual = `pare-${results.kind ?? 'technique'}-${results.id ?? ''}`;
        return given.packageName === undefined ? text({ message: 'Its name on npm?', initialValue: usual, validate: (value = '') => packageNameProblem(value) }) : Promise.resolve(given.packageName);
      },
      toolchain: () =>
        given.toolchain === undefined
          ? select({ message: 'Built with?', options: Object.entries(toolchains).map(([name, hint]) => ({ value: /** @type {import('./standalone-files.mjs').Toolchain} */ (name), label: name, hint })) })
          : Promise.resolve(given.toolchain),
      kernel: ({ results }) => (given.kernel === undefined && results.kind === 'technique' && results.template === 'prune' ? confirm({ message: 'With a folder for device kernels?', initialValue: false }) : Promise.resolve(given.kernel ?? false)),
      license: () => (given.license === undefined ? select({ message: 'Licence?', options: Object.values(licenses).map((value) => ({ value, label: value })) }) : Promise.resolve(given.license)),
    },
    {
      onCancel: () => {
        stopped = true;
        cancel('Nothing was written.');
      },
    },
  );
  if (stopped) return undefined;
  const { kind, id, toolchain, license } = answers;
  return { ...given, kind, template: answers.template === 'quantize' ? 'quantize' : 'prune', id, toolchain, license, packageName: String(answers.packageName), kernel: answers.kernel === true };
}
