export { costText, type AnswerCost, type AnswerOptions, type AnswerSettings, type BlackBoxTeacher, type TeacherAnswer } from './teacher.js';
export { ChatTeacher, type ChatPrices, type ChatTeacherOptions } from './chat/chat-teacher.js';
