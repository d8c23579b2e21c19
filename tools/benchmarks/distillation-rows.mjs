/* The rows of the table of distilling methods: the same number of steps and, but for one, the same learning rate, each method on its own batches. `text` rows learn from the questions with answers as running text, `stories` rows from other text besides. */

const shared = { steps: 400, learningRate: 0.001, warmup: 40, recompute: false };
const batch = { batchSize: 16, microBatch: 16 };

/** Of the file, from its start. */
export const questions = 2000;

/** @param teacher folder of the teacher, for methods that have one */
export const distillingMethods = (teacher) => [
  { name: 'label-only', method: 'labels alone', setting: 'the file\'s answers', technique: 'cot-distillation', options: { method: 'label-only', ...shared, ...batch } },
  { name: 'distill-logits', method: 'logit distillation', setting: 'forward KL on questions and answers', technique: 'distill-logits', text: true, options: { teacher, ...shared, ...batch } },
  { name: 'distill-sequence', method: 'sequence-level KD', setting: 'one sampled answer a question', technique: 'distill-sequence', options: { teacher, temperature: 1, maxNewTokens: 16, teacherBatch: 128, ...shared, ...batch } },
  { name: 'minillm-alone', method: 'MiniLLM', setting: 'reverse KL alone, learning rate of the others', technique: 'minillm', options: { teacher, maxNewTokens: 16, languageWeight: 0, ...shared, ...batch } },
  { name: 'minillm', method: 'MiniLLM', setting: 'with language modelling on stories, learning rate 0.0001', technique: 'minillm', stories: true, options: { teacher, maxNewTokens: 16, ...shared, ...batch, learningRate: 0.0001 } },
  { name: 'gkd', method: 'GKD', setting: 'JSD(0.5), half of the steps on-policy', technique: 'gkd', options: { teacher, maxNewTokens: 16, ...shared, ...batch } },
  { name: 'step-by-step', method: 'distilling step-by-step', setting: 'answers and the teacher\'s reasons, α 0.5', technique: 'cot-distillation', options: { method: 'step-by-step', teacher, maxNewTokens: 64, teacherBatch: 128, ...shared, ...batch } },
  { name: 'mt-cot', method: 'MT-CoT', setting: 'answers, and reasons with answers, α 0.5', technique: 'cot-distillation', options: { method: 'mt-cot', teacher, maxNewTokens: 64, teacherBatch: 128, ...shared, ...batch } },
  { name: 'fine-tune-cot', method: 'fine-tune-CoT', setting: 'reasons with answers, 2 samples a question', technique: 'cot-distillation', options: { method: 'fine-tune-cot', teacher, answers: 2, maxNewTokens: 64, teacherBatch: 128, ...shared, ...batch } },
];
