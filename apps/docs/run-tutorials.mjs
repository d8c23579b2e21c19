// node apps/docs/run-tutorials.mjs [name]: does what the tutorials say, in empty folders, and compares what comes out with what they show. Needs a build.
import { runTutorial, tutorials } from './dist/index.js';

const [name] = process.argv.slice(2);
let failed = 0;
for (const document of tutorials().filter((candidate) => name === undefined || candidate.includes(name))) {
  const start = performance.now();
  const problems = await runTutorial(document);
  failed += problems.length;
  console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${document}  ${((performance.now() - start) / 1000).toFixed(1)} s`);
  for (const problem of problems) console.log(problem);
}
process.exitCode = failed === 0 ? 0 : 1;
