import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The body of a request to `chat/completions`. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly n?: number;
  readonly seed?: number;
  readonly [field: string]: unknown;
}

export type ChatReply = (response: ServerResponse, request: ChatRequest) => void;

/** Answers with a status and JSON. */
export function jsonReply(response: ServerResponse, status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(value));
}

/** The last message. */
export function promptOf({ messages }: ChatRequest): string {
  return messages.at(-1)?.content ?? '';
}

/** Answers as an endpoint should, with a text made of the prompt and the seed; seven tokens each. */
export function chatAnswer(text: (prompt: string, seed: number) => string): ChatReply {
  return (response, request) => {
    const choices = Array.from({ length: request.n ?? 1 }, (_, index) => ({ index, message: { role: 'assistant', content: text(promptOf(request), (request.seed ?? 0) + index) }, finish_reason: 'stop' }));
    jsonReply(response, 200, { choices, usage: { total_tokens: 7 } });
  };
}

/** An OpenAI-compatible chat endpoint on this machine, which remembers what it was asked. It answers the first requests as `script` has it, and the others as `always`. */
export class ChatEndpoint implements AsyncDisposable {
  /** Up to `/chat/completions`. */
  readonly address: string;
  readonly requests: ChatRequest[] = [];
  readonly authorizations = new Set<string | undefined>();
  readonly paths = new Set<string | undefined>();
  script: ChatReply[] = [];
  always: ChatReply;
  /** Requests that were open at the same time, at most. */
  most = 0;
  #open = 0;
  readonly #server: Server;

  private constructor(server: Server, always: ChatReply) {
    this.#server = server;
    this.always = always;
    this.address = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/v1`;
    server.on('request', (request, response) => void this.#answer(request, response));
  }

  static async start(always: ChatReply): Promise<ChatEndpoint> {
    const server = createServer();
    await new Promise<void>((started) => server.listen(0, '127.0.0.1', started));
    return new ChatEndpoint(server, always);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((stopped) => this.#server.close(stopped));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.most = Math.max(this.most, ++this.#open);
    response.on('close', () => this.#open--);
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const body = JSON.parse(text) as ChatRequest;
    this.requests.push(body);
    this.authorizations.add(request.headers.authorization);
    this.paths.add(request.url);
    (this.script.shift() ?? this.always)(response, body);
  }
}
