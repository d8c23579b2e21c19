import type { AttentionDescription, BlockDescription, DecoderDescription, LinearDescription, MlpDescription, NormDescription } from '@pare/core';

/** The matrices of a block. */
function linearsOf({ attention, mlp }: BlockDescription): LinearDescription[] {
  const { projections } = attention;
  return [...(projections.kind === 'separate' ? [projections.query, projections.key, projections.value] : [projections.fused]), attention.output, ...mlpLinears(mlp)];
}

function mlpLinears(mlp: MlpDescription): LinearDescription[] {
  switch (mlp.kind) {
    case 'plain':
      return [mlp.up, mlp.down];
    case 'gated':
      return [mlp.gate, mlp.up, mlp.down];
    case 'gated-fused':
      return [mlp.gateUp, mlp.down];
    case 'moe':
      return [mlp.router, ...mlp.experts.flatMap(({ gate, up, down }) => [gate, up, down])];
  }
}

/** Stored name and shape of every tensor that a description asks for. A tied head has none of its own. */
export function describedTensors(description: DecoderDescription): Map<string, readonly number[]> {
  const { hiddenSize, vocabularySize, embedding, finalNorm, head, blocks, maxPositions } = description;
  const found = new Map<string, readonly number[]>();
  const norm = (entry: NormDescription | undefined, size: number): void => {
    if (entry === undefined) return;
    found.set(`${entry.module}.weight`, [size]);
    if (entry.bias) found.set(`${entry.module}.bias`, [size]);
  };
  found.set(`${embedding.module}.weight`, [vocabularySize, hiddenSize]);
  if (embedding.positions !== undefined) found.set(`${embedding.positions.module}.weight`, [maxPositions + embedding.positions.offset, hiddenSize]);
  for (const block of blocks) {
    for (const { module, inFeatures, outFeatures, bias, layout } of linearsOf(block)) {
      found.set(`${module}.weight`, layout === 'out-in' ? [outFeatures, inFeatures] : [inFeatures, outFeatures]);
      if (bias) found.set(`${module}.bias`, [outFeatures]);
    }
    for (const entry of [block.attentionNorm, block.postAttentionNorm, block.mlpNorm, block.postMlpNorm]) norm(entry, hiddenSize);
    for (const entry of [block.attention.queryNorm, block.attention.keyNorm]) norm(entry, block.attention.headSize);
  }
  norm(finalNorm, hiddenSize);
  if (!head.tied) found.set(`${head.module}.weight`, [vocabularySize, hiddenSize]);
  if (head.bias) found.set(`${head.module}.bias`, [vocabularySize]);
  return found;
}

/** What cannot be about a decoder. */
export function descriptionProblems({ hiddenSize, vocabularySize, maxPositions, blocks, embedding, finalNorm }: DecoderDescription): string[] {
  const problems: string[] = [];
  const whole = (what: string, value: number): void => {
    if (!Number.isSafeInteger(value) || value < 1) problems.push(`${what} ${String(value)}`);
  };
  const positive = (what: string, value: number): void => {
    if (!Number.isFinite(value) || value <= 0) problems.push(`${what} ${String(value)}`);
  };
  const same = (what: string, value: number, expected: number): void => {
    if (value !== expected) problems.push(`${what} ${String(value)} where ${String(expected)} is needed`);
  };
  whole('hidden size', hiddenSize);
  whole('vocabulary size', vocabularySize);
  whole('number of positions', maxPositions);
  whole('number of blocks', blocks.length);
  positive('scale of the embedding', embedding.scale);
  positive('epsilon of the last norm', finalNorm.epsilon);
  const names = new Set<string>();
  for (const block of blocks) {
    const { attention, mlp, name } = block;
    for (const { module, inFeatures, outFeatures } of linearsOf(block)) {
      whole(`inputs of ${module}`, inFeatures);
      whole(`outputs of ${module}`, outFeatures);
      if (names.has(module)) problems.push(`two matrices by the name ${module}`);
      names.add(module);
    }
    attentionProblems(attention, `attention of ${name}`, hiddenSize, { whole, positive, same });
    mlpProblems(mlp, `MLP of ${name}`, hiddenSize, { whole, same });
    positive(`epsilon of the norms of ${name}`, Math.min(block.attentionNorm.epsilon, block.mlpNorm.epsilon));
  }
  return problems;
}

interface Tests {
  readonly whole: (what: string, value: number) => void;
  readonly positive: (what: string, value: number) => void;
  readonly same: (what: string, value: number, expected: number) => void;
}

function attentionProblems({ projections, output, heads, kvHeads, headSize, scale, rotary, slidingWindow }: AttentionDescription, what: string, hiddenSize: number, { whole, positive, same }: Tests): void {
  whole(`heads in the ${what}`, heads);
  whole(`key heads in the ${what}`, kvHeads);
  whole(`head size in the ${what}`, headSize);
  positive(`scale in the ${what}`, scale);
  same(`remainder of heads by key heads in the ${what}`, heads % kvHeads, 0);
  const [queries, keys] = [heads * headSize, kvHeads * headSize];
  if (projections.kind === 'separate') {
    same(`queries in the ${what}`, projections.query.outFeatures, queries);
    same(`keys in the ${what}`, projections.key.outFeatures, keys);
    same(`values in the ${what}`, projections.value.outFeatures, keys);
    for (const { inFeatures } of [projections.query, projections.key, projections.value]) same(`inputs in the ${what}`, inFeatures, hiddenSize);
  } else {
    same(`queries, keys and values in the ${what}`, projections.fused.outFeatures, queries + 2 * keys);
    same(`inputs in the ${what}`, projections.fused.inFeatures, hiddenSize);
  }
  same(`inputs of the output in the ${what}`, output.inFeatures, queries);
  same(`outputs in the ${what}`, output.outFeatures, hiddenSize);
  if (rotary !== undefined) {
    positive(`base of the rotation in the ${what}`, rotary.theta);
    same(`odd dimensions that rotate in the ${what}`, rotary.dimensions % 2, 0);
  }
  if (slidingWindow !== undefined) whole(`sliding window in the ${what}`, slidingWindow);
}

function mlpProblems(mlp: MlpDescription, what: string, hiddenSize: number, { whole, same }: Pick<Tests, 'whole' | 'same'>): void {
  const pair = (up: LinearDescription, down: LinearDescription, inner = up.outFeatures): void => {
    same(`inputs of the ${what}`, up.inFeatures, hiddenSize);
    same(`outputs of the ${what}`, down.outFeatures, hiddenSize);
    same(`inner width of the ${what}`, down.inFeatures, inner);
  };
  switch (mlp.kind) {
    case 'plain':
      pair(mlp.up, mlp.down);
      break;
    case 'gated':
      pair(mlp.up, mlp.down);
      same(`width of the gate of the ${what}`, mlp.gate.outFeatures, mlp.up.outFeatures);
      break;
    case 'gated-fused':
      pair(mlp.gateUp, mlp.down, mlp.gateUp.outFeatures / 2);
      break;
    case 'moe':
      whole(`experts of the ${what}`, mlp.experts.length);
      same(`outputs of the router of the ${what}`, mlp.router.outFeatures, mlp.experts.length);
      whole(`experts for a token in the ${what}`, mlp.expertsPerToken);
      for (const { up, down } of mlp.experts) pair(up, down);
  }
}
