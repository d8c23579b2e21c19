export { addValues, defineStatistic, isStatistic, type FinishContext, type StateTensor, type Statistic, type StatisticDefinition } from './statistic.js';
export { gramStatistic } from './gram.js';
export { absMaxStatistic, absMeanStatistic, squareSumStatistic, type FeatureMagnitudes } from './magnitude.js';
export { inputGrid, inputGridStatistics, requireFiniteMagnitudes, type InputGridOptions } from './input-grid.js';
export { fewTokens } from './few-tokens.js';
