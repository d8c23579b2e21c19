/* SparseGPT, half of the weights and 2:4: seconds, peak memory and perplexity against llm-compressor on the same tokens. */
import { compareWithPeer } from './lib.mjs';

process.stdout.write('50 %\n\n');
await compareWithPeer('sparsegpt-50', 'sparsegpt-50');
process.stdout.write('\n2:4\n\n');
await compareWithPeer('sparsegpt-2-4', 'sparsegpt-2:4');
