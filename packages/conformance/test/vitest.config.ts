import { packageTests } from '../../../vitest.shared.ts';

export default packageTests(import.meta.dirname, { include: ['*.suite.ts'], reporters: ['json'], outputFile: {} });
