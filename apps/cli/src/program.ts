import { pareError } from '@pare/core';
import { Command, Option } from 'commander';
import type { LockOptions, PlaceOptions, ProbeOptions } from './commands/plugin-life.js';
import type { CommandContext } from './context.js';
import { createStyle } from './terminal/style.js';
import { parseBytes } from './values/bytes.js';
import { collectAssignment, parseList } from './values/lists.js';
import { parseInteger } from './values/numbers.js';

/** Options of every command. */
export interface GlobalOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly debug: boolean;
  readonly color: boolean;
  readonly config: string | undefined;
}

/** Makes a command's context once its options are known. */
export type ContextMaker = (options: GlobalOptions) => CommandContext;

const integer = (option: string, minimum: number) => (text: string) => parseInteger(text, option, minimum);
const collect = (text: string, previous: readonly string[] = []): string[] => [...previous, text];
const list = (option: string) => (text: string) => parseList(text, option);

/* Options that several commands share, so that they read the same everywhere. */
const recipeOption = (): Option => new Option('-r, --recipe <preset|file>', 'what to do: a preset (see "pare plugins"), or a YAML or JSON recipe (required)');
const setOption = (): Option =>
  new Option('--set <id.option=value>', 'change an option of a technique, format, evaluator or backend; may be repeated').argParser(collectAssignment);
const formatOption = (): Option => new Option('-f, --format <list>', 'formats to write, separated by commas').argParser(list('--format')).default(['hf'], 'hf');
const backendOption = (): Option => new Option('-b, --backend <id>', 'where to compute (see "pare backends")').default('auto', 'auto');
const memoryOption = (): Option =>
  new Option('--memory <amount>', 'hard limit such as 8GiB; refused before the run when it cannot be met').argParser((text: string) => parseBytes(text, '--memory'));
const seedOption = (): Option => new Option('--seed <n>', 'seed of everything random').argParser(integer('--seed', 0)).default(0);
const promptsOption = (): Option => new Option('--prompts <file>', 'prompts to learn from, and answers to them: JSON lines');
const calibrationOptions = (): Option[] => [
  new Option('-c, --calibration <file>', 'text file, or JSON lines with a "text" field, to calibrate on'),
  new Option('--samples <n>', 'calibration windows (--calibration-samples of "pare evaluate")').argParser(integer('--samples', 1)).default(128),
  new Option('--sequence-length <n>', 'tokens in a window').argParser(integer('--sequence-length', 2)).default(512),
  promptsOption(),
];

function addGroup(command: Command, heading: string, options: readonly Option[]): Command {
  for (const option of options) command.addOption(option.helpGroup(heading));
  return command;
}

function addGlobalOptions(command: Command): Command {
  command.addHelpOption(new Option('-h, --help', 'show this help').helpGroup('Messages:'));
  addGroup(command, 'Plugins:', [new Option('--config <file>', 'configuration with more plugins (default: pare.config.ts of this folder, if any)')]);
  return addGroup(command, 'Messages:', [
    new Option('--json', 'one JSON document on standard output, everything else on standard error'),
    new Option('-q, --quiet', 'no progress, only results, warnings and errors'),
    new Option('--no-color', 'no colours (also by NO_COLOR in the environment)'),
    new Option('--debug', 'show the stack of an error'),
  ]);
}

/** Global options of a command; those given before a subcommand (`plugins --json list`) hold for it too. */
function globalOptionsOf(command: Command): GlobalOptions {
  const own = command.opts<Partial<GlobalOptions>>();
  const above: GlobalOptions = command.parent === null ? { json: false, quiet: false, debug: false, color: true, config: undefined } : globalOptionsOf(command.parent);
  return {
    json: above.json || own.json === true,
    quiet: above.quiet || own.quiet === true,
    debug: above.debug || own.debug === true,
    color: above.color && own.color !== false,
    config: own.config ?? above.config,
  };
}

/** Flags that a command cannot do without. Checked after unknown options, so that a misspelt flag is named as such. @throws PARE_COMMAND_INVALID naming all that are missing */
function requireOptions(command: Command): void {
  const missing = command.options.filter((option) => option.description.endsWith('(required)') && command.getOptionValue(option.attributeName()) === undefined);
  if (missing.length === 0) return;
  const problem = `${command.parent?.name() ?? ''} ${command.name()} needs ${missing.map((option) => option.flags.replace(/^-\w, /, '')).join(' and ')}`;
  throw pareError('PARE_COMMAND_INVALID', { problem, help: `"pare ${command.name()} --help" shows every option and examples.` });
}

function examples(...lines: readonly (readonly [command: string, comment: string])[]): string {
  return ['', 'Examples:', ...lines.map(([command, comment]) => `  # ${comment}\n  ${command}`)].join('\n');
}

/** The command line as commander knows it. Actions import their command's module when they run, so that help and errors come at once. */
export function createProgram(version: string, makeContext: ContextMaker): Command {
  const program = new Command('pare')
    .description('Compress language models: quantize, measure and export, without Python.')
    .version(version, '-v, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .enablePositionalOptions()
    .addHelpCommand(new Command('help').argument('[command]').description('Show help, as "pare <command> --help" does.').helpGroup('Project:'))
    .configureHelp({ helpWidth: 110, styleTitle: createStyle(true).bold })
    .addHelpText(
      'after',
      examples(
        ['pare compress ./model --recipe gptq-w4 --calibration text.txt --output ./small', 'GPTQ, 4 bits'],
        ['pare evaluate ./small --data held-out.txt', 'perplexity and size'],
        ['pare plugins', 'every technique, format, evaluator, backend and preset'],
      ),
    );

  const command = (name: string, summary: string, group: string): Command => program.command(name).description(summary).helpGroup(group);
  const act =
    <A extends unknown[]>(run: (context: CommandContext, ...args: A) => Promise<void>) =>
    async (...args: unknown[]): Promise<void> => {
      // Commander appends the options and the command to the positional arguments.
      const self = args.at(-1) as Command;
      requireOptions(self);
      await run(makeContext(globalOptionsOf(self)), ...(args.slice(0, -1) as A));
    };

  const models = 'Models:';
  const compress = command('compress', 'Compress a model and write it in one or more formats.', models).argument('<model>', 'model folder, or a hub name such as owner/name');
  addGroup(compress, 'Recipe:', [recipeOption(), setOption(), seedOption()]);
  addGroup(compress, 'Calibration:', calibrationOptions());
  addGroup(compress, 'Output:', [
    new Option('-o, --output <folder>', 'folder to write (required)'),
    formatOption(),
    new Option('--overwrite', 'replace an output folder that Pare wrote before'),
    new Option('--resume', 'continue an interrupted run at its last finished layer'),
  ]);
  addGroup(compress, 'Measurement:', [
    new Option('-e, --evaluator <list>', 'evaluators to run before and after (default: size, with --data also perplexity)').argParser(list('--evaluator')),
    new Option('--evaluate [list]', 'run evaluators before and after, as --evaluator does, and write <output>.report.html').argParser(list('--evaluate')),
    new Option('--data <file>', 'text to measure on, not the calibration text'),
    new Option('--items <file>', 'questions to measure on, JSON lines'),
  ]);
  addGroup(compress, 'Machine:', [backendOption(), memoryOption()]);
  addGlobalOptions(compress)
    .addHelpText(
      'after',
      examples(
        ['pare compress ./model -r gptq-w4 -c text.txt -o ./small', '4-bit GPTQ as a Hugging Face folder'],
        ['pare compress ./model -r gptq-w4 --set gptq.groupSize=64 -c text.txt -o ./small -f hf,onnx', 'smaller groups, and ONNX for the browser as well'],
        ['pare compress ./model -r rtn-w8 -o ./small', 'plain rounding needs no text'],
        ['pare compress ./model -r gptq-w4 -c text.txt -o ./small -f onnx --set onnx.dtype=q4,q4f16', 'two ONNX files'],
        ['pare compress ./model -r recipe.yaml -c text.txt -o ./small --memory 4GiB --resume', 'your recipe, a limit, and go on where the last run stopped'],
      ),
    )
    .action(act(async (context, model: string, options: CompressOptions) => (await import('./commands/compress.js')).compress(context, model, options)));

  const evaluate = command('evaluate', 'Measure models, exported files, or what recipes make of a model: perplexity, size and more.', models).argument(
    '<model...>',
    'model folders, compressed or not, hub names, or exported files such as onnx/model_q4.onnx',
  );
  addGroup(evaluate, 'Measurement:', [
    new Option('-e, --evaluator <list>', 'evaluators to run (default: size, with --data also perplexity, with --original too divergence)').argParser(list('--evaluator')),
    new Option('--data <file>', 'text to measure on'),
    new Option('--items <file>', 'questions to measure on, JSON lines'),
    new Option('--original <model>', 'the model before compression, for evaluators that compare with it'),
    new Option('--samples <n>', 'windows to measure, 0 for all of the text; those of recipes are --calibration-samples (default: 64)').argParser(integer('--samples', 0)),
    new Option('--sequence-length <n>', 'tokens in a window (default: 512)').argParser(integer('--sequence-length', 2)),
    new Option('--artifact <name>', 'evaluate what a folder exports and not its weights: a format (onnx) or a precision (q4)'),
    new Option('--set <id.option=value>', 'change an option of an evaluator, technique or backend; may be repeated').argParser(collectAssignment),
    seedOption(),
  ]);
  addGroup(evaluate, 'Recipes:', [
    new Option('-r, --recipe <preset|file>', 'also evaluate what this recipe makes of the model, without writing it; may be repeated').argParser(collect),
    new Option('-c, --calibration <file>', 'text file, or JSON lines with a "text" field, to calibrate on'),
    new Option('--calibration-samples <n>', 'calibration windows, as --samples of "pare compress"').argParser(integer('--calibration-samples', 1)).default(128),
    new Option('--calibration-length <n>', 'tokens in a calibration window, as --sequence-length of "pare compress"').argParser(integer('--calibration-length', 2)).default(512),
    promptsOption(),
  ]);
  addGroup(evaluate, 'Earlier runs:', [
    new Option('--resume', 'go on where an interrupted evaluation of the same stopped'),
    new Option('--no-cache', 'measure everything now, and keep nothing'),
    new Option('--cache <folder>', 'where results are kept (default: PARE_CACHE, else pare in the cache folder of your user)'),
  ]);
  addGroup(evaluate, 'Machine:', [backendOption(), memoryOption()]);
  addGlobalOptions(evaluate)
    .addHelpText(
      'after',
      examples(
        ['pare evaluate ./model --data held-out.txt --samples 64', 'perplexity over 64 windows of 512 tokens, and size'],
        ['pare evaluate ./small --evaluator size --json', 'bytes and bits per weight for a script'],
        ['pare evaluate ./model --recipe rtn-w4 --recipe gptq-w4 -c text.txt --data held-out.txt', 'which recipe to take, without writing anything'],
        ['pare evaluate ./small/onnx/model_q4.onnx --original ./model --data held-out.txt', 'what really runs in onnxruntime, against the original'],
      ),
    )
    .action(act(async (context, files: string[], options: EvaluateOptions) => (await import('./commands/evaluate.js')).evaluate(context, files, options)));

  const plan = command('plan', 'Show what a recipe would do: modules, bytes, memory and time. Reads no weights.', models).argument('<model>', 'model folder, or a hub name');
  addGroup(plan, 'Recipe:', [recipeOption(), setOption(), formatOption(), seedOption()]);
  addGroup(plan, 'Calibration:', calibrationOptions());
  addGroup(plan, 'Machine:', [backendOption(), memoryOption()]);
  addGroup(plan, 'Listing:', [new Option('--modules', 'list every module of every stage')]);
  addGlobalOptions(plan)
    .addHelpText('after', examples(['pare plan ./model -r gptq-w4 -c text.txt', 'what it takes'], ['pare plan ./model -r gptq-w4 -c text.txt --memory 2GiB', 'would this limit do?']))
    .action(act(async (context, model: string, options: PlanOptions) => (await import('./commands/plan.js')).plan(context, model, options)));

  const inspect = command('inspect', 'Show what a model is made of, and how it was compressed.', models).argument('<model>', 'model folder, compressed or not, or a hub name');
  addGroup(inspect, 'Listing:', [
    new Option('--modules', 'list every weight matrix that a recipe can target'),
    new Option('--tensors', 'list every tensor'),
  ]);
  addGlobalOptions(inspect)
    .addHelpText('after', examples(['pare inspect ./model --modules', 'names to use in targets and overrides of a recipe']))
    .action(act(async (context, model: string, options: InspectOptions) => (await import('./commands/inspect.js')).inspect(context, model, options)));

  const results = 'Results:';
  const resultHelp = 'output folders, or what "evaluate --json" or "compress --json" printed';
  const report = command('report', 'Write a report of one or more results: cards, tables, charts, provenance.', results).argument('<result...>', resultHelp);
  addGroup(report, 'Output:', [
    new Option('-o, --output <file>', 'file to write; with several formats, each takes its own extension').default('report.html', 'report.html'),
    new Option('-f, --format <list>', 'html, md, json, csv, separated by commas (default: by the extension of --output)').argParser(list('--format')),
    new Option('--title <text>', 'heading of the report'),
  ]);
  addGlobalOptions(report)
    .addHelpText(
      'after',
      examples(
        ['pare report ./small', 'report.html, one page that opens anywhere'],
        ['pare report ./w4 ./w3 measured.json -o results.html -f html,csv', 'several runs against each other, and a table for a spreadsheet'],
      ),
    )
    .action(act(async (context, files: string[], options: ReportOptions) => (await import('./commands/report.js')).report(context, files, options)));

  const compare = command('compare', 'Compare results in the terminal, the best values marked.', results).argument('<result...>', resultHelp);
  addGlobalOptions(compare)
    .addHelpText('after', examples(['pare compare ./w8 ./w4 ./w3', 'which one to take']))
    .action(act(async (context, files: string[]) => (await import('./commands/compare.js')).compare(context, files)));

  const extensions = 'Plugins and machine:';
  const plugins = command('plugins', 'List plugins, show one, install, remove and examine them.', extensions).argument('[id]', 'show this plugin, as "plugins info" does');
  addGlobalOptions(plugins)
    .addHelpText(
      'after',
      examples(
        ['pare plugins', 'everything that is loaded'],
        ['pare plugins info gptq', 'its options and an example'],
        ['pare plugins install pare-technique-ternary', 'from npm; also ./folder or ./file.tgz'],
        ['pare plugins doctor', 'does every plugin load, and load cleanly?'],
        ['pare plugins scan', 'packages here that are plugins, as lines for pare.config.ts'],
      ),
    )
    .action(
      act(async (context, id: string | undefined) => {
        const { listPlugins, showPlugin } = await import('./commands/plugins.js');
        await (id === undefined ? listPlugins(context) : showPlugin(context, id));
      }),
    );
  addGlobalOptions(plugins.command('list').description('List every loaded plugin.')).action(
    act(async (context) => (await import('./commands/plugins.js')).listPlugins(context)),
  );
  addGlobalOptions(plugins.command('info').description('Show a plugin: what it does, its options, an example.').argument('<id>', 'plugin id')).action(
    act(async (context, id: string) => (await import('./commands/plugins.js')).showPlugin(context, id)),
  );
  addGlobalOptions(plugins.command('scan').description('Find the plugins among the package in this folder and its dependencies, beside those that come with pare. Runs none of their code.')).action(
    act(async (context) => (await import('./commands/plugins.js')).scanPlugins(context)),
  );
  const userOption = (): Option => new Option('--user', 'for you, in every folder, instead of for the project in this one');
  const timeoutOption = (): Option => new Option('--timeout <seconds>', 'seconds that a plugin may take to load').argParser(integer('--timeout', 1)).default(30);
  const install = plugins.command('install').description('Install a plugin, after trying it out in a process of its own.').argument('<plugin>', 'package name (name@version), folder, or tarball');
  addGroup(install, 'Installation:', [userOption(), timeoutOption()]);
  addGlobalOptions(install).action(
    act(async (context, plugin: string, options: PlaceOptions & ProbeOptions) => (await import('./commands/plugin-life.js')).installPlugin(context, plugin, options)),
  );
  const remove = plugins.command('remove').description('Remove a plugin that was installed.').argument('<package>', 'its package');
  addGroup(remove, 'Installation:', [userOption()]);
  addGlobalOptions(remove).action(act(async (context, name: string, options: PlaceOptions) => (await import('./commands/plugin-life.js')).removePlugin(context, name, options)));
  const doctor = plugins.command('doctor').description('Examine every plugin beside those that come with pare: does it load, in time, and cleanly?');
  addGroup(doctor, 'Examination:', [timeoutOption()]);
  addGlobalOptions(doctor).action(act(async (context, options: ProbeOptions) => (await import('./commands/plugin-life.js')).examine(context, options)));
  const lock = plugins.command('lock').description('Write names, versions and hashes of all plugins, for recipes to pin.').argument('[file]', 'where to write (default: pare-plugins.lock.json)');
  addGroup(lock, 'Lock:', [new Option('--check', 'compare instead of writing')]);
  addGlobalOptions(lock).action(act(async (context, file: string | undefined, options: LockOptions) => (await import('./commands/plugin-life.js')).lockPlugins(context, file, options)));

  const backends = command('backends', 'List backends and what they found on this machine.', extensions);
  addGlobalOptions(backends).action(act(async (context) => (await import('./commands/backends.js')).backends(context)));

  const project = 'Project:';
  const init = command('init', 'Write a pare.config.ts and a recipe to start from.', project).argument('[folder]', 'where to write', '.');
  addGroup(init, 'Recipe:', [new Option('-r, --recipe <preset>', 'preset to start from').default('gptq-w4')]);
  addGlobalOptions(init).action(act(async (context, folder: string, options: InitOptions) => (await import('./commands/init.js')).init(context, folder, options)));

  const completion = command('completion', 'Print a completion script for your shell.', project).argument('<shell>', 'bash, zsh, fish or powershell');
  addGlobalOptions(completion)
    .addHelpText('after', examples(['source <(pare completion bash)', 'for this shell'], ['pare completion fish > ~/.config/fish/completions/pare.fish', 'for good']))
    .action(act(async (context, shell: string) => (await import('./commands/completion.js')).printCompletionScript(context, shell)));

  // What completion scripts call at each Tab: `pare complete -- compress --re`.
  program
    .command('complete', { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .helpOption(false)
    .action(async (words: string[]) => {
      await (await import('./commands/completion.js')).completeWords(program, words);
    });

  return program;
}

export interface CompressOptions extends GlobalOptions {
  readonly recipe: string;
  readonly set?: readonly string[];
  readonly seed: number;
  readonly calibration?: string;
  readonly prompts?: string;
  readonly samples: number;
  readonly sequenceLength: number;
  readonly output: string;
  readonly format: readonly string[];
  readonly overwrite?: boolean;
  readonly resume?: boolean;
  readonly evaluator?: readonly string[];
  /** True when given without a list. */
  readonly evaluate?: readonly string[] | true;
  readonly data?: string;
  readonly items?: string;
  readonly backend: string;
  readonly memory?: number;
}

export interface EvaluateOptions extends GlobalOptions {
  readonly artifact?: string;
  readonly recipe?: readonly string[];
  readonly calibration?: string;
  readonly calibrationSamples: number;
  readonly calibrationLength: number;
  readonly prompts?: string;
  readonly resume?: boolean;
  /** A folder; false after --no-cache. */
  readonly cache?: string | boolean;
  readonly memory?: number;
  readonly evaluator?: readonly string[];
  readonly data?: string;
  readonly items?: string;
  readonly original?: string;
  readonly samples?: number;
  readonly sequenceLength?: number;
  readonly set?: readonly string[];
  readonly seed: number;
  readonly backend: string;
}

export interface PlanOptions extends GlobalOptions {
  readonly recipe: string;
  readonly set?: readonly string[];
  readonly format: readonly string[];
  readonly seed: number;
  readonly calibration?: string;
  readonly prompts?: string;
  readonly samples: number;
  readonly sequenceLength: number;
  readonly backend: string;
  readonly memory?: number;
  readonly modules?: boolean;
}

export interface InspectOptions extends GlobalOptions {
  readonly modules?: boolean;
  readonly tensors?: boolean;
}

export interface ReportOptions extends GlobalOptions {
  readonly output: string;
  readonly format?: readonly string[];
  readonly title?: string;
}

export interface InitOptions extends GlobalOptions {
  readonly recipe: string;
}
