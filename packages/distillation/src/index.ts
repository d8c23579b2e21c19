export { calibrationBatches } from './calibration-batches.js';
export { type TeacherServices, teacherServices, type TrainingContext } from './context.js';
export { type AdapterOptions, teacherOption, type TrainingOptions, trainingOptions } from './options.js';
export { planTraining, type TrainingWork } from './plan.js';
export { sharedOptions } from './shared-options.js';
export { Student } from './student.js';
export { openTeacher, requireSameTokens, teacherIdentity, type OpenedTeacher } from './teacher.js';
export { TeacherLogits } from './teacher-logits.js';
export { trainStudent, type StudentTraining } from './train-student.js';
