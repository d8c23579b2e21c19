import { memoryFiles } from '@pare/platform';
import { chatAnswer, ChatEndpoint, failure, jsonReply as json, promptOf, type ChatReply } from '@pare/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AnswerSettings } from '../teacher.js';
import { ChatTeacher, type ChatTeacherOptions } from './chat-teacher.js';
import type { Clock } from './clock.js';

/** Time that passes only when somebody waits. */
class TestClock implements Clock {
  readonly waits: number[] = [];
  #now = 0;
  readonly now = (): number => this.#now;
  readonly wait = (seconds: number): Promise<void> => {
    this.waits.push(seconds);
    this.#now += seconds;
    return Promise.resolve();
  };
}

const settings: AnswerSettings = { count: 1, temperature: 0.7, topP: 0.9, maxTokens: 20, stop: [], seed: 5 };

/** The prompt in capitals, with the seed. */
const good = chatAnswer((prompt, seed) => `${prompt.toUpperCase()} ${String(seed)}`);

let endpoint: ChatEndpoint;
let clock: TestClock;
beforeEach(async () => {
  clock = new TestClock();
  endpoint = await ChatEndpoint.start(good);
});
afterEach(() => endpoint[Symbol.asyncDispose]());

const teacher = (options: Partial<ChatTeacherOptions> = {}): ChatTeacher => new ChatTeacher({ endpoint: endpoint.address, model: 'big', clock, ...options });

async function problem(work: Promise<unknown>): Promise<string> {
  const { code, message, help } = await failure(work);
  return `${code} ${message} ${help}`;
}

/** One that nobody listens at any more. */
async function closedEndpoint(): Promise<ChatEndpoint> {
  await using closed = await ChatEndpoint.start(good);
  return closed;
}

describe('ChatTeacher', () => {
  it('asks what was set and hands out answers by prompt', async () => {
    const asked = teacher({ key: 'secret', system: 'Be brief.' });
    const answers = await asked.answer(['one', 'two'], { ...settings, count: 2, stop: ['\n'] });
    expect(answers).toEqual([
      [{ text: 'ONE 5', finished: true }, { text: 'ONE 6', finished: true }],
      [{ text: 'TWO 5', finished: true }, { text: 'TWO 6', finished: true }],
    ]);
    expect(endpoint.requests).toHaveLength(4);
    expect(endpoint.requests.find((request) => promptOf(request) === 'one' && request.seed === 6)).toEqual({
      model: 'big',
      messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'one' }],
      temperature: 0.7,
      top_p: 0.9,
      max_tokens: 20,
      stop: ['\n'],
      seed: 6,
    });
    expect([...endpoint.authorizations]).toEqual(['Bearer secret']);
    expect([...endpoint.paths]).toEqual(['/v1/chat/completions']);
  });

  it('asks for several answers at once where told to, and equal prompts once', async () => {
    const answers = await teacher({ answersPerRequest: 3, lengthField: 'max_completion_tokens' }).answer(['a', 'a'], { ...settings, count: 4 });
    expect(answers[0]!.map(({ text }) => text)).toEqual(['A 5', 'A 6', 'A 7', 'A 8']);
    expect(answers[1]).toEqual(answers[0]);
    expect(endpoint.requests.map(({ n, max_completion_tokens: most }) => [n, most])).toEqual([[3, 20], [undefined, 20]]);
  });

  it('keeps answers, and pays for none twice', async () => {
    const cache = { files: memoryFiles(), folder: '/answers' };
    endpoint.script = [good, good, (response) => json(response, 400, { error: { message: 'too long' } })];
    const prompts = ['a', 'b', 'c', 'd'];
    const first = teacher({ cache, concurrency: 1 });
    expect(await first.cost(prompts, settings)).toMatchObject({ requests: 4, kept: 0 });
    expect(await problem(first.answer(prompts, settings))).toContain('PARE_TEACHER_REFUSED');
    const second = teacher({ cache, concurrency: 1 });
    expect(await second.cost(prompts, settings)).toMatchObject({ requests: 2, kept: 2 });
    expect((await second.answer(prompts, settings)).map(([answer]) => answer!.text)).toEqual(['A 5', 'B 5', 'C 5', 'D 5']);
    expect(endpoint.requests.map(promptOf)).toEqual(['a', 'b', 'c', 'c', 'd']);
    await second.answer(prompts, { ...settings, seed: 6 });
    expect(endpoint.requests).toHaveLength(9);
  });

  it('asks again where a kept answer is damaged', async () => {
    const files = memoryFiles();
    const warnings: string[] = [];
    const make = (): ChatTeacher => teacher({ cache: { files, folder: '/answers' }, warn: (message) => warnings.push(message) });
    await make().answer(['a'], settings);
    const [folder] = await files.list('/answers');
    const [file] = await files.list(`/answers/${folder!.name}`);
    const path = `/answers/${folder!.name}/${file!.name}`;
    const kept = await files.readText(path);
    expect(kept).not.toContain('secret');
    await files.writeText(path, kept.slice(0, -5));
    expect((await make().answer(['a'], settings))[0]![0]!.text).toBe('A 5');
    expect(endpoint.requests).toHaveLength(2);
    expect(warnings).toEqual([expect.stringContaining('damaged')]);
  });

  it('estimates tokens and prices, and stays within a budget', async () => {
    const priced = teacher({ prices: { prompt: 1e6, answer: 2e6 }, budget: 100 });
    expect(await priced.cost(['x'.repeat(40)], { ...settings, count: 2 })).toEqual({ requests: 2, kept: 0, promptTokens: 20, answerTokens: 40, price: 20 + 80 });
    expect(await problem(priced.answer(['x'.repeat(44)], { ...settings, count: 2 }))).toMatch(/^PARE_TEACHER_BUDGET asking big at http:.* may cost 102\.00, more than the 100\.00/);
    expect(endpoint.requests).toHaveLength(0);
    // 52 each: all that one teacher is asked counts together.
    const once = { ...settings, count: 1 };
    const twice = teacher({ prices: { prompt: 1e6, answer: 2e6 }, budget: 100 });
    await twice.answer(['x'.repeat(48)], once);
    expect(await problem(twice.answer(['y'.repeat(48)], once))).toMatch(/^PARE_TEACHER_BUDGET .*may cost 104\.00/);
    expect(endpoint.requests).toHaveLength(1);
  });

  it.each<[string, ChatReply, RegExp]>([
    ['a failing server', (response) => json(response, 500, { error: { message: 'out of memory' } }), /^PARE_TEACHER_UNREACHABLE .*status 500 \(out of memory\), 3 times/],
    ['a busy server', (response) => json(response, 429, { error: 'slow down' }), /^PARE_TEACHER_BUSY .*status 429 \(slow down\), 3 times/],
    ['a cut connection', (response) => response.writeHead(200).write('{"choi', () => response.destroy()), /^PARE_TEACHER_UNREACHABLE .*, 3 times/],
    ['text that is no JSON', (response) => response.end('<html>Welcome</html>'), /^PARE_TEACHER_NONSENSE .*something that is not JSON: <html>Welcome<\/html>, 3 times/],
    ['an empty body', (response) => response.end(), /^PARE_TEACHER_NONSENSE .*an empty body/],
    ['a list', (response) => json(response, 200, []), /^PARE_TEACHER_NONSENSE .*JSON that is no object/],
    ['no choices', (response) => json(response, 200, { object: 'list' }), /^PARE_TEACHER_NONSENSE .*JSON without "choices": \{"object":"list"\}/],
    ['an error with status 200', (response) => json(response, 200, { error: { message: 'overloaded' } }), /^PARE_TEACHER_NONSENSE .*an error in a good answer: overloaded/],
    ['an empty text', (response) => json(response, 200, { choices: [{ message: { content: ' ' } }] }), /^PARE_TEACHER_NONSENSE .*an empty text/],
    ['choices without text', (response) => json(response, 200, { choices: [{ text: 'x' }] }), /^PARE_TEACHER_NONSENSE .*a choice 0 without text/],
    ['too few choices', (response) => json(response, 200, { choices: [] }), /^PARE_TEACHER_NONSENSE .*0 choices where 1 were asked for.*answersPerRequest: 1/],
  ])('says what is wrong with %s after three attempts, and gets over it before', async (_, reply, message) => {
    endpoint.always = reply;
    const asked = teacher({ retries: 2 });
    const found = await problem(asked.answer(['a'], settings));
    expect(found).toMatch(message);
    expect(found).toContain(`big at ${endpoint.address}`);
    expect(endpoint.requests).toHaveLength(3);
    expect(clock.waits).toHaveLength(2);
    endpoint.always = good;
    endpoint.script = [reply, reply];
    expect((await asked.answer(['a'], settings))[0]![0]!.text).toBe('A 5');
  });

  it.each<[string, number, unknown, RegExp]>([
    ['a wrong key', 401, { error: { message: 'Incorrect key: secret' } }, /^PARE_TEACHER_REFUSED .*Incorrect key: \[key\].*into THE_KEY/],
    ['an unknown model', 404, { error: { message: 'no model big' } }, /^PARE_TEACHER_REFUSED .*no model big.*model's name, big/],
    ['a bad request', 400, { detail: 'unknown field seed' }, /^PARE_TEACHER_REFUSED .*unknown field seed.*sendSeed/],
    ['an empty account', 429, { error: { code: 'insufficient_quota', message: 'no money' } }, /^PARE_TEACHER_REFUSED .*no money.*no credit/],
  ])('does not try %s again', async (_, status, body, message) => {
    endpoint.always = (response) => json(response, status, body);
    const found = await problem(teacher({ key: 'secret', keyVariable: 'THE_KEY' }).answer(['a'], settings));
    expect(found).toMatch(message);
    expect(found).not.toContain('secret');
    expect(endpoint.requests).toHaveLength(1);
  });

  it('waits as long as the endpoint says, with all its requests', async () => {
    endpoint.script = [(response) => json(response, 429, {}, { 'Retry-After': '17' })];
    await teacher({ concurrency: 1 }).answer(['a', 'b'], settings);
    expect(clock.waits).toEqual([17]);
    endpoint.script = [(response) => json(response, 503, {}, { 'Retry-After': '4000' })];
    expect(await problem(teacher().answer(['c'], settings))).toMatch(/^PARE_TEACHER_UNREACHABLE .*asks to wait 4000 seconds/);
  });

  it('gives up on an endpoint that hangs', async () => {
    endpoint.always = () => undefined;
    expect(await problem(teacher({ timeout: 0.05, retries: 1 }).answer(['a'], settings))).toMatch(/^PARE_TEACHER_UNREACHABLE .*nothing within 0.05 seconds, 2 times/);
    endpoint.always = (response) => void response.writeHead(200).write('{');
    expect(await problem(teacher({ timeout: 0.05, retries: 0 }).answer(['a'], settings))).toMatch(/nothing within 0.05 seconds/);
  });

  it('says when nobody listens, and refuses addresses that are none or hold secrets', async () => {
    const { address } = await closedEndpoint();
    expect(await problem(teacher({ endpoint: address, retries: 0 }).answer(['a'], settings))).toMatch(/^PARE_TEACHER_UNREACHABLE .*ECONNREFUSED/);
    expect(() => teacher({ endpoint: 'api.example.com' })).toThrow('http:// or https://');
    expect(() => teacher({ endpoint: 'https://me:word@example.com/v1' })).toThrow(/^https:\/\/example\.com gives no answer: its address holds a user/);
  });

  it('can be cancelled', async () => {
    const abort = new AbortController();
    endpoint.always = () => abort.abort();
    expect(await problem(teacher().answer(['a', 'b'], settings, { signal: abort.signal }))).toMatch(/^PARE_ABORTED asking big/);
  });

  it('keeps empty answers where told to, and knows which were cut off', async () => {
    endpoint.always = (response) => json(response, 200, { choices: [{ message: { content: null }, finish_reason: 'length' }] });
    expect(await teacher({ emptyAnswers: 'keep' }).answer(['a'], settings)).toEqual([[{ text: '', finished: false }]]);
  });

  it('makes few requests at a time and in a minute', async () => {
    const prompts = Array.from({ length: 6 }, (_, index) => String(index));
    await teacher({ concurrency: 2 }).answer(prompts, settings);
    expect(endpoint.most).toBeLessThanOrEqual(2);
    await teacher({ concurrency: 1, requestsPerMinute: 4 }).answer(prompts, { ...settings, seed: 9 });
    // Four at once, then one each quarter of a minute.
    expect(clock.waits.map((seconds) => Math.round(seconds))).toEqual([15, 15]);
    clock.waits.length = 0;
    // Each takes 7 tokens as the endpoint says, once 1 + 20 were put aside.
    await teacher({ concurrency: 1, tokensPerMinute: 42 }).answer(prompts, { ...settings, seed: 10 });
    expect(clock.waits.reduce((sum, seconds) => sum + seconds, 0)).toBeCloseTo(((5 * 7 + 21 - 42) / 42) * 60, 3);
  });
});
