import { modelOpenerRef, type ModelOpener, type ServiceRef, type TechniqueContext } from '@pare/core';

/** Services of a technique that may be told a teacher. */
export interface TeacherServices {
  readonly models: ServiceRef<ModelOpener>;
  readonly [name: string]: ServiceRef<unknown>;
}

/** For the `deps` of a technique. */
export const teacherServices: TeacherServices = { models: modelOpenerRef };

/** The call of a technique of scope `training`. */
export type TrainingContext<O = unknown> = TechniqueContext<O, TeacherServices>;
