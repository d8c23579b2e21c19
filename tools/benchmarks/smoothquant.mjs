/* SmoothQuant with GPTQ, 8-bit weights and activations: seconds, peak memory and perplexity against llm-compressor on the same tokens. */
import { compareWithPeer } from './lib.mjs';

await compareWithPeer('smoothquant-gptq-w8a8', 'smoothquant-gptq-w8a8');
