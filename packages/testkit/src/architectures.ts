import { gptNeoxArchitecture } from '@pare/architecture-gpt-neox';
import { gpt2Architecture } from '@pare/architecture-gpt2';
import { llamaArchitecture } from '@pare/architecture-llama';
import { optArchitecture } from '@pare/architecture-opt';
import type { Architecture } from '@pare/core';

/** The architectures that describe all fixtures. */
export const architectures: readonly Architecture[] = [llamaArchitecture, gpt2Architecture, gptNeoxArchitecture, optArchitecture];
