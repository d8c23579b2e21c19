/** Message and remedy of one error code, made from the data of the occurrence. */
interface ErrorTemplate<D> {
  readonly message: (data: D) => string;
  /** The exact fix, or what is allowed. */
  readonly help: (data: D) => string;
}

function template<D>(message: (data: D) => string, help: (data: D) => string): ErrorTemplate<D> {
  return { message, help };
}

const list = (items: readonly string[], empty = 'none'): string => (items.length === 0 ? empty : items.join(', '));
const suggestion = (nearest: string | undefined): string => (nearest === undefined ? '' : `Did you mean "${nearest}"? `);
const mebibytes = (bytes: number): string => `${String(Math.ceil(bytes / 1048576))} MiB`;
const firstOf = (items: readonly string[], shown = 3): string =>
  items.slice(0, shown).join('; ') + (items.length > shown ? `; and ${String(items.length - shown)} more` : '');
/** Modules with the same trouble in one breath: `a and 2 others: why`. */
const byReason = (items: readonly { readonly module: string; readonly reason: string }[]): string => {
  const reasons = new Map<string, string[]>();
  for (const { module, reason } of items) reasons.set(reason, [...(reasons.get(reason) ?? []), module]);
  const others = (count: number): string => (count === 0 ? '' : ` and ${String(count)} other${count === 1 ? '' : 's'}`);
  return firstOf([...reasons].map(([reason, modules]) => `${modules[0]!}${others(modules.length - 1)}: ${reason}`));
};

/** Every error Pare raises on purpose, by code. Sorted; `docs/errors.md` is generated from it and a test checks that each is raised somewhere. */
export const errorCatalogue = {
  PARE_ABORTED: template(
    (d: { what: string }) => `${d.what} was cancelled`,
    (d: { what: string; resume?: string }) => d.resume ?? 'Nothing was written. Run it again when ready.',
  ),
  PARE_ARCHITECTURE_UNKNOWN: template(
    (d: { modelType: string; file: string; known: readonly string[]; nearest?: string | undefined }) => `${d.file} names model type "${d.modelType}", which no loaded architecture plugin describes`,
    (d) => `${suggestion(d.nearest)}Known model types: ${list(d.known)}. Load a plugin made with defineArchitecture for others.`,
  ),
  PARE_ARTIFACT_UNKNOWN: template(
    (d: { found: string; known: readonly string[] }) => `${d.found} is no artefact that can be evaluated`,
    (d) => `There: ${list(d.known)}. Name a file that a loaded format opens (onnx/model_q4.onnx), or with --artifact one of a folder's (onnx, q4).`,
  ),
  PARE_BACKEND_LOST: template(
    (d: { backend: string; reason: string }) => `backend "${d.backend}" is gone: ${d.reason}`,
    () => 'What it held is lost. Open a new backend, or start again with --resume.',
  ),
  PARE_BACKEND_OUT_OF_MEMORY: template(
    (d: { backend: string; operation: string; reason: string }) => `backend "${d.backend}" ran out of memory at ${d.operation}: ${d.reason}`,
    () => 'Take fewer or shorter windows at a time, set --memory, or free memory on the machine.',
  ),
  PARE_BACKEND_RUN_FAILED: template(
    (d: { backend: string; graph: string; reason: string }) => `graph "${d.graph}" failed on backend "${d.backend}": ${d.reason}`,
    () => 'The inputs have the right types but values or sizes that an operator refuses; the reason names the node.',
  ),
  PARE_BACKEND_UNAVAILABLE: template(
    (d: { backend: string; reason: string }) => `backend "${d.backend}" cannot run here: ${d.reason}`,
    () => '"pare backends" shows what each backend found; --backend auto takes the best that runs.',
  ),
  PARE_BLOCKS_MISMATCH: template(
    (d: { original: string; expected: string; model: string; found: string }) => `${d.model} has ${d.found}, the original ${d.original} has ${d.expected}`,
    () => 'Blocks are compared one with one: give the model that this one was made from, or measure divergence instead.',
  ),
  PARE_CALIBRATION_MISSING: template(
    (d: { techniques: readonly string[] }) => `${list(d.techniques)} needs calibration text and none was given`,
    () => 'Give a text file with --calibration, or take a recipe without data such as rtn-w8.',
  ),
  PARE_CALIBRATION_TOO_SHORT: template(
    (d: { file: string; found: number; needed: number; samples: number; length: number }) => `${d.file} has ${String(d.found)} tokens; ${String(d.samples)} windows of ${String(d.length)} need ${String(d.needed)}`,
    (d) =>
      d.found < d.length
        ? 'Ask for shorter windows (--sequence-length), or give a longer text.'
        : `Ask for at most ${String(Math.floor(d.found / d.length))} windows (--samples) or shorter ones (--sequence-length), or give a longer text.`,
  ),
  PARE_COMMAND_INVALID: template(
    (d: { problem: string; help: string }) => d.problem,
    (d) => d.help,
  ),
  PARE_CONFIG_INVALID: template(
    (d: { file: string; path: string; found: string; allowed: string }) => `${d.file}: ${d.path} is ${d.found}`,
    (d) => `Allowed: ${d.allowed}.`,
  ),
  PARE_DATA_MISSING: template(
    (d: { evaluator: string; reads?: 'text' | 'items' | undefined }) => `evaluator "${d.evaluator}" reads ${d.reads === 'items' ? 'items and none were' : 'a text and none was'} given`,
    (d) => (d.reads === 'items' ? 'Give a file of items, JSON lines, with --items.' : 'Give a text file with --data.'),
  ),
  PARE_DISK_FULL: template(
    (d: { path: string; needed?: number | undefined; free?: number | undefined; kept?: string | undefined }) =>
      d.needed === undefined || d.free === undefined ? `the disk of ${d.path} is full` : `${d.path} has ${mebibytes(d.free)} free; up to ${mebibytes(d.needed)} are needed`,
    (d) => `Free some space or choose an output folder on another disk.${d.kept === undefined ? '' : ` ${d.kept}`}`,
  ),
  PARE_FACTORIZATION_FAILED: template(
    (d: { size: number; damping: number }) => `the Hessian of ${String(d.size)} inputs is not positive definite, even with damping ${String(d.damping)}`,
    () => 'Give more calibration samples, or start from a larger damping.',
  ),
  PARE_FILE_UNREADABLE: template(
    (d: { file: string; reason: string }) => `cannot read ${d.file}: ${d.reason}`,
    () => 'Check the path and its permissions.',
  ),
  PARE_FILE_UNWRITABLE: template(
    (d: { file: string; reason: string }) => `cannot write ${d.file}: ${d.reason}`,
    () => 'Check that the folder exists and may be written to.',
  ),
  PARE_FLOAT16_OVERFLOW: template(
    (d: { tensor: string; index: number; value: number }) => `tensor "${d.tensor}" holds ${String(d.value)} at element ${String(d.index)}, too large for float16`,
    () => 'Half precision ends at 65504. Write a float32 variant: dtype fp32, or q4 instead of q4f16.',
  ),
  PARE_FORMAT_REFUSED: template(
    (d: { refusals: readonly { format: string; module: string; reason: string; help: string }[] }) =>
      `${String(d.refusals.length)} module(s) cannot be written: ${byReason(d.refusals.map(({ format, module, reason }) => ({ module: `format "${format}", ${module}`, reason })))}`,
    (d) => [...new Set(d.refusals.map((refusal) => refusal.help))].join(' '),
  ),
  PARE_FORM_INVALID: template(
    (d: { problem: string }) => `a stored weight cannot be used: ${d.problem}`,
    () => 'The file is damaged or was written by another version; start again without it.',
  ),
  PARE_FORM_UNSUPPORTED: template(
    (d: { operation: string; found: string; allowed: string }) => `${d.operation} does not work for this weight: ${d.found}`,
    (d) => `Allowed: ${d.allowed}.`,
  ),
  PARE_GRADIENT_UNAVAILABLE: template(
    (d: { graph: string; nodes: readonly string[] }) => `graph "${d.graph}" cannot be differentiated through ${firstOf(d.nodes)}`,
    () => 'These operators have no gradient. Write them as others that have one, or name their outputs in stopGradient or straightThrough.',
  ),
  PARE_GRAPH_INVALID: template(
    (d: { graph: string; node: string; problem: string }) => `graph "${d.graph}", node ${d.node}: ${d.problem}`,
    () => 'The graph breaks a rule of its operators; correct the node or report the model that produced it.',
  ),
  PARE_HOST_CLOSED: template(
    (d: { operation: string }) => `${d.operation} was asked of a host that is closed`,
    () => 'Create another host with createHost, or close it later.',
  ),
  PARE_HUB_ACCESS_DENIED: template(
    (d: { model: string; endpoint: string }) => `${d.endpoint} does not let you read "${d.model}"`,
    (d) => `Accept its terms at ${d.endpoint}/${d.model} and set HF_TOKEN to a token of that account.`,
  ),
  PARE_HUB_DOWNLOAD_DAMAGED: template(
    (d: { file: string; found: string; expected: string }) => `${d.file} arrived damaged: it has ${d.found}, the hub lists ${d.expected}`,
    () => 'The damaged copy was removed; run the command again.',
  ),
  PARE_HUB_NOT_FOUND: template(
    (d: { model: string; endpoint: string; nearest?: string | undefined }) => `${d.endpoint} has no model "${d.model}", and there is no such folder here`,
    (d) => `${suggestion(d.nearest)}Write "owner/name" as the hub shows it; for a private model set HF_TOKEN.`,
  ),
  PARE_HUB_UNREACHABLE: template(
    (d: { model: string; endpoint: string; reason: string }) => `cannot reach ${d.endpoint}: ${d.reason}; and there is no folder "${d.model}" here`,
    () => 'Check the network or HF_ENDPOINT, or pass a folder that holds the model. A download continues where it stopped.',
  ),
  PARE_ITEM_INVALID: template(
    (d: { file: string; line: number; problem: string }) => `${d.file}:${String(d.line)}: ${d.problem}`,
    () => 'An item is a JSON object on one line: a question (question, query or ctx) and its answer; to choose from, also choices (choices or endings) and the right one (label, gold or answer).',
  ),
  PARE_JOURNAL_EXISTS: template(
    (d: { output: string; journal: string }) => `an earlier run to ${d.output} stopped midway and left ${d.journal}`,
    () => 'Add --resume to continue it, or --overwrite to discard it and start again.',
  ),
  PARE_JSON_LINE_INVALID: template(
    (d: { file: string; line: number; problem: string }) => `${d.file}:${String(d.line)}: ${d.problem}`,
    () => 'Every line is one JSON value; texts are objects with a "text" string.',
  ),
  PARE_KERNEL_INVALID: template(
    (d: { backend: string; kernel: string; problem: string; source?: string | undefined }) => `kernel "${d.kernel}" does not compile on backend "${d.backend}": ${d.problem}`,
    (d) => `${d.source === undefined ? '' : `It stands at: ${d.source}. `}Another driver or --backend cpu may run it; a kernel that no driver takes is a defect to report.`,
  ),
  PARE_LIKELIHOOD_NOT_FINITE: template(
    (d: { file: string; line: number; likelihood: number }) => `${d.file}:${String(d.line)}: the model gives this item a log-likelihood of ${String(d.likelihood)}`,
    () => 'Its weights or statistics are out of range; evaluate the model it was made from to see where they break.',
  ),
  PARE_LOGITS_NOT_FINITE: template(
    (d: { model: string; window: number; position: number }) => `${d.model} has logits that are NaN or infinite at position ${String(d.position)} of window ${String(d.window)}`,
    () => 'Its weights are out of range; compare the blocks (layer-error) to see where it begins.',
  ),
  PARE_LOSS_NOT_FINITE: template(
    (d: { technique: string; module: string; loss: number }) => `${d.technique} reached a loss of ${String(d.loss)} on ${d.module}`,
    () => 'Its statistics or weights are out of range; try a larger damping or other calibration text.',
  ),
  PARE_MATRIX_TOO_LARGE: template(
    (d: { bytes: number; limit: number }) => `the solver needs ${(d.bytes / 2 ** 30).toFixed(1)} GiB for one matrix; WebAssembly memory ends at ${(d.limit / 2 ** 30).toFixed(1)} GiB`,
    () => 'Use a backend with a column solver of its own (--backend cuda), or a technique without a Hessian such as rtn for this layer.',
  ),
  PARE_MEMORY_LIMIT: template(
    (d: { limit: number; needed: number; stage: string }) =>
      `the run needs about ${mebibytes(d.needed)} of memory (${d.stage}); the limit is ${mebibytes(d.limit)}`,
    (d) => `The smallest limit that would do is --memory ${String(Math.ceil(d.needed / 1048576))}MiB. Fewer or shorter calibration windows need less.`,
  ),
  PARE_MODEL_NOT_FOUND: template(
    (d: { model: string; reason: string; nearest?: string | undefined }) => `"${d.model}" is no model: ${d.reason}`,
    (d) => `${suggestion(d.nearest)}Pass a folder with config.json and model.safetensors, or a hub name "owner/name".`,
  ),
  PARE_MODEL_TENSOR_MISSING: template(
    (d: { file: string; tensor: string; expected: string; nearest?: string | undefined }) =>
      `${d.file}: config.json asks for tensor "${d.tensor}" ${d.expected}, which no weight file holds`,
    (d) => `${suggestion(d.nearest)}Take the config.json that belongs to these weights, or fetch the missing weight files.`,
  ),
  PARE_MODEL_TENSOR_SHAPE: template(
    (d: { file: string; tensor: string; found: string; expected: string }) =>
      `${d.file}: tensor "${d.tensor}" is ${d.found}, config.json makes it ${d.expected}`,
    () => 'Take the config.json that belongs to these weights.',
  ),
  PARE_MODULE_UNKNOWN: template(
    (d: { module: string; nearest?: string | undefined }) => `the model has no module "${d.module}"`,
    (d) => `${suggestion(d.nearest)}"pare inspect <model>" lists modules.`,
  ),
  PARE_NPM_MISSING: template(
    (d: { operation: string }) => `${d.operation} needs npm, and there is none on the PATH`,
    () => 'Install npm (it comes with Node), or put the package into node_modules by other means and list it in pare.config.ts.',
  ),
  PARE_ONNX_MISSING: template(
    (d: { directory: string; wanted: string; found: readonly string[] }) => `${d.directory} has no ${d.wanted}${d.found.length === 0 ? '' : `; it has ${list(d.found)}`}`,
    () => 'Export one: pare compress <model> --recipe <recipe> --output <dir> --format hf,onnx (--set onnx.dtype=… picks the files), or name a folder that has one.',
  ),
  PARE_ONNX_UNUSABLE: template(
    (d: { file: string; reason: string }) => `${d.file} cannot be run: ${d.reason}`,
    () => 'A decoder with key-value cache as Pare, optimum and transformers.js lay it out runs with provider cpu; other providers need their drivers and an onnxruntime build that has them.',
  ),
  PARE_OPERATOR_UNSUPPORTED: template(
    (d: { backend: string; graph: string; operators: readonly string[] }) =>
      `backend "${d.backend}" cannot run graph "${d.graph}": it lacks ${list(d.operators)}`,
    () => 'Choose another backend with --backend, or a plugin that brings these operators.',
  ),
  PARE_OPTIONS_DIFFER: template(
    (d: { module: string; first: string }) => `${d.module} has other options than ${d.first}`,
    () => 'The model is trained as a whole: give options to the stage, and leave overrides out.',
  ),
  PARE_OPTIONS_INVALID: template(
    (d: { owner: string; problems: readonly string[] }) => `options of ${d.owner}: ${d.problems.join('; ')}`,
    (d: { owner: string; problems: readonly string[]; allowed?: string }) => d.allowed ?? `"pare plugins ${d.owner}" lists its options.`,
  ),
  PARE_ORIGINAL_MISSING: template(
    (d: { evaluator: string }) => `evaluator "${d.evaluator}" compares with the model before compression and none was given`,
    () => 'Give that model with --original.',
  ),
  PARE_OUTPUT_BUSY: template(
    (d: { output: string; process: number; lock: string }) => `process ${String(d.process)} is writing ${d.output}`,
    (d) => `Wait until it ends, or choose another output folder. If that process is something else, delete ${d.lock}.`,
  ),
  PARE_OUTPUT_EXISTS: template(
    (d: { output: string }) => `${d.output} exists and holds an earlier result`,
    () => 'Add --overwrite to replace it, or choose another output folder.',
  ),
  PARE_OUTPUT_FOREIGN: template(
    (d: { output: string; reason: string }) => `${d.output} cannot become the output: ${d.reason}`,
    () => 'Choose a folder that does not exist yet, an empty one, or one that Pare wrote (it holds pare.json).',
  ),
  PARE_PLUGINS_INVALID: template(
    (d: { problems: readonly { path: string; found: string; allowed: string; fix: string }[] }) =>
      `${String(d.problems.length)} problem(s) with plugins:${d.problems.map((problem) => `\n  ${problem.path}: found ${problem.found}; allowed: ${problem.allowed}`).join('')}`,
    (d) => [...new Set(d.problems.map((problem) => problem.fix))].join(' '),
  ),
  PARE_PLUGIN_FAILED: template(
    (d: { plugin: string; activity: string; reason: string }) => `${d.plugin} failed while ${d.activity}: ${d.reason}`,
    (d) => `This is a defect of ${d.plugin}; its author needs this message and the output of --debug.`,
  ),
  PARE_PLUGIN_INSTALL_FAILED: template(
    (d: { plugin: string; reason: string }) => `${d.plugin} was not installed: ${d.reason}`,
    () => 'Nothing was changed. A plugin is a package name (with @version if you like), a folder with a package.json, or a tarball of npm pack.',
  ),
  PARE_PLUGIN_LOCK_BROKEN: template(
    (d: { lock: string; differences: readonly { subject: string; locked: string; found: string; fix: string }[] }) =>
      `plugins are not those of ${d.lock}:${d.differences.map((difference) => `\n  ${difference.subject}: locked ${difference.locked}; found ${difference.found}`).join('')}`,
    (d) => `${[...new Set(d.differences.map((difference) => difference.fix))].join(' ')} If the change is wanted, "pare plugins lock" writes the lock anew.`,
  ),
  PARE_PLUGIN_LOCK_INVALID: template(
    (d: { file: string; problem: string }) => `${d.file} is no plugin lock: ${d.problem}`,
    () => 'Restore the file, or write it anew with "pare plugins lock".',
  ),
  PARE_PLUGIN_NOT_INSTALLED: template(
    (d: { plugin: string; place: string; installed: readonly string[]; nearest?: string | undefined }) => `${d.place} has no plugin package "${d.plugin}"`,
    (d) => `${suggestion(d.nearest)}Installed there: ${list(d.installed)}.`,
  ),
  PARE_PLUGIN_UNKNOWN: template(
    (d: { kind: string; id: string; known: readonly string[]; nearest?: string | undefined }) => `no ${d.kind} is called "${d.id}"`,
    (d) => `${suggestion(d.nearest)}Loaded: ${list(d.known)}.`,
  ),
  PARE_PROMPTS_MISSING: template(
    (d: { techniques: readonly string[]; text: boolean }) => `${list(d.techniques)} needs prompts${d.text ? ', or calibration text to take them from,' : ''} and none were given`,
    (d) => `Give JSON lines with --prompts${d.text ? ', or a text file with --calibration' : ''}.`,
  ),
  PARE_PROMPT_TOO_LONG: template(
    (d: { file: string; line: number; tokens: number; response: number; positions: number }) =>
      `${d.file}, line ${String(d.line)}: a prompt of ${String(d.tokens)} tokens and a response of up to ${String(d.response)} do not fit ${String(d.positions)} positions`,
    () => 'Shorten the prompt, allow fewer tokens of response, or leave the item out.',
  ),
  PARE_QUANTIZATION_UNSUPPORTED: template(
    (d: { file: string; path: string; found: string; allowed: string }) =>
      `${d.file}: the weights are compressed in a way that cannot be read: ${d.path} is ${d.found}`,
    (d) => `Readable: ${d.allowed}. Start from the uncompressed model otherwise.`,
  ),
  PARE_RECIPE_INVALID: template(
    (d: { recipe: string; problems: readonly string[] }) => `recipe ${d.recipe}: ${d.problems.join('; ')}`,
    (d: { recipe: string; problems: readonly string[]; allowed?: string | undefined }) =>
      d.allowed ?? 'A recipe is a document with version: 1 and stages, each with technique, options, targets and overrides.',
  ),
  PARE_RECIPE_ORDER: template(
    (d: { stage: string; module: string; found: string; madeBy: string; accepts: readonly string[] }) =>
      `${d.stage} would get ${d.module} ${d.found} from ${d.madeBy}, and it accepts only ${list(d.accepts)} weights`,
    () => 'Put the stage earlier, or keep the two stages to different modules with targets.',
  ),
  PARE_RECIPE_SET_INVALID: template(
    (d: { setting: string; problem: string; nearest?: string | undefined }) => `--set ${d.setting}: ${d.problem}`,
    (d: { setting: string; problem: string; nearest?: string | undefined; allowed?: string | undefined }) =>
      `${suggestion(d.nearest)}${d.allowed ?? 'Write --set technique.option=value.'}`,
  ),
  PARE_REPORT_EMPTY: template(
    (d: { files: readonly string[] }) => `${list(d.files)}: nothing to compare, no metric was measured`,
    () => 'Measure with "pare evaluate <folder> --data text.txt --json > result.json" and give that file too, or compress with --evaluator size.',
  ),
  PARE_REPORT_INPUT_INVALID: template(
    (d: { file: string; problem: string }) => `${d.file} is no result: ${d.problem}`,
    () => 'Give output folders of "pare compress", or what "pare evaluate --json" or "pare compress --json" printed.',
  ),
  PARE_REPORT_VERSION_UNKNOWN: template(
    (d: { file: string; found: string; known: string }) => `${d.file} has version ${d.found}; this Pare reads version ${d.known}`,
    () => 'It was written by another version of Pare. Update this one, or compress again.',
  ),
  PARE_RESULT_INVALID: template(
    (d: { plugin: string; module: string; problem: string }) => `${d.plugin} handed in an impossible result for ${d.module}: ${d.problem}`,
    (d) => `This is a defect of ${d.plugin}; its author needs this message.`,
  ),
  PARE_RESUME_MISMATCH: template(
    (d: { journal: string; differences: readonly string[] }) => `${d.journal} belongs to another run: ${d.differences.join('; ')}`,
    () => 'Repeat the earlier command with --resume, or start again with --overwrite.',
  ),
  PARE_SAFETENSORS_DTYPE_UNSUPPORTED: template(
    (d: { file: string; tensor: string; found: string; allowed: readonly string[] }) => `${d.file}: tensor "${d.tensor}" has type ${d.found}`,
    (d) => `Readable types: ${list(d.allowed)}. Convert the model to one of them first (8-bit floats: to BF16).`,
  ),
  PARE_SAFETENSORS_DUPLICATE_KEY: template(
    (d: { file: string; key: string }) => `${d.file}: the header names ${d.key} twice`,
    () => 'Names are unique in a safetensors header; write the file again with a safetensors library.',
  ),
  PARE_SAFETENSORS_ENTRY_INVALID: template(
    (d: { file: string; tensor: string; found: string }) => `${d.file}: the header entry "${d.tensor}" is ${d.found}`,
    () => 'Allowed: { "dtype": string, "shape": [whole numbers], "data_offsets": [begin, end] }, and string values in "__metadata__".',
  ),
  PARE_SAFETENSORS_HEADER_BEYOND_FILE: template(
    (d: { file: string; found: string; fileBytes: number }) => `${d.file}: the header claims ${d.found} bytes, the file has ${String(d.fileBytes)}`,
    () => 'The file was cut off or is no safetensors file; download it again.',
  ),
  PARE_SAFETENSORS_HEADER_NOT_JSON: template(
    (d: { file: string; problem: string }) => `${d.file}: the header is not a JSON object (${d.problem})`,
    () => 'The file is damaged or no safetensors file; download it again.',
  ),
  PARE_SAFETENSORS_HEADER_TOO_LARGE: template(
    (d: { file: string; found: string; allowed: number }) => `${d.file}: the header claims ${d.found} bytes`,
    (d) => `A safetensors header has at most ${String(d.allowed)} bytes; the file is damaged or no safetensors file.`,
  ),
  PARE_SAFETENSORS_OFFSETS_BEYOND_FILE: template(
    (d: { file: string; tensor: string; begin: number; end: number; dataBytes: number }) =>
      `${d.file}: tensor "${d.tensor}" lies at ${String(d.begin)}…${String(d.end)}, the file holds ${String(d.dataBytes)} bytes of tensors`,
    () => 'The header does not belong to this file; download it again.',
  ),
  PARE_SAFETENSORS_OFFSETS_INVALID: template(
    (d: { file: string; tensor: string; found: string; allowed: string }) => `${d.file}: tensor "${d.tensor}" has offsets ${d.found}`,
    (d) => `Allowed: ${d.allowed}. Tensors follow each other without holes or overlaps; write the file again with a safetensors library.`,
  ),
  PARE_SAFETENSORS_SIZE_MISMATCH: template(
    (d: { file: string; tensor: string; found: number; dtype: string; shape: readonly number[]; expected: number }) =>
      `${d.file}: tensor "${d.tensor}" spans ${String(d.found)} bytes, ${d.dtype} [${d.shape.join(', ')}] takes ${String(d.expected)}`,
    () => 'The header is wrong about type, shape or offsets; download the file again.',
  ),
  PARE_SAFETENSORS_TRUNCATED: template(
    (d: { file: string; found: number; needed: number }) => `${d.file} has ${String(d.found)} bytes, its header needs ${String(d.needed)}`,
    () => 'The download stopped early; fetch the file again.',
  ),
  PARE_SCALE_OVERFLOW: template(
    (d: { scale: number; scaleType: string }) => `a quantization scale of ${String(d.scale)} does not fit ${d.scaleType}`,
    () => 'Store scales as bfloat16 or float32 (option scaleType).',
  ),
  PARE_SERVICE_MISSING: template(
    (d: { service: string; provided: readonly string[] }) => `nothing provides service "${d.service}"`,
    (d) => `Provided: ${list(d.provided)}. Add a factory made with provide(ref, deps, create) to the host's services.`,
  ),
  PARE_SHARD_INDEX_INVALID: template(
    (d: { file: string; found: string }) => `${d.file}: ${d.found}`,
    () => 'Allowed: { "weight_map": { "<tensor>": "<file>.safetensors", … } }.',
  ),
  PARE_SHARD_MISSING: template(
    (d: { file: string; missing: readonly string[]; found: readonly string[] }) => `${d.file} names ${list(d.missing)}, which the folder lacks`,
    (d) => `Fetch the missing weight files. Present: ${list(d.found)}.`,
  ),
  PARE_SHARD_PATH_UNSAFE: template(
    (d: { file: string; tensor: string; found: string }) => `${d.file}: tensor "${d.tensor}" points to "${d.found}", outside the model folder`,
    () => 'Allowed: file names inside the folder. Do not use this model: an honest one has no such paths.',
  ),
  PARE_SHARD_TENSOR_MISSING: template(
    (d: { file: string; shard: string; missing: readonly string[] }) => `${d.file} places ${list(d.missing)} in ${d.shard}, which does not hold it`,
    () => 'Index and weight files are of different versions; fetch the model again.',
  ),
  PARE_SLICE_FIXED: template(
    (d: { tensor: string; axis: number; index: number; reasons: readonly string[] }) =>
      `index ${String(d.index)} of axis ${String(d.axis)} of "${d.tensor}" cannot be removed: ${firstOf(d.reasons)}`,
    () => 'Removable are axes inside the model: hidden channels, heads, neurons, experts, feature maps.',
  ),
  PARE_SLICE_UNKNOWN: template(
    (d: { tensor: string; axis: number; index: number; shape: readonly (number | string)[] }) =>
      `"${d.tensor}" has shape [${d.shape.join(', ')}] and no index ${String(d.index)} on axis ${String(d.axis)}`,
    () => 'Axes and indices count from 0.',
  ),
  PARE_STATES_NOT_FINITE: template(
    (d: { model: string; block: number; window: number; position: number }) =>
      `block ${String(d.block)} of ${d.model} gives NaN or infinite values at position ${String(d.position)} of window ${String(d.window)}`,
    () => 'The weights of that block, or of one before it, are out of range; compress it with less loss or take a clean copy.',
  ),
  PARE_STATISTIC_NOT_FINITE: template(
    (d: { statistic: string; row: number; column: number; value: string }) => `the ${d.statistic} holds ${d.value} at [${String(d.row)}, ${String(d.column)}]`,
    () => 'The activations of the calibration text overflow; check the weights of the blocks before, or run the calibration in float32.',
  ),
  PARE_STATISTIC_UNDECLARED: template(
    (d: { plugin: string; module: string; statistic: string; declared: readonly string[] }) =>
      `${d.plugin} asked for statistic "${d.statistic}" of ${d.module}, which it did not declare`,
    (d) => `Declared: ${list(d.declared)}. Return it from statistics(options) of defineTechnique, which the host asks what to collect.`,
  ),
  PARE_STATISTIC_UNKNOWN: template(
    (d: { statistic: string }) => `statistic "${d.statistic}" has no rule that computes it`,
    () => 'Pass the object that defineStatistic returned; a bare reference with the same id is not enough.',
  ),
  PARE_STRUCTURE_IMPOSSIBLE: template(
    (d: { found: string; allowed: string }) => `the pruned model is none that can be described: ${d.found}`,
    (d) => `Allowed: ${d.allowed}.`,
  ),
  PARE_TARGET_REFUSED: template(
    (d: { stage: string; problems: readonly { module: string; reason: string }[] }) =>
      `${d.stage} does not fit ${String(d.problems.length)} module(s): ${byReason(d.problems)}`,
    () => 'Change the option with --set, exclude the modules in targets, or give them options of their own in overrides.',
  ),
  PARE_TARGET_TIED: template(
    (d: { stage: string; module: string; earlierStage: string; earlierModule: string }) =>
      `${d.stage} would compress ${d.module}, which is tied to ${d.earlierModule}: ${d.earlierStage} compressed that matrix already`,
    (d) => `Tied modules are one matrix. Leave one of the two stages out, or name ${d.earlierModule} in both when it is to be compressed twice.`,
  ),
  PARE_TARGET_UNMATCHED: template(
    (d: { stage: string; pattern: string; nearest?: string | undefined }) => `${d.stage}: "${d.pattern}" matches no module`,
    (d) => `${suggestion(d.nearest)}"pare inspect <model>" lists modules; kinds are linear, embedding, head and router.`,
  ),
  PARE_TENSOR_DISPOSED: template(
    (d: { operation: string; backend: string }) => `${d.operation} on backend "${d.backend}" got a tensor that was disposed`,
    () => 'The creator of a tensor disposes it, once, after its last use; keep it out of a scope that ends earlier.',
  ),
  PARE_TENSOR_MISMATCH: template(
    (d: { graph: string; input: string; found: string; expected: string }) => `graph "${d.graph}", input "${d.input}": got ${d.found}`,
    (d) => `Expected ${d.expected}.`,
  ),
  PARE_TENSOR_UNKNOWN: template(
    (d: { tensor: string; model: string }) => `${d.model} has no tensor "${d.tensor}"`,
    () => '"pare inspect <model>" lists tensors.',
  ),
  PARE_TOKENIZER_INVALID: template(
    (d: { file: string; problem: string }) => `${d.file}: ${d.problem}`,
    () => 'Take the tokenizer.json and tokenizer_config.json that belong to the model.',
  ),
  PARE_TOKENIZER_MISSING: template(
    (d: { directory: string; found: readonly string[] }) => `${d.directory} has no tokenizer.json (tokenizer files there: ${list(d.found)})`,
    () => 'Add the model\'s tokenizer.json; transformers writes it with AutoTokenizer.from_pretrained(…).save_pretrained(…).',
  ),
  PARE_TOKEN_OUT_OF_RANGE: template(
    (d: { token: number; window: number; position: number; vocabulary: number }) =>
      `token ${String(d.token)} at position ${String(d.position)} of window ${String(d.window)} is outside the embedding's ${String(d.vocabulary)} rows`,
    () => 'The tokenizer belongs to another model; use the one from the folder of these weights.',
  ),
  PARE_TRAINING_DIVERGED: template(
    (d: { step: number; loss: number; cause: string; checkpoint?: string | undefined }) => `training stopped at step ${String(d.step)} with a loss of ${String(d.loss)}; ${d.cause}`,
    (d) => `${d.checkpoint === undefined ? '' : `${d.checkpoint} holds the step before. `}Lower the learning rate, clip gradients, or warm up longer, and start again.`,
  ),
  PARE_VERIFICATION_FAILED: template(
    (d: { file: string; tensor: string; problem: string }) => `reading back ${d.file}: "${d.tensor}" ${d.problem}`,
    () => 'What was written is not what the model holds. Check the disk and try again; if it happens twice, report it with the recipe.',
  ),
  PARE_VOCABULARY_MISMATCH: template(
    (d: { original: string; expected: number; model: string; found: number; role?: string; token?: { id: number; original: string; model: string }; alternatives?: readonly string[] }) =>
      d.token === undefined
        ? `${d.model} predicts ${String(d.found)} tokens, ${d.role ?? 'the original'} ${d.original} ${String(d.expected)}`
        : `token ${String(d.token.id)} is ${JSON.stringify(d.token.model)} to ${d.model} and ${JSON.stringify(d.token.original)} to ${d.role ?? 'the original'} ${d.original}`,
    (d) =>
      d.alternatives === undefined
        ? 'Their predictions cannot be compared; give the model that this one was made from with --original.'
        : `Predictions can be learnt from a teacher with the same tokens only. With other tokens there are techniques that learn from what it writes: ${list(d.alternatives)}.`,
  ),
  PARE_WEIGHTS_INACCESSIBLE: template(
    (d: { file: string; wanted: string }) => `${d.wanted} reads weights by module, and ${d.file} has them only packed for its runtime`,
    () => 'Evaluate a folder that holds the weights (written with --format hf), a recipe in memory (pare evaluate <model> --recipe …), or leave this evaluator out.',
  ),
  PARE_WEIGHTS_MISSING: template(
    (d: { directory: string; found: readonly string[] }) =>
      `${d.directory} has no model.safetensors and no model.safetensors.index.json (weight files there: ${list(d.found)})`,
    () => 'Pare reads safetensors. Convert other weights with transformers: save_pretrained(…, safe_serialization=True).',
  ),
  PARE_WEIGHT_NOT_FINITE: template(
    (d: { tensor: string; index: number; value: string }) => `tensor "${d.tensor}" holds ${d.value} at element ${String(d.index)}`,
    () => 'The checkpoint is damaged or diverged in training; take a clean copy.',
  ),
  PARE_WINDOW_TOO_LONG: template(
    (d: { length: number; positions: number; fix?: string }) => `windows of ${String(d.length)} tokens do not fit a model with ${String(d.positions)} positions`,
    (d) => d.fix ?? `Use --sequence-length ${String(d.positions)} or less.`,
  ),
} as const satisfies Record<`PARE_${string}`, ErrorTemplate<never>>;

/** The codes of the catalogue. */
export type ErrorCode = keyof typeof errorCatalogue;

/** The data that an error of this code carries. */
export type ErrorData<C extends ErrorCode> = Parameters<(typeof errorCatalogue)[C]['help']>[0] & Parameters<(typeof errorCatalogue)[C]['message']>[0];

/** Where an error arose; the host fills in what it knows. */
export interface ErrorPlace {
  readonly plugin?: string | undefined;
  readonly stage?: string | undefined;
  readonly module?: string | undefined;
}

/** An error a user can act on: `code` for programs, `message` for what happened, `help` for the fix. Recognise it with `isPareError`. */
export class PareError extends Error {
  override readonly name: string = 'PareError';
  readonly $$type = '@pare/error';
  readonly code: string;
  readonly help: string;
  readonly data: Readonly<Record<string, unknown>>;
  place: ErrorPlace;

  constructor(init: { code: string; message: string; help: string; data?: Readonly<Record<string, unknown>>; cause?: unknown; place?: ErrorPlace }) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = init.code;
    this.help = init.help;
    this.data = init.data ?? {};
    this.place = init.place ?? {};
  }
}

/** Makes an error of the catalogue. */
export function pareError<C extends ErrorCode>(code: C, data: ErrorData<C>, cause?: unknown): PareError {
  const entry = errorCatalogue[code] as unknown as ErrorTemplate<ErrorData<C>>;
  return new PareError({ code, message: entry.message(data), help: entry.help(data), data: data as Readonly<Record<string, unknown>>, cause });
}

/** Makes an error with a plugin's own code, `PARE_<PLUGIN>_…`. */
export function pluginError(init: { code: `PARE_${string}`; message: string; help: string; data?: Readonly<Record<string, unknown>>; cause?: unknown }): PareError {
  return new PareError(init);
}

/** True for errors of this or another copy of this package. */
export function isPareError(error: unknown): error is PareError {
  return typeof error === 'object' && error !== null && '$$type' in error && error.$$type === '@pare/error';
}

/** Throws PARE_ABORTED when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw pareError('PARE_ABORTED', { what }, signal.reason);
}

/** Of `candidates`, the one most like `word` when it is close enough to be a slip of the keyboard. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance with adjacent transpositions counted once (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = a[row - 1] === b[column - 1] ? 0 : 1;
      let value = Math.min(previous[column]! + 1, current[column - 1]! + 1, previous[column - 1]! + substitution);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) value = Math.min(value, beforePrevious[column - 2]! + 1);
      current.push(value);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length]!;
}
