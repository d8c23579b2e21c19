import { isPareError } from '@pare/core';
import type { JobError } from './job.js';

/** A refusal of the service itself, with its HTTP status. */
export class ServiceError extends Error {
  readonly statusCode: number;
  readonly code: string;
  readonly help: string;

  constructor(statusCode: number, code: string, message: string, help: string) {
    super(message);
    this.statusCode = statusCode;
    this.code = code;
    this.help = help;
  }
}

/** Anything thrown as clients are told of it. What is neither ours nor Pare's is a defect, and its details stay in the log. */
export function describeError(error: unknown): JobError {
  if (isPareError(error) || error instanceof ServiceError) return { code: error.code, message: error.message, help: error.help };
  return { code: 'INTERNAL', message: 'the service failed', help: 'Its log has the details.' };
}
