import { nearest, pareError } from '@pare/core';
import { parseArgs } from 'node:util';
import { licenses } from './licenses.mjs';
import { idPattern } from './names.mjs';
import { pluginKinds, techniqueTemplates } from './plugin-files.mjs';
import { toolchains } from './standalone-files.mjs';

/**
 * What the command line says; the rest is asked for, or taken from the defaults.
 * @typedef {object} Given
 * @property {boolean} help
 * @property {boolean} yes
 * @property {string} [folder]
 * @property {import('./plugin-files.mjs').PluginKind} [kind]
 * @property {import('./plugin-files.mjs').TechniqueTemplate} [template]
 * @property {string} [id]
 * @property {string} [packageName]
 * @property {string} [title]
 * @property {string} [summary]
 * @property {import('./standalone-files.mjs').Toolchain} [toolchain]
 * @property {import('./licenses.mjs').License} [license]
 * @property {string} [author]
 * @property {boolean} [kernel]
 * @property {boolean} [workflow]
 */

export const usage = `npm create pare-plugin [folder] [-- flags]

Starts a package with a plugin for Pare that builds and passes the conformance suite. Asks for what the flags leave open.

  folder                 where to write; pare-<kind>-<id> by default
  --kind <kind>          ${pluginKinds.join(', ')}
  --template <name>      what a technique begins with; prune by default
                         ${Object.entries(techniqueTemplates)
                           .map(([name, what]) => `${name}: ${what}`)
                           .join('\n                         ')}
  --id <id>              what recipes and flags call it: lower-case words joined by dashes, my-method
  --package <name>       name on npm; pare-<kind>-<id> by default
  --title <text>         name for people; made from the id by default
  --summary <sentence>   for lists and help texts
  --toolchain <name>     ${Object.entries(toolchains)
    .map(([name, what]) => `${name}: ${what}`)
    .join('\n                         ')}
  --license <id>         ${Object.values(licenses).join(', ')}
  --author <name>        for package.json and the licence
  --kernel               with a folder for device kernels and a first one (techniques, template prune)
  --no-workflow          without GitHub workflows for tests and releases
  -y, --yes              ask nothing: kind technique, tsc, Apache-2.0 where flags do not say otherwise; --id is needed
  -h, --help             this text

Exit codes: 0 done, 2 refused with the reason, 130 given up at a question.
`;

/** @param {string} problem @param {string} help @returns {never} */
function refuse(problem, help) {
  throw pareError('PARE_COMMAND_INVALID', { problem, help });
}

/**
 * @template {string} T
 * @param {string} flag
 * @param {string | undefined} value
 * @param {readonly T[]} allowed
 * @returns {T | undefined}
 */
function oneOf(flag, value, allowed) {
  if (value === undefined) return undefined;
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  const near = nearest(value, allowed);
  return refuse(`--${flag} "${value}" is unknown`, `${near === undefined ? '' : `Did you mean "${near}"? `}There are: ${allowed.join(', ')}.`);
}

/** Why an id cannot be; undefined when it can. @param {string} id */
export function idProblem(id) {
  return idPattern.test(id) ? undefined : `"${id}" is no id: use lower-case words joined by dashes, such as my-method`;
}

/** Why npm would refuse a name; undefined when it would not. @param {string} name */
export function packageNameProblem(name) {
  if (name.length > 214) return `a package name has at most 214 characters, this one has ${String(name.length)}`;
  return /^(@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9][a-z0-9._-]*$/.test(name) ? undefined : `"${name}" is no package name: lower-case letters, digits, dashes, dots, with or without a scope (@me/pare-technique-x)`;
}

const flags = /** @type {const} */ ({
  kind: { type: 'string' },
  template: { type: 'string' },
  id: { type: 'string' },
  package: { type: 'string' },
  title: { type: 'string' },
  summary: { type: 'string' },
  toolchain: { type: 'string' },
  license: { type: 'string' },
  author: { type: 'string' },
  kernel: { type: 'boolean' },
  workflow: { type: 'boolean' },
  yes: { type: 'boolean', short: 'y' },
  help: { type: 'boolean', short: 'h' },
});

/**
 * @param {readonly string[]} argv
 * @returns {Given}
 * @throws PARE_COMMAND_INVALID
 */
export function readArguments(argv) {
  const { values, positionals } = parse(argv);
  if (positionals.length > 1) refuse(`there is one folder to name, not ${String(positionals.length)}: ${positionals.join(', ')}`, 'Quote names with spaces; "npm create pare-plugin -- --help" lists the flags.');
  const kind = oneOf('kind', values.kind, pluginKinds);
  const template = oneOf('template', values.template, /** @type {import('./plugin-files.mjs').TechniqueTemplate[]} */ (Object.keys(techniqueTemplates)));
  const toolchain = oneOf('toolchain', values.toolchain, /** @type {import('./standalone-files.mjs').Toolchain[]} */ (Object.keys(toolchains)));
  const license = oneOf('license', values.license, Object.values(licenses));
  const problem = (values.id === undefined ? undefined : idProblem(values.id)) ?? (values.package === undefined ? undefined : packageNameProblem(values.package));
  if (problem !== undefined) refuse(problem, 'Nothing was written.');
  if (values.summary !== undefined && !/^.{10,}\.$/s.test(values.summary)) refuse('--summary is no sentence', 'Write one sentence of at least ten characters, with a full stop.');
  if (values.kernel === true && kind !== undefined && kind !== 'technique') refuse(`--kernel goes with techniques, not with --kind ${kind}`, kind === 'backend' ? 'A backend brings kernels of its own: src/executable is where they go.' : 'Leave it out.');
  if (template !== undefined && kind !== undefined && kind !== 'technique') refuse(`--template goes with techniques, not with --kind ${kind}`, 'Leave it out.');
  if (values.kernel === true && template === 'quantize') refuse('--kernel goes with --template prune, not with quantize', 'Leave one of them out.');
  if (values.yes === true && values.id === undefined) refuse('--yes needs --id', 'Name the plugin: --id my-method.');
  return {
    help: values.help === true,
    yes: values.yes === true,
    ...(positionals[0] !== undefined && { folder: positionals[0] }),
    ...(kind !== undefined && { kind }),
    ...(template !== undefined && { template }),
    ...(values.id !== undefined && { id: values.id }),
    ...(values.package !== undefined && { packageName: values.package }),
    ...(values.title !== undefined && { title: values.title }),
    ...(values.summary !== undefined && { summary: values.summary }),
    ...(toolchain !== undefined && { toolchain }),
    ...(license !== undefined && { license }),
    ...(values.author !== undefined && { author: values.author }),
    ...(values.kernel !== undefined && { kernel: values.kernel }),
    ...(values.workflow !== undefined && { workflow: values.workflow }),
  };
}

/** @param {readonly string[]} argv */
function parse(argv) {
  try {
    return parseArgs({ args: [...argv], options: flags, allowPositionals: true, allowNegative: true });
  } catch (error) {
    // Node's sentence, up to its own advice about "--".
    const problem = (error instanceof Error ? error.message : String(error)).split('. ')[0] ?? '';
    const word = /'(--[^'= ]+)/.exec(problem)?.[1];
    const near = word === undefined ? undefined : nearest(word, Object.keys(flags).map((name) => `--${name}`));
    return refuse(problem, `${near === undefined ? '' : `Did you mean "${near}"? `}"npm create pare-plugin -- --help" lists the flags.`);
  }
}
