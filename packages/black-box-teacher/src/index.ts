export { costText, type AnswerCost, type AskOptions, type AnswerSettings, type BlackBoxTeacher, type TeacherAnswer } from './teacher.js';
export { answerOptions, blackBoxTeacherOptions, teacherProblem, type AnswerOptions, type BlackBoxTeacherOptions } from './options.js';
export { ChatTeacher, type ChatPrices, type ChatTeacherOptions } from './chat/chat-teacher.js';
export { LocalTeacher, type LocalTeacherOptions } from './local/local-teacher.js';
export { askTeacher, blackBoxServices, openBlackBoxTeacher, type BlackBoxContext, type BlackBoxServices, type TeacherChoice } from './open-teacher.js';
export { countsText, lessonExample, lessonExamples, requireRoom, type Lesson } from './lessons.js';
