import type { PareConfig } from '@pare/core';

export default {
  plugins: ['pare-technique-ternary'],
} satisfies PareConfig;
