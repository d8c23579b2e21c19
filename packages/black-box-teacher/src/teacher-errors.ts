import { pluginError, type PareError } from '@pare/core';

const kept = 'Answers so far are kept: the same command asks only for the rest.';

/* What can go wrong with a teacher behind an endpoint. Every message names it. */

/** PARE_TEACHER_BUDGET */
export function tooExpensive(teacher: string, cost: string, budget: string): PareError {
  return pluginError({ code: 'PARE_TEACHER_BUDGET', message: `asking ${teacher} may cost ${cost}, more than the ${budget} that are allowed`, help: 'Ask fewer prompts, fewer answers or shorter ones, or allow more with the option budget.' });
}

/** PARE_TEACHER_BUSY */
export function busy(teacher: string, found: string): PareError {
  return pluginError({ code: 'PARE_TEACHER_BUSY', message: `${teacher} turns requests away: ${found}`, help: `Lower concurrency, requestsPerMinute or tokensPerMinute, or come back later. ${kept}` });
}

/** PARE_TEACHER_KEY_MISSING */
export function keyMissing(teacher: string, variable: string): PareError {
  return pluginError({
    code: 'PARE_TEACHER_KEY_MISSING',
    message: `the key of ${teacher} is to be in the environment variable ${variable}, which is empty or not set`,
    help: `Set ${variable}, or name another variable with the option keyVariable. A recipe never holds the key itself.`,
  });
}

/** PARE_TEACHER_NONSENSE @param allowed what was needed */
export function nonsense(teacher: string, found: string, allowed: string): PareError {
  return pluginError({ code: 'PARE_TEACHER_NONSENSE', message: `${teacher} answered with ${found}`, help: `Needed: ${allowed}. Check that the address is of an OpenAI-compatible chat endpoint (it usually ends in /v1). ${kept}` });
}

/** PARE_TEACHER_REFUSED */
export function refused(teacher: string, found: string, fix: string): PareError {
  return pluginError({ code: 'PARE_TEACHER_REFUSED', message: `${teacher} refuses: ${found}`, help: `${fix} ${kept}` });
}

/** PARE_TEACHER_UNREACHABLE */
export function unreachable(teacher: string, found: string): PareError {
  return pluginError({ code: 'PARE_TEACHER_UNREACHABLE', message: `${teacher} gives no answer: ${found}`, help: `Check the address and the server; raise timeout for slow models. ${kept}` });
}
