// Watches the SDK from outside: which of its methods were called, and what the
// server answered. The SDK itself tells neither the status of a success nor
// which call an exception came of.
import { AsyncLocalStorage } from "node:async_hooks";
import { ApiException, Svix } from "svix";
import { fits, show, text, Unexpected } from "./expect";

/** One call of a method, such as "endpoint.create". */
type Call = { name: string; args: unknown[]; status: number; contentType: string };

/** The promises and errors of calls, for what is said about them. */
const callOf = new WeakMap<object, Call>();

/** Tells a call as it would be written, shortened. */
function told(call: Call): string {
  return `${call.name}(${call.args.map(show).join(", ").slice(0, 600)})`;
}

/** All calls of a run, of however many clients. */
export class Calls {
  /** The methods that have once succeeded, and those that have been refused. */
  readonly succeeded = new Set<string>();
  readonly refused = new Set<string>();
  private readonly under = new AsyncLocalStorage<Call>();

  /** A client of the SDK, none of whose methods is changed. */
  client(token: string, serverUrl: string): Svix {
    const watched: typeof fetch = async (url, init) => {
      const response = await fetch(url, init);
      const call = this.under.getStore();
      if (call) {
        call.status = response.status;
        call.contentType = response.headers.get("content-type") ?? "";
      }
      return response;
    };
    // An answer of 5xx is not tried again: what is asked for is the first one.
    return this.watch(new Svix(token, { serverUrl, fetch: watched, retryScheduleInMs: [] }), "");
  }

  /** Wraps what properties hold, and each method that they lead to. */
  private watch<T extends object>(target: T, path: string): T {
    return new Proxy(target, {
      get: (_, key) => {
        const value = Reflect.get(target, key), name = path + String(key);
        if (typeof value === "object" && value !== null) return this.watch(value, `${name}.`);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => this.run({ name, args, status: 0, contentType: "" }, () => value.apply(target, args));
      },
    });
  }

  private run(call: Call, method: () => Promise<unknown>): Promise<unknown> {
    const promise = this.under.run(call, method);
    callOf.set(promise, call);
    promise.then(
      () => this.succeeded.add(call.name),
      (error) => {
        if (error instanceof ApiException && error.code < 500) this.refused.add(call.name);
        if (typeof error === "object" && error !== null) callOf.set(error, call);
      },
    );
    return promise;
  }
}

/** Waits for a call that must succeed, with this status. */
export async function answers<T>(status: number, promise: Promise<T>): Promise<T> {
  const value = await promise;
  const call = callOf.get(promise)!;
  fits(`the status of ${told(call)}`, call.status, status);
  return value;
}

/**
 * Waits for a call that must be refused: with a code, or at 422 for what is
 * wrong at a place such as ["body", "uid"].
 */
export async function refused(promise: Promise<unknown>, status: number, why: string | string[]): Promise<void> {
  const call = callOf.get(promise)!, what = told(call);
  const body = typeof why === "string" ? { code: why, detail: text } : { detail: [{ loc: why, msg: text, type: text }] };
  const expected = `to be refused with ${status} ${show(body)}`;
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (!(error instanceof ApiException)) throw error;
    // From 500 on the SDK leaves the body as text.
    const came = typeof error.body === "string" ? JSON.parse(error.body) : error.body;
    const all = `${what}: expected ${expected}, came ${error.code} ${show(came)}`;
    if (error.code !== status || call.contentType !== "application/json") throw new Unexpected(`${all} (${call.contentType})`);
    fits(`${all}: the body`, came, body);
    return;
  }
  throw new Unexpected(`${what}: expected ${expected}, came ${call.status} ${show(value)}`);
}

/** An error for a reader: of an exception of the SDK, which call it came of. */
export function explained(error: unknown): string {
  if (error instanceof Unexpected) return error.message + where(error);
  const call = typeof error === "object" && error !== null ? callOf.get(error) : undefined;
  const came = error instanceof ApiException ? `${error.code} ${show(error.body)}` : String(error instanceof Error ? error.stack : error);
  return call ? `${told(call)}: expected to succeed, came ${came}` : came;
}

/** The line of the story that did not go on. */
function where(error: Error): string {
  const line = error.stack?.split("\n").find((l) => l.includes("/conformance/") && !/\/(expect|calls)\.ts/.test(l));
  return line ? `\n      ${line.trim()}` : "";
}
