import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../workspace.js';
import { layOut, safetensors, tinyConfig, tinyData, tinyShapes, writeTinyModel, type HeaderEntry } from './tiny-model.js';

/** Something a user can get wrong. */
export interface BadInput {
  readonly name: string;
  /** Codes of which one must be printed. */
  readonly code: string;
  /** What message or help must say, so that the user finds the mistake. */
  readonly says: readonly RegExp[];
  /** Prepares an empty folder and returns the command's words. `out` is where the output must not appear. */
  readonly prepare: (folder: string) => readonly string[];
}

const text = join(root, 'examples/data/tales-calibration.txt');
const calibrated = ['--calibration', text, '--samples', '4', '--sequence-length', '32'];

/** `pare compress model …` with data-free rounding. */
const rounding = (...more: readonly string[]): string[] => ['compress', 'model', '--recipe', 'rtn-w8', '--set', 'rtn.groupSize=32', '--output', 'out', ...more];
/** `pare compress model …` with a recipe that needs calibration. */
const gptq = (...more: readonly string[]): string[] => ['compress', 'model', '--recipe', 'gptq-w4', '--set', 'gptq.groupSize=32', '--output', 'out', ...more];

/** `pare compress model …` with training on responses, of the smallest size. */
const onPolicy = (...more: readonly string[]): string[] => ['compress', 'model', '--recipe', 'gkd-on-policy', '--set', 'gkd.steps=3', '--set', 'gkd.maxNewTokens=4', '--output', 'out', ...more];

const model = (folder: string): string => writeTinyModel(join(folder, 'model'));
const weights = (folder: string): string => join(folder, 'model', 'model.safetensors');

/** A model whose header was changed after the data was laid out. */
function withHeader(change: (header: Record<string, HeaderEntry>) => void): (folder: string) => string[] {
  return (folder) => {
    writeTinyModel(join(folder, 'model'), { change });
    return rounding();
  };
}

/** `pare evaluate model …` with an evaluator that compares. */
const comparing = (...more: readonly string[]): string[] => ['evaluate', 'model', '--evaluator', 'divergence', '--samples', '1', '--sequence-length', '16', ...more];

/** An original with more tokens than the model. */
function largerVocabulary(folder: string): string[] {
  model(folder);
  const original = writeTinyModel(join(folder, 'original'), { config: { vocab_size: 4160 } });
  const shapes = { ...tinyShapes(), 'model.embed_tokens.weight': [4160, 64] };
  writeFileSync(join(original, 'model.safetensors'), safetensors(layOut(shapes).header, new Uint8Array(tinyData(shapes).buffer)));
  return comparing('--data', text, '--original', 'original');
}

/** A model whose final norm, which comes after the embedding, is finite and far too large. */
function overflowingLogits(folder: string): string[] {
  writeTinyModel(join(folder, 'model'), { change: (_, data) => data.fill(3e38, 4096 * 64, 4097 * 64) });
  writeTinyModel(join(folder, 'original'));
  return comparing('--data', text, '--original', 'original');
}

/** Items to learn from. */
function prompting(items: readonly object[], ...more: readonly string[]): (folder: string) => string[] {
  return (folder) => {
    model(folder);
    writeFileSync(join(folder, 'items.jsonl'), items.map((item) => JSON.stringify(item)).join('\n'));
    return onPolicy('--prompts', 'items.jsonl', ...more);
  };
}

/** A technique that learns answers, with these options, and a file of one question. */
function asking(technique: string, options: string, question = 'Who has more?'): (folder: string) => string[] {
  return (folder) => {
    writeFileSync(join(folder, 'prompts.jsonl'), JSON.stringify({ question, answer: 'Ruby' }));
    return [...withRecipe(`version: 1\nstages:\n  - technique: ${technique}\n    options: { ${options} }\n`, '--prompts', 'prompts.jsonl')(folder)];
  };
}

function withConfig(config: object): (folder: string) => string[] {
  return (folder) => {
    writeTinyModel(join(folder, 'model'), { config });
    return rounding();
  };
}

/** A model with something beside it that is called an ONNX file. */
function exportedFile(folder: string): void {
  model(folder);
  mkdirSync(join(folder, 'model', 'onnx'));
  writeFileSync(join(folder, 'model', 'onnx', 'model.onnx'), 'not a graph');
}

/** `pare report` on a JSON document. */
function withResult(document: object): (folder: string) => string[] {
  return (folder) => {
    writeFileSync(join(folder, 'result.json'), JSON.stringify(document));
    return ['report', 'result.json', '--output', 'out'];
  };
}

/** Writes the model in two shards; `change` edits the index. */
function writeShards(folder: string, change: (index: { weight_map: Record<string, string> }) => void = () => undefined): void {
  model(folder);
  rmSync(weights(folder));
  const names = Object.keys(tinyShapes());
  const index = { metadata: { total_size: 0 }, weight_map: {} as Record<string, string> };
  for (const [part, shard] of [names.slice(0, 8), names.slice(8)].entries()) {
    const file = `model-0000${String(part + 1)}-of-00002.safetensors`;
    const shapes = Object.fromEntries(shard.map((name) => [name, tinyShapes()[name]!]));
    const { header, bytes } = layOut(shapes);
    writeFileSync(join(folder, 'model', file), safetensors(header, new Uint8Array(tinyData(shapes).buffer)));
    index.metadata.total_size += bytes;
    for (const name of shard) index.weight_map[name] = file;
  }
  change(index);
  writeFileSync(join(folder, 'model', 'model.safetensors.index.json'), JSON.stringify(index));
}

function withRecipe(recipe: string, ...more: readonly string[]): (folder: string) => string[] {
  return (folder) => {
    model(folder);
    writeFileSync(join(folder, 'recipe.yaml'), recipe);
    return ['compress', 'model', '--recipe', 'recipe.yaml', '--output', 'out', ...more];
  };
}

/** A technique as the text of a module, for configurations. */
const technique = (id: string, api: number | string): string =>
  `{ $$type: '@pare/technique', id: '${id}', api: ${String(api)}, title: 'T', summary: 'T.', family: 'quantization', scope: 'tensor', accepts: ['dense'], produces: ['dense'],
    options: { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: {} }), jsonSchema: { input: () => ({ type: 'object' }), output: () => ({ type: 'object' }) } } },
    plan: (targets) => targets.map(({ info }) => ({ module: info.name, produces: 'dense', storedBits: 0, flops: 0, workingBytes: 0 })), apply: async () => {} }`;

function withPlugins(entries: string, before = ''): (folder: string) => string[] {
  return (folder) => {
    model(folder);
    writeFileSync(join(folder, 'pare.config.mjs'), `${before}\nexport default { plugins: [${entries}] };\n`);
    return rounding();
  };
}

/** A technique that takes dense weights behind one that quantizes them. */
function impossibleOrder(folder: string): string[] {
  withPlugins(technique('dense-only', 1))(folder);
  return withRecipe('version: 1\nstages:\n  - technique: rtn\n    options: { groupSize: 32 }\n  - technique: dense-only\n')(folder);
}

/** An installed package that throws when it is imported. */
function throwingPackage(folder: string): string[] {
  const directory = join(folder, 'node_modules', 'pare-technique-broken');
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name: 'pare-technique-broken', version: '1.0.0', type: 'module', exports: './index.js', pare: { kind: 'technique', api: 1 } }));
  writeFileSync(join(directory, 'index.js'), `throw new Error('the licence server does not answer');\n`);
  model(folder);
  writeFileSync(join(folder, 'pare.config.mjs'), `export default { plugins: ['pare-technique-broken'] };\n`);
  return rounding();
}

/** `pare plugins install` of a folder with a package. */
function installing(manifest: object, code: string): (folder: string) => string[] {
  return (folder) => {
    mkdirSync(join(folder, 'plugin'));
    writeFileSync(join(folder, 'plugin', 'package.json'), JSON.stringify({ name: 'pare-technique-theirs', version: '1.0.0', type: 'module', exports: './index.js', ...manifest }));
    writeFileSync(join(folder, 'plugin', 'index.js'), code);
    return ['plugins', 'install', './plugin', '--user', '--timeout', '1'];
  };
}

/** A recipe that pins a plugin lock, and what lies in the lock's place. */
function pinning(lock: string | undefined): (folder: string) => string[] {
  return (folder) => {
    if (lock !== undefined) writeFileSync(join(folder, 'plugins.lock.json'), lock);
    return withRecipe('version: 1\nplugins: { lock: plugins.lock.json }\nstages:\n  - technique: rtn\n')(folder);
  };
}

/** A model too large for the disk: its file is sparse and takes no room itself. */
function hugeModel(folder: string): string[] {
  const { bavail, bsize } = statfsSync(folder);
  const rows = Math.ceil((1.5 * bavail * bsize) / (4 * 64)) + 4096;
  const shapes = { ...tinyShapes(), 'model.embed_tokens.weight': [rows, 64] };
  writeTinyModel(join(folder, 'model'), { config: { vocab_size: rows } });
  const { header, bytes } = layOut(shapes);
  const head = safetensors(header, new Uint8Array());
  const file = openSync(weights(folder), 'w');
  writeSync(file, head);
  ftruncateSync(file, head.length + bytes);
  closeSync(file);
  return rounding();
}

function foreignOutput(folder: string): string[] {
  model(folder);
  mkdirSync(join(folder, 'out'));
  writeFileSync(join(folder, 'out', 'thesis.tex'), 'years of work\n');
  return rounding('--overwrite');
}

const set = (index: number, value: number) => (_header: unknown, data: Float32Array) => {
  data[index] = value;
};

/** Index of the first element of model.layers.1.mlp.up_proj.weight in the data, in elements. */
const insideUpProjection = layOut(tinyShapes()).header['model.layers.1.mlp.up_proj.weight']!.data_offsets[0] / 4;

/** Every mistake that the command answers before long work, with nothing written. */
export const badInputs: readonly BadInput[] = [
  // The command line
  { name: 'misspelt command', code: 'PARE_COMMAND_INVALID', says: [/"comprss"/, /Did you mean "compress"/], prepare: () => ['comprss', 'model'] },
  { name: 'misspelt flag', code: 'PARE_COMMAND_INVALID', says: [/--recip\b/, /Did you mean "--recipe"/], prepare: (folder) => (model(folder), ['compress', 'model', '--recip', 'rtn-w8', '--output', 'out']) },
  { name: 'no recipe, no output', code: 'PARE_COMMAND_INVALID', says: [/--recipe/, /--output/], prepare: (folder) => (model(folder), ['compress', 'model']) },
  { name: '`--memory` without a unit', code: 'PARE_COMMAND_INVALID', says: [/"8"/, /8GiB/], prepare: (folder) => (model(folder), rounding('--memory', '8')) },
  { name: '`--samples` of nothing', code: 'PARE_COMMAND_INVALID', says: [/"0"/, /1 or more/], prepare: (folder) => (model(folder), rounding('--samples', '0')) },
  { name: '`--set` without a technique', code: 'PARE_COMMAND_INVALID', says: [/"bits=4"/, /technique\.option=value/], prepare: (folder) => (model(folder), rounding('--set', 'bits=4')) },

  // The model folder
  { name: 'no such model', code: 'PARE_MODEL_NOT_FOUND', says: [/modle/], prepare: (folder) => (model(folder), ['compress', './modle', '--recipe', 'rtn-w8', '--output', 'out']) },
  { name: 'hub out of reach', code: 'PARE_HUB_UNREACHABLE', says: [/127\.0\.0\.1/, /HF_ENDPOINT/], prepare: () => ['evaluate', 'nobody/no-such-model'] },
  {
    name: 'folder without weights',
    code: 'PARE_WEIGHTS_MISSING',
    says: [/model\.safetensors/],
    prepare: (folder) => {
      model(folder);
      rmSync(weights(folder));
      return rounding();
    },
  },
  {
    name: 'missing shard',
    code: 'PARE_SHARD_MISSING',
    says: [/model-00002-of-00002\.safetensors/],
    prepare: (folder) => {
      writeShards(folder);
      rmSync(join(folder, 'model', 'model-00002-of-00002.safetensors'));
      return rounding();
    },
  },
  {
    name: 'half-downloaded shard',
    code: 'PARE_SAFETENSORS_TRUNCATED',
    says: [/model-00001-of-00002\.safetensors/],
    prepare: (folder) => {
      writeShards(folder);
      truncateSync(join(folder, 'model', 'model-00001-of-00002.safetensors'), 500_000);
      return rounding();
    },
  },
  {
    name: 'path traversal in the shard index',
    code: 'PARE_SHARD_PATH_UNSAFE',
    says: [/\.\.\/\.\.\/secret\.safetensors/],
    prepare: (folder) => {
      writeShards(folder, (index) => {
        index.weight_map['model.norm.weight'] = '../../secret.safetensors';
      });
      return rounding();
    },
  },
  {
    name: 'header longer than the file',
    code: 'PARE_SAFETENSORS_HEADER_BEYOND_FILE',
    says: [/model\.safetensors/],
    prepare: (folder) => {
      model(folder);
      truncateSync(weights(folder), 200);
      return rounding();
    },
  },
  {
    name: 'header over 100 MB',
    code: 'PARE_SAFETENSORS_HEADER_TOO_LARGE',
    says: [/model\.safetensors/],
    prepare: (folder) => {
      model(folder);
      const file = readFileSync(weights(folder));
      file.writeBigUInt64LE(2n ** 40n);
      writeFileSync(weights(folder), file);
      return rounding();
    },
  },
  {
    name: 'header that is no JSON',
    code: 'PARE_SAFETENSORS_HEADER_NOT_JSON',
    says: [/model\.safetensors/],
    prepare: (folder) => {
      model(folder);
      const file = readFileSync(weights(folder));
      file[8] = 0x5d;
      writeFileSync(weights(folder), file);
      return rounding();
    },
  },
  {
    name: 'overlapping tensors',
    code: 'PARE_SAFETENSORS_OFFSETS_INVALID',
    says: [/model\.norm\.weight|model\.layers\.0\.input_layernorm\.weight/],
    prepare: withHeader((header) => {
      const [start, end] = header['model.norm.weight']!.data_offsets;
      header['model.norm.weight']!.data_offsets = [start - 64, end - 64];
    }),
  },
  {
    name: 'negative offset',
    code: 'PARE_SAFETENSORS_OFFSETS_INVALID',
    says: [/model\.norm\.weight/],
    prepare: withHeader((header) => {
      header['model.norm.weight']!.data_offsets = [-256, 0];
    }),
  },
  {
    name: 'offset beyond the file',
    code: 'PARE_SAFETENSORS_OFFSETS_BEYOND_FILE',
    says: [/model\.layers\.1\.mlp\.down_proj\.weight/],
    prepare: withHeader((header) => {
      header['model.layers.1.mlp.down_proj.weight']!.data_offsets = [1e9, 1e9 + 4 * 64 * 96];
    }),
  },
  {
    name: 'type whose size does not fit',
    code: 'PARE_SAFETENSORS_SIZE_MISMATCH',
    says: [/model\.norm\.weight/],
    prepare: withHeader((header) => {
      header['model.norm.weight']!.dtype = 'F16';
    }),
  },
  {
    name: 'type that nobody knows',
    code: 'PARE_SAFETENSORS_DTYPE_UNSUPPORTED',
    says: [/F12/],
    prepare: withHeader((header) => {
      header['model.norm.weight']!.dtype = 'F12';
    }),
  },
  { name: 'unknown architecture', code: 'PARE_ARCHITECTURE_UNKNOWN', says: [/"llamma"/, /Did you mean "llama"/], prepare: withConfig({ model_type: 'llamma' }) },
  {
    name: 'config.json that is no JSON',
    code: 'PARE_CONFIG_INVALID',
    says: [/config\.json/],
    prepare: (folder) => {
      model(folder);
      writeFileSync(join(folder, 'model', 'config.json'), JSON.stringify(tinyConfig).slice(0, 100));
      return rounding();
    },
  },
  { name: 'impossible value in config.json', code: 'PARE_CONFIG_INVALID', says: [/num_hidden_layers/], prepare: withConfig({ num_hidden_layers: -2 }) },
  { name: 'config.json with more layers than the weights', code: 'PARE_MODEL_TENSOR_MISSING', says: [/model\.layers\.2\./], prepare: withConfig({ num_hidden_layers: 3 }) },
  { name: 'config.json with other sizes than the weights', code: 'PARE_MODEL_TENSOR_SHAPE', says: [/mlp\.(gate|up|down)_proj/, /128/], prepare: withConfig({ intermediate_size: 128 }) },
  {
    name: 'no tokenizer',
    code: 'PARE_TOKENIZER_MISSING',
    says: [/tokenizer\.json/],
    prepare: (folder) => {
      model(folder);
      rmSync(join(folder, 'model', 'tokenizer.json'));
      return gptq(...calibrated);
    },
  },
  {
    name: 'NaN in a weight',
    code: 'PARE_WEIGHT_NOT_FINITE',
    says: [/model\.layers\.1\.mlp\.up_proj/, /NaN/, /\b7\b/],
    prepare: (folder) => (writeTinyModel(join(folder, 'model'), { change: set(insideUpProjection + 7, Number.NaN) }), rounding()),
  },
  {
    name: 'infinity in a weight',
    code: 'PARE_WEIGHT_NOT_FINITE',
    says: [/model\.layers\.1\.mlp\.up_proj/, /Infinity/, /\b9\b/],
    prepare: (folder) => (writeTinyModel(join(folder, 'model'), { change: set(insideUpProjection + 9, Number.NEGATIVE_INFINITY) }), gptq(...calibrated)),
  },

  // Calibration
  { name: 'no prompts to learn from', code: 'PARE_PROMPTS_MISSING', says: [/gkd/, /--prompts/], prepare: (folder) => (model(folder), onPolicy()) },
  { name: 'prompt beyond the window', code: 'PARE_PROMPT_TOO_LONG', says: [/items\.jsonl, line 2/, /positions/], prepare: prompting([{ question: 'Who?', answer: 'Ann' }, { question: 'one two three four '.repeat(2000), answer: 'Ann' }]) },
  { name: 'prompt without its response', code: 'PARE_ITEM_INVALID', says: [/items\.jsonl:1/, /response/], prepare: prompting([{ question: 'Who?' }]) },
  { name: 'no calibration text', code: 'PARE_CALIBRATION_MISSING', says: [/gptq/, /--calibration/], prepare: (folder) => (model(folder), gptq()) },
  { name: 'no such calibration file', code: 'PARE_FILE_UNREADABLE', says: [/nowhere\.txt/], prepare: (folder) => (model(folder), gptq('--calibration', 'nowhere.txt', '--samples', '4', '--sequence-length', '32')) },
  {
    name: 'calibration text too short',
    code: 'PARE_CALIBRATION_TOO_SHORT',
    says: [/short\.txt/, /--sequence-length/],
    prepare: (folder) => {
      model(folder);
      writeFileSync(join(folder, 'short.txt'), 'Once upon a time there was a very short text.\n');
      return gptq('--calibration', 'short.txt', '--samples', '64', '--sequence-length', '64');
    },
  },
  {
    name: 'windows longer than the model can read',
    code: 'PARE_WINDOW_TOO_LONG',
    says: [/512/, /128/],
    prepare: (folder) => (model(folder), gptq('--calibration', text)),
  },

  // The recipe
  { name: 'unknown preset', code: 'PARE_PLUGIN_UNKNOWN', says: [/"gptq-w5"/, /Did you mean "gptq-w[348]"/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'gptq-w5', '--output', 'out']) },
  { name: 'no such recipe file', code: 'PARE_FILE_UNREADABLE', says: [/nowhere\.yaml/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'nowhere.yaml', '--output', 'out']) },
  { name: 'recipe that is no YAML', code: 'PARE_RECIPE_INVALID', says: [/recipe\.yaml/], prepare: withRecipe('version: 1\nstages: [technique: {rtn\n') },
  { name: 'recipe of another version', code: 'PARE_RECIPE_INVALID', says: [/version/], prepare: withRecipe('version: 2\nstages:\n  - technique: rtn\n') },
  { name: 'unknown technique', code: 'PARE_PLUGIN_UNKNOWN', says: [/"gtpq"/, /Did you mean "gptq"/], prepare: withRecipe('version: 1\nstages:\n  - technique: gtpq\n', ...calibrated) },
  { name: 'unknown option', code: 'PARE_OPTIONS_INVALID', says: [/groupsize/, /groupSize/], prepare: withRecipe('version: 1\nstages:\n  - technique: rtn\n    options: { groupsize: 32 }\n') },
  { name: 'option out of range', code: 'PARE_OPTIONS_INVALID', says: [/bits/, /8/], prepare: withRecipe('version: 1\nstages:\n  - technique: rtn\n    options: { bits: 12 }\n') },
  { name: '`--set` of a technique that the recipe lacks', code: 'PARE_RECIPE_SET_INVALID', says: [/gptq/, /rtn/], prepare: (folder) => (model(folder), rounding('--set', 'gptq.bits=3')) },
  { name: 'group size that does not divide', code: 'PARE_TARGET_REFUSED', says: [/40/, /mlp|self_attn/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'rtn-w4', '--set', 'rtn.groupSize=40', '--output', 'out']) },
  { name: 'impossible order of stages', code: 'PARE_RECIPE_ORDER', says: [/dense-only/, /stage 1 \(rtn\)/, /quantized/], prepare: impossibleOrder },
  { name: 'targets that match nothing', code: 'PARE_TARGET_UNMATCHED', says: [/q_porj/], prepare: withRecipe('version: 1\nstages:\n  - technique: rtn\n    options: { groupSize: 32 }\n    targets: { include: ["*.q_porj"] }\n') },
  { name: 'sparsity of everything', code: 'PARE_OPTIONS_INVALID', says: [/sparsity/, /1/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'magnitude-50', '--set', 'magnitude.sparsity=1', '--output', 'out']) },
  { name: 'sparsity of nothing', code: 'PARE_OPTIONS_INVALID', says: [/sparsity/, /0/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'wanda-50', '--set', 'wanda.sparsity=0', '--output', 'out', ...calibrated]) },
  { name: 'sparsity too small to prune anything', code: 'PARE_TARGET_REFUSED', says: [/0\.001/, /none of the inputs of an output/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'wanda-50', '--set', 'wanda.sparsity=0.001', '--output', 'out', ...calibrated]) },
  { name: 'N:M pattern that is none', code: 'PARE_OPTIONS_INVALID', says: [/pattern/, /N:M/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'sparsegpt-50', '--set', 'sparsegpt.pattern=4:2', '--output', 'out', ...calibrated]) },
  { name: 'N:M pattern that does not divide', code: 'PARE_TARGET_REFUSED', says: [/groups of 5/, /64 inputs/, /groups that do: 2, 4/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'magnitude-50', '--set', 'magnitude.pattern=2:5', '--output', 'out']) },
  { name: 'N:M pattern and another sparsity', code: 'PARE_TARGET_REFUSED', says: [/2:4/, /0\.5/, /0\.7/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'sparsegpt-2-4', '--set', 'sparsegpt.sparsity=0.7', '--output', 'out', ...calibrated]) },
  { name: 'pruning what was quantized, where that loses the codes', code: 'PARE_RECIPE_ORDER', says: [/stage 2 \(sparsegpt\)/, /stage 1 \(rtn\)/, /quantized/], prepare: withRecipe('version: 1\nstages:\n  - technique: rtn\n    options: { groupSize: 32 }\n  - technique: sparsegpt\n', ...calibrated) },
  { name: 'calibration statistics outside blocks', code: 'PARE_TARGET_REFUSED', says: [/embed_tokens/, /outside the blocks/], prepare: withRecipe('version: 1\nstages:\n  - technique: wanda\n    targets: { include: ["embedding"] }\n', ...calibrated) },
  { name: 'tied matrix compressed twice', code: 'PARE_TARGET_TIED', says: [/lm_head/, /embed_tokens/, /stage 1 \(magnitude\)/], prepare: withRecipe('version: 1\nstages:\n  - technique: magnitude\n    targets: { include: ["embedding"] }\n  - technique: magnitude\n    targets: { include: ["head"] }\n') },
  { name: 'factors of all numbers', code: 'PARE_OPTIONS_INVALID', says: [/ratio/, /1/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'svd-80', '--set', 'svd.ratio=1', '--output', 'out', '--format', 'onnx']) },
  { name: 'rank that makes nothing smaller', code: 'PARE_TARGET_REFUSED', says: [/rank 60/, /no smaller than the matrix/, /up to 31/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'svd-80', '--set', 'svd.by=rank', '--set', 'svd.rank=60', '--output', 'out', '--format', 'onnx']) },
  { name: 'factors of a tied head', code: 'PARE_TARGET_REFUSED', says: [/model\.embed_tokens/, /looked up row by row/], prepare: withRecipe('version: 1\nstages:\n  - technique: svd\n    targets: { include: ["head"] }\n', '--format', 'onnx') },
  { name: 'groups that do not divide a rank', code: 'PARE_TARGET_REFUSED', says: [/groupSize 32 does not divide its rank, 25/, /multipleOf: 32/], prepare: withRecipe('version: 1\nstages:\n  - technique: svd\n  - technique: rtn\n    options: { groupSize: 32 }\n', '--format', 'onnx') },
  { name: 'factors for a Hugging Face folder', code: 'PARE_FORMAT_REFUSED', says: [/factorized/, /multiplyOut: true/], prepare: (folder) => (model(folder), ['compress', 'model', '--recipe', 'svd-80', '--output', 'out', '--format', 'hf']) },
  { name: 'groups that do not divide, under AWQ', code: 'PARE_TARGET_REFUSED', says: [/groupSize 40 does not divide its 64 inputs/, /stage 1 \(awq\)/], prepare: withRecipe('version: 1\nstages:\n  - technique: awq\n    options: { groupSize: 40 }\n', ...calibrated) },
  { name: 'more than all of the outliers', code: 'PARE_OPTIONS_INVALID', says: [/strength/, /1\.5/], prepare: withRecipe('version: 1\nstages:\n  - technique: smoothquant\n    options: { strength: 1.5 }\n', ...calibrated) },
  { name: 'smoothing that neither smooths nor rounds', code: 'PARE_TARGET_REFUSED', says: [/smooth/, /quantize/], prepare: withRecipe('version: 1\nstages:\n  - technique: smoothquant\n    options: { smooth: false, quantize: false }\n', ...calibrated) },
  { name: 'tensor trains of what is multiplied', code: 'PARE_TARGET_REFUSED', says: [/q_proj/, /targets \["embedding"\]/], prepare: withRecipe('version: 1\nstages:\n  - technique: tensorgpt\n    targets: { include: ["*.q_proj"] }\n', '--format', 'onnx') },
  { name: 'tensor trains larger than the rows', code: 'PARE_TARGET_REFUSED', says: [/maxRank 32/, /64/], prepare: withRecipe('version: 1\nstages:\n  - technique: tensorgpt\n    options: { maxRank: 32 }\n    targets: { include: ["embedding"] }\n', '--format', 'onnx') },
  { name: 'factors that hold too few numbers', code: 'PARE_TARGET_REFUSED', says: [/4×4 hold 16 numbers/, /64/], prepare: withRecipe('version: 1\nstages:\n  - technique: tensorgpt\n    options: { factors: [4, 4] }\n    targets: { include: ["embedding"] }\n', '--format', 'onnx') },
  { name: 'every block removed', code: 'PARE_TARGET_REFUSED', says: [/llm-pruner/, /block/], prepare: withRecipe('version: 1\nstages:\n  - technique: llm-pruner\n    options: { granularity: layer, ratio: 0.99 }\n', ...calibrated) },
  { name: 'gradients without a text', code: 'PARE_CALIBRATION_MISSING', says: [/llm-pruner/, /--calibration/], prepare: withRecipe('version: 1\nstages:\n  - technique: llm-pruner\n') },
  { name: 'answers without prompts', code: 'PARE_PROMPTS_MISSING', says: [/distill-sequence/, /--prompts/], prepare: withRecipe('version: 1\nstages:\n  - technique: distill-sequence\n') },
  { name: 'endpoint without a model', code: 'PARE_TARGET_REFUSED', says: [/endpoint needs endpointModel/], prepare: asking('distill-sequence', 'endpoint: "http://127.0.0.1:8/v1"') },
  { name: 'endpoint that nobody answers at', code: 'PARE_TEACHER_UNREACHABLE', says: [/big at http:\/\/127\.0\.0\.1:8\/v1/, /timeout/], prepare: asking('distill-sequence', 'endpoint: "http://127.0.0.1:8/v1", endpointModel: big, retries: 0') },
  { name: 'endpoint whose key is not set', code: 'PARE_TEACHER_KEY_MISSING', says: [/NO_SUCH_KEY/, /recipe never holds/], prepare: asking('distill-sequence', 'endpoint: "http://127.0.0.1:8/v1", endpointModel: big, keyVariable: NO_SUCH_KEY') },
  { name: 'endpoint that is no address', code: 'PARE_TEACHER_UNREACHABLE', says: [/example\.com/, /http:\/\/ or https:\/\//], prepare: asking('cot-distillation', 'endpoint: example.com, endpointModel: big') },
  { name: 'many answers at temperature 0', code: 'PARE_TARGET_REFUSED', says: [/4 answers at temperature 0/], prepare: asking('cot-distillation', 'answers: 4, temperature: 0') },
  { name: 'questions without reasons', code: 'PARE_COT_DISTILLATION_NO_RATIONALES', says: [/prompts\.jsonl/, /1 empty/, /rationaleField/], prepare: asking('cot-distillation', 'rationales: file') },
  { name: 'empty reason', code: 'PARE_ITEM_INVALID', says: [/prompts\.jsonl:1/, /"rationale" is empty/, /emptyRationales: drop/], prepare: asking('cot-distillation', 'rationales: file, emptyRationales: refuse') },
  { name: 'question that fills the window', code: 'PARE_PROMPT_TOO_LONG', says: [/prompts\.jsonl, line 1/, /128/], prepare: asking('cot-distillation', 'rationales: file', 'word '.repeat(200)) },
  { name: 'unknown format', code: 'PARE_PLUGIN_UNKNOWN', says: [/"onx"/, /Did you mean "onnx"/], prepare: (folder) => (model(folder), rounding('--format', 'onx')) },
  { name: 'unknown backend', code: 'PARE_PLUGIN_UNKNOWN', says: [/"cpuu"/, /Did you mean "cpu"/], prepare: (folder) => (model(folder), rounding('--backend', 'cpuu')) },
  { name: 'unknown evaluator', code: 'PARE_PLUGIN_UNKNOWN', says: [/"perplexty"/, /Did you mean "perplexity"/], prepare: (folder) => (model(folder), rounding('--evaluator', 'perplexty')) },
  { name: 'perplexity without a text', code: 'PARE_DATA_MISSING', says: [/perplexity/, /--data/], prepare: (folder) => (model(folder), rounding('--evaluator', 'perplexity')) },
  { name: 'divergence without the original', code: 'PARE_ORIGINAL_MISSING', says: [/divergence/, /--original/], prepare: (folder) => (model(folder), comparing('--data', text)) },
  { name: 'divergence of two vocabularies', code: 'PARE_VOCABULARY_MISMATCH', says: [/4096/, /4160/, /--original/], prepare: largerVocabulary },
  { name: 'weights that make logits overflow', code: 'PARE_LOGITS_NOT_FINITE', says: [/window 0/], prepare: overflowingLogits },
  { name: 'missing items file', code: 'PARE_FILE_UNREADABLE', says: [/quiz\.jsonl/], prepare: (folder) => (model(folder), rounding('--items', 'quiz.jsonl')) },
  { name: 'latency of a folder without ONNX files', code: 'PARE_ONNX_MISSING', says: [/onnx\/model\*\.onnx/, /--format hf,onnx/], prepare: (folder) => (model(folder), ['evaluate', 'model', '--evaluator', 'latency']) },
  { name: 'artefact that a folder lacks', code: 'PARE_ARTIFACT_UNKNOWN', says: [/"q4"/, /fp32 \(model\.onnx\)/], prepare: (folder) => (exportedFile(folder), ['evaluate', 'model', '--artifact', 'q4']) },
  { name: 'file that no format opens', code: 'PARE_ARTIFACT_UNKNOWN', says: [/config\.json/, /\*\.onnx/], prepare: (folder) => (model(folder), ['evaluate', 'model/config.json']) },
  { name: 'weights of an ONNX file', code: 'PARE_WEIGHTS_INACCESSIBLE', says: [/evaluator "sparsity"/, /--format hf/], prepare: (folder) => (exportedFile(folder), ['evaluate', 'model/onnx/model.onnx', '--evaluator', 'sparsity']) },
  { name: 'recipe for an ONNX file', code: 'PARE_WEIGHTS_INACCESSIBLE', says: [/a recipe/], prepare: (folder) => (exportedFile(folder), ['evaluate', 'model/onnx/model.onnx', '--recipe', 'rtn-w4']) },
  { name: 'ONNX file that is none', code: 'PARE_ONNX_UNUSABLE', says: [/onnx.model\.onnx/], prepare: (folder) => (exportedFile(folder), ['evaluate', 'model/onnx/model.onnx', '--data', text, '--samples', '1', '--sequence-length', '16']) },
  { name: 'recipe to evaluate without its calibration text', code: 'PARE_CALIBRATION_MISSING', says: [/gptq/, /--calibration/], prepare: (folder) => (model(folder), ['evaluate', 'model', '--recipe', 'gptq-w4', '--set', 'gptq.groupSize=32']) },
  { name: 'sparsity pattern that keeps more than there is', code: 'PARE_OPTIONS_INVALID', says: [/patterns/, /N:M/], prepare: (folder) => (model(folder), ['evaluate', 'model', '--evaluator', 'sparsity', '--set', 'sparsity.patterns=4:2']) },

  // The machine
  { name: 'memory limit that cannot be met', code: 'PARE_MEMORY_LIMIT', says: [/--memory/], prepare: (folder) => (model(folder), gptq(...calibrated, '--memory', '1MiB')) },
  { name: 'disk too small', code: 'PARE_DISK_FULL', says: [/free/], prepare: hugeModel },
  { name: 'output folder that is not ours', code: 'PARE_OUTPUT_FOREIGN', says: [/thesis\.tex/], prepare: foreignOutput },

  // Results
  { name: 'report on a folder that Pare did not write', code: 'PARE_REPORT_INPUT_INVALID', says: [/pare\.json/, /evaluate --json/], prepare: (folder) => (model(folder), ['report', 'model', '--output', 'out']) },
  { name: 'report on a result of a later version', code: 'PARE_REPORT_VERSION_UNKNOWN', says: [/version 2/, /version 1/], prepare: withResult({ pare: 2 }) },
  { name: 'report on a result with a broken field', code: 'PARE_REPORT_INPUT_INVALID', says: [/metrics\.perplexity/, /finite number/], prepare: withResult({ model: 'm', metrics: { perplexity: 'low' } }) },
  { name: 'report on results without a metric', code: 'PARE_REPORT_EMPTY', says: [/result\.json/, /pare evaluate/], prepare: withResult({ model: 'm', metrics: {} }) },

  // Plugins
  { name: 'duplicate plugin id', code: 'PARE_PLUGINS_INVALID', says: [/rtn/, /@pare\/technique-rtn/], prepare: withPlugins(technique('rtn', 1)) },
  { name: 'plugin for another API version', code: 'PARE_PLUGINS_INVALID', says: [/\b7\b/, /\b1\b/], prepare: withPlugins(technique('futuristic', 7)) },
  { name: 'plugin that throws while loading', code: 'PARE_PLUGINS_INVALID', says: [/pare-technique-broken/, /licence server/], prepare: throwingPackage },
  { name: 'plugin package that is not installed', code: 'PARE_PLUGINS_INVALID', says: [/pare-technique-absent/], prepare: withPlugins(`'pare-technique-absent'`) },
  { name: 'plugin to install that never finishes loading', code: 'PARE_PLUGINS_INVALID', says: [/pare-technique-theirs/, /blocks the process/, /1 s/], prepare: installing({ pare: { kind: 'technique', api: 1 } }, 'for (;;);\n') },
  { name: 'plugin to install for another API version', code: 'PARE_PLUGINS_INVALID', says: [/pare-technique-theirs@1\.0\.0/, /plugin API 7/, /Update Pare/], prepare: installing({ pare: { kind: 'technique', api: 7 } }, '') },
  { name: 'package to install that is no plugin', code: 'PARE_PLUGINS_INVALID', says: [/pare-technique-theirs/, /"pare"/], prepare: installing({}, '') },
  { name: 'plugin to install that is not there', code: 'PARE_PLUGIN_INSTALL_FAILED', says: [/\.\/plugin/, /no file or folder/], prepare: () => ['plugins', 'install', './plugin', '--user'] },
  { name: 'plugin to install in a folder without a package.json', code: 'PARE_PLUGIN_INSTALL_FAILED', says: [/package\.json/, /--user/], prepare: () => ['plugins', 'install', 'pare-technique-theirs'] },
  { name: 'plugin to remove that is not installed', code: 'PARE_PLUGIN_NOT_INSTALLED', says: [/pare-technique-theirs/], prepare: () => ['plugins', 'remove', 'pare-technique-theirs', '--user'] },
  { name: 'recipe that pins a plugin lock that is not there', code: 'PARE_FILE_UNREADABLE', says: [/plugins\.lock\.json/, /pare plugins lock/], prepare: pinning(undefined) },
  { name: 'plugin lock that is no JSON', code: 'PARE_PLUGIN_LOCK_INVALID', says: [/plugins\.lock\.json/], prepare: pinning('not JSON') },
  { name: 'configuration that throws', code: 'PARE_PLUGINS_INVALID', says: [/no such luck/], prepare: withPlugins('', `throw new Error('no such luck');`) },
];
