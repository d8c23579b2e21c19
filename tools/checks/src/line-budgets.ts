import { readText, sourceFiles } from './workspace.js';

/** Lines of shipped source that a package may have. The kernel is what everyone must read; growth belongs into libraries and plugins. */
const budgets: Readonly<Record<string, number>> = { 'packages/core': 2700, 'packages/runtime': 4290 };

/** Packages over their budget. */
export function checkLineBudgets(): string[] {
  return Object.entries(budgets).flatMap(([path, budget]) => {
    const lines = sourceFiles(`${path}/src`, (file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).reduce((sum, file) => sum + readText(file).split('\n').length - 1, 0);
    return lines > budget ? [`${path} has ${String(lines)} lines, its budget is ${String(budget)}`] : [];
  });
}
