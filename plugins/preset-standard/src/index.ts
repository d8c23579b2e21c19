import type { Preset } from '@pare/core';
import { gptqW3, gptqW4, gptqW4Asymmetric, gptqW8 } from './gptq-presets.js';
import { rtnW3, rtnW4, rtnW8 } from './rtn-presets.js';

export { gptqW3, gptqW4, gptqW4Asymmetric, gptqW8, rtnW3, rtnW4, rtnW8 };

/** Every preset of this package. */
const presets: readonly Preset[] = [gptqW3, gptqW4, gptqW4Asymmetric, gptqW8, rtnW3, rtnW4, rtnW8];

export default presets;
