/* Wanda, half of the weights of every output: seconds, peak memory and perplexity against llm-compressor on the same tokens. */
import { compareWithPeer } from './lib.mjs';

await compareWithPeer('wanda-50', 'wanda-50');
