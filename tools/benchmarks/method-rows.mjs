/* The rows of the table of methods: every technique with the settings that people compare, and combinations. Groups of 64, which divide the layers of small models. */

const gptq = { actOrder: true, staticGroups: true, damping: 0.01 };
const stage = (technique, options) => ({ technique, options });
/** Codes of three bits are read by newer loaders only; here nobody else reads them. */
const oddBits = ['hf.oddBits=true'];
/** What the format cannot hold as it is, is multiplied out; bytes are those of the compressed form. */
const multiplyOut = ['hf.multiplyOut=true'];
/** A fifth of the heads and neurons of every block, by each of the paper's ways to rank them. */
const pruned = (importance, setting) => ({ name: `llm-pruner-20-${importance}`, method: 'LLM-Pruner', setting: `20 % of heads and neurons, ${setting}`, stages: [stage('llm-pruner', { ratio: 0.2, importance })] });

export const methods = [
  { name: 'rtn-w8', method: 'RTN', setting: '8 bits, one scale an output', stages: [stage('rtn', { bits: 8, groupSize: -1, symmetric: true })] },
  { name: 'rtn-w4', method: 'RTN', setting: '4 bits, groups of 64', stages: [stage('rtn', { bits: 4, groupSize: 64, symmetric: true })] },
  { name: 'rtn-w3', method: 'RTN', setting: '3 bits, groups of 64', stages: [stage('rtn', { bits: 3, groupSize: 64, symmetric: true })], settings: oddBits },
  { name: 'gptq-w4', method: 'GPTQ', setting: '4 bits, groups of 64', stages: [stage('gptq', { bits: 4, groupSize: 64, symmetric: true, ...gptq })] },
  { name: 'gptq-w3', method: 'GPTQ', setting: '3 bits, groups of 64', stages: [stage('gptq', { bits: 3, groupSize: 64, symmetric: true, ...gptq })], settings: oddBits },
  { name: 'awq-w4', method: 'AWQ', setting: '4 bits, groups of 64', stages: [stage('awq', { bits: 4, groupSize: 64 })] },
  { name: 'awq-w3', method: 'AWQ', setting: '3 bits, groups of 64', stages: [stage('awq', { bits: 3, groupSize: 64 })], settings: oddBits },
  { name: 'awq-gptq-w4', method: 'AWQ, then GPTQ', setting: '4 bits, groups of 64', stages: [stage('awq', { bits: 4, groupSize: 64, quantize: false }), stage('gptq', { bits: 4, groupSize: 64, symmetric: true, ...gptq })] },
  { name: 'smoothquant-w8a8', method: 'SmoothQuant', setting: 'strength 0.8, 8-bit weights and activations', stages: [stage('smoothquant', { strength: 0.8 })] },
  {
    name: 'smoothquant-gptq-w8a8',
    method: 'SmoothQuant, then GPTQ',
    setting: 'strength 0.8, 8-bit weights and activations',
    stages: [stage('smoothquant', { strength: 0.8, quantize: false }), stage('gptq', { bits: 8, groupSize: -1, symmetric: true, activations: 'dynamic-token', ...gptq })],
  },
  { name: 'sparsegpt-50', method: 'SparseGPT', setting: 'half of the weights', stages: [stage('sparsegpt', { sparsity: 0.5 })] },
  { name: 'sparsegpt-2-4', method: 'SparseGPT', setting: '2:4', stages: [stage('sparsegpt', { pattern: '2:4' })] },
  { name: 'sparsegpt-2-4-gptq-w4', method: 'SparseGPT, then GPTQ', setting: '2:4, 4 bits, groups of 64', stages: [stage('sparsegpt', { pattern: '2:4' }), stage('gptq', { bits: 4, groupSize: 64, symmetric: true, ...gptq })] },
  { name: 'wanda-50', method: 'Wanda', setting: 'half of every output', stages: [stage('wanda', { sparsity: 0.5 })] },
  { name: 'wanda-2-4', method: 'Wanda', setting: '2:4', stages: [stage('wanda', { pattern: '2:4' })] },
  { name: 'magnitude-50', method: 'Magnitude', setting: 'half of every layer', stages: [stage('magnitude', { sparsity: 0.5, ranking: 'layer' })] },
  { name: 'svd-80', method: 'SVD', setting: '80 % of the numbers', stages: [stage('svd', { ratio: 0.8 })], settings: multiplyOut },
  { name: 'svd-llm-80', method: 'SVD-LLM', setting: '80 % of the numbers', stages: [stage('svd-llm', { ratio: 0.8 })], settings: multiplyOut },
  { name: 'svd-50', method: 'SVD', setting: '50 % of the numbers', stages: [stage('svd', { ratio: 0.5 })], settings: multiplyOut },
  { name: 'svd-llm-50', method: 'SVD-LLM', setting: '50 % of the numbers', stages: [stage('svd-llm', { ratio: 0.5 })], settings: multiplyOut },
  { name: 'svd-llm-80-rtn-w8', method: 'SVD-LLM, then RTN', setting: '80 % of the numbers, 8 bits', stages: [stage('svd-llm', { ratio: 0.8 }), stage('rtn', { bits: 8, groupSize: -1, symmetric: true })], settings: multiplyOut },
  pruned('element', 'element, first order'),
  pruned('vector', 'vector'),
  pruned('random', 'at random'),
  pruned('l2', 'L2'),
  { name: 'tensorgpt-4', method: 'TensorGPT', setting: 'embedding with rank 4', stages: [stage('tensorgpt', { maxRank: 4 })], settings: multiplyOut },
  { name: 'tensorgpt-4-gptq-w4', method: 'TensorGPT, then GPTQ', setting: 'embedding with rank 4, blocks with 4 bits', stages: [stage('tensorgpt', { maxRank: 4 }), stage('gptq', { bits: 4, groupSize: 64, symmetric: true, ...gptq })], settings: multiplyOut },
];
