// What the stories share: clients, names of their own, and a receiver.
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Svix } from "svix";
import { answers, type Calls } from "./calls";
import { until, Unexpected } from "./expect";

/** A request that the receiver got, its body byte for byte. */
export type Received = { path: string; headers: Record<string, string>; body: Buffer };

/** Answers deliveries on loopback, each path as it was told to. */
export class Receiver {
  /** What a path answers; 200 unless told otherwise. */
  readonly statuses = new Map<string, number>();
  private readonly got: Received[] = [];
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => {
        const path = request.url ?? "";
        this.got.push({ path, headers: plain(request.headers), body: Buffer.concat(parts) });
        response.writeHead(this.statuses.get(path) ?? 200, { "content-type": "text/plain" });
        response.end(`answered ${path}`);
      });
    });
  }

  /** Begins to listen, on a port that is free. */
  async open(): Promise<void> {
    await new Promise<void>((listening) => this.server.listen(0, "127.0.0.1", listening));
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  url(path: string): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}${path}`;
  }

  /** What a path got so far. */
  at(path: string): Received[] {
    return this.got.filter((request) => request.path === path);
  }

  /** Waits until a path got so many requests, and fails when it got more. */
  async await(path: string, count: number): Promise<Received[]> {
    const found = await until(`${count} requests at ${path}`, async () => (this.at(path).length >= count ? this.at(path) : undefined));
    if (found.length > count) throw new Unexpected(`requests at ${path}: expected ${count}, came ${found.length}`);
    return found;
  }
}

function plain(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

/** The server under test, and whoever speaks to it. */
export class World {
  readonly receiver = new Receiver();
  /** The administrator's client. */
  readonly svix: Svix;
  /** Begins each uid and event type, so that a server may be used twice. */
  readonly prefix = `js${Date.now().toString(36)}`;

  constructor(readonly calls: Calls, private readonly token: string, private readonly server: string) {
    this.svix = this.as(token);
  }

  /** A client with another token. */
  as(token: string): Svix {
    return this.calls.client(token, this.server);
  }

  /** The administrator's client by another way there, and as patient as the SDK is. */
  through(way: typeof fetch): Svix {
    return new Svix(this.token, { serverUrl: this.server, fetch: way });
  }

  /** A name that nobody else has. */
  name(what: string): string {
    return `${this.prefix}.${what}`;
  }

  /** A new application, by its id. */
  async application(what: string): Promise<string> {
    const app = await answers(201, this.svix.application.create({ name: what, uid: this.name(what) }));
    return app.id;
  }

  /** A new endpoint at a path of the receiver, by its id. */
  async endpoint(app: string, path: string, more: object = {}): Promise<string> {
    const endpoint = await answers(201, this.svix.endpoint.create(app, { url: this.receiver.url(path), ...more }));
    return endpoint.id;
  }

  /** Has an endpoint wait so many seconds after its failed tries; none for a single try. */
  async retries(app: string, endpoint: string, ...retrySchedule: number[]): Promise<void> {
    await this.beside(200, "PATCH", `/app/${app}/endpoint/${endpoint}`, { retrySchedule });
  }

  /** A new message, by its id. */
  async message(app: string, payload: object = { of: app }, more: object = {}): Promise<string> {
    const message = await answers(202, this.svix.message.create(app, { eventType: "conformance.tested", payload, ...more }));
    return message.id;
  }

  /**
   * A request for what Svix's SDK has no method, such as pausing an endpoint:
   * only ever a step on the way to what a method is to show.
   */
  async beside(status: number, method: string, path: string, body?: unknown): Promise<void> {
    const response = await fetch(`${this.server}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (response.status !== status) throw new Unexpected(`${method} ${path}: expected ${status}, came ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }
}
