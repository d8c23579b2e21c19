/* GPTQ W4, group 64, symmetric, act-order with static groups: seconds, peak memory and perplexity against llm-compressor on the same tokens. */
import { compareWithPeer } from './lib.mjs';

await compareWithPeer('gptq-w4', 'gptq-w4', ['--set', 'gptq.groupSize=64'], 'hf,onnx');
