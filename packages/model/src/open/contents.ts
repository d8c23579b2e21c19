import type { AttentionDescription, DecoderDescription, LinearDescription, MlpDescription, ModuleInfo, ModuleRole, NormDescription } from '@pare/core';

/** A tensor that a description implies, in its stored layout. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** The module whose weight this is, for matrices that a technique may change. */
  readonly module?: string | undefined;
}

/** A module as the description alone knows it. */
export type PlannedModule = Omit<ModuleInfo, 'dtype' | 'form'>;

/** Everything that a description says a model holds. */
export interface ModelContents {
  /** In execution order. A tied head has no tensor of its own. */
  readonly tensors: readonly ExpectedTensor[];
  /** In execution order: embedding, blocks, head. */
  readonly modules: readonly PlannedModule[];
}

/** Order of execution inside a block. Modules of one step read the same input, or do not depend on each other. */
const steps = { projections: 0, attentionOutput: 1, mlpInput: 2, mlpOutput: 3 } as const;

/** Lists tensors and modules of a model, in execution order. */
export function contentsOf(description: DecoderDescription): ModelContents {
  const { embedding, head, hiddenSize, vocabularySize } = description;
  const list = new ContentsList();
  list.matrix({
    name: embedding.module,
    kind: 'embedding',
    role: 'embedding',
    block: undefined,
    expert: undefined,
    step: 0,
    shape: [vocabularySize, hiddenSize],
    layout: 'out-in',
    bias: false,
    sharedWith: undefined,
  });
  if (embedding.positions !== undefined) {
    list.tensor(`${embedding.positions.module}.weight`, [description.maxPositions + embedding.positions.offset, hiddenSize]);
  }
  for (const [index, block] of description.blocks.entries()) {
    list.norm(block.attentionNorm, hiddenSize);
    list.attention(block.attention, index);
    list.norm(block.postAttentionNorm, hiddenSize);
    list.norm(block.mlpNorm, hiddenSize);
    list.mlp(block.mlp, index);
    list.norm(block.postMlpNorm, hiddenSize);
  }
  list.norm(description.finalNorm, hiddenSize);
  list.matrix({
    name: head.module,
    kind: 'head',
    role: 'head',
    block: undefined,
    expert: undefined,
    step: 0,
    shape: [vocabularySize, hiddenSize],
    layout: 'out-in',
    bias: head.bias,
    sharedWith: head.tied ? embedding.module : undefined,
  });
  return list;
}

class ContentsList implements ModelContents {
  readonly tensors: ExpectedTensor[] = [];
  readonly modules: PlannedModule[] = [];

  tensor(name: string, shape: readonly number[], module?: string): void {
    this.tensors.push({ name, shape, module });
  }

  matrix(module: PlannedModule): void {
    const [outFeatures, inFeatures] = module.shape;
    this.modules.push(module);
    if (module.sharedWith === undefined) {
      this.tensor(`${module.name}.weight`, module.layout === 'out-in' ? [outFeatures, inFeatures] : [inFeatures, outFeatures], module.name);
    }
    if (module.bias) this.tensor(`${module.name}.bias`, [outFeatures]);
  }

  linear(linear: LinearDescription, role: ModuleRole, block: number, step: number, expert?: number): void {
    this.matrix({
      name: linear.module,
      kind: role === 'mlp.router' ? 'router' : 'linear',
      role,
      block,
      expert,
      step,
      shape: [linear.outFeatures, linear.inFeatures],
      layout: linear.layout,
      bias: linear.bias,
      sharedWith: undefined,
    });
  }

  norm(norm: NormDescription | undefined, size: number): void {
    if (norm === undefined) return;
    this.tensor(`${norm.module}.weight`, [size]);
    if (norm.bias) this.tensor(`${norm.module}.bias`, [size]);
  }

  attention({ projections, output, queryNorm, keyNorm, headSize }: AttentionDescription, block: number): void {
    if (projections.kind === 'separate') {
      this.linear(projections.query, 'attention.query', block, steps.projections);
      this.linear(projections.key, 'attention.key', block, steps.projections);
      this.linear(projections.value, 'attention.value', block, steps.projections);
    } else {
      this.linear(projections.fused, 'attention.qkv', block, steps.projections);
    }
    this.norm(queryNorm, headSize);
    this.norm(keyNorm, headSize);
    this.linear(output, 'attention.output', block, steps.attentionOutput);
  }

  mlp(mlp: MlpDescription, block: number): void {
    switch (mlp.kind) {
      case 'plain':
        this.linear(mlp.up, 'mlp.up', block, steps.mlpInput);
        this.linear(mlp.down, 'mlp.down', block, steps.mlpOutput);
        break;
      case 'gated':
        this.linear(mlp.gate, 'mlp.gate', block, steps.mlpInput);
        this.linear(mlp.up, 'mlp.up', block, steps.mlpInput);
        this.linear(mlp.down, 'mlp.down', block, steps.mlpOutput);
        break;
      case 'gated-fused':
        this.linear(mlp.gateUp, 'mlp.gate-up', block, steps.mlpInput);
        this.linear(mlp.down, 'mlp.down', block, steps.mlpOutput);
        break;
      case 'moe':
        this.linear(mlp.router, 'mlp.router', block, steps.mlpInput);
        for (const [expert, { gate, up }] of mlp.experts.entries()) {
          this.linear(gate, 'mlp.gate', block, steps.mlpInput, expert);
          this.linear(up, 'mlp.up', block, steps.mlpInput, expert);
        }
        for (const [expert, { down }] of mlp.experts.entries()) this.linear(down, 'mlp.down', block, steps.mlpOutput, expert);
        break;
    }
  }
}
