// Lists, walked by what the SDK gives: iterator forth, prevIterator back.
import { answers, refused } from "./calls";
import { fits, Unexpected, until } from "./expect";
import type { World } from "./world";

type Page<T> = { data: T[]; iterator: string | null; prevIterator?: string | null; done: boolean };
type Options = { limit: number; iterator?: string | null; order?: "ascending" | "descending" };
type Read<T> = (options: Options) => Promise<Page<T>>;

/** A list of the server: how it is read, and what names its entries. */
type List<T> = { what: string; read: Read<T>; key: (entry: T) => string; limit: number };

/** Reads a page, which must say of itself what its entries say. */
async function page<T>(list: List<T>, options: Omit<Options, "limit">): Promise<{ keys: string[]; page: Page<T> }> {
  const found = await list.read({ limit: list.limit, ...options }), keys = found.data.map(list.key);
  if (keys.length > list.limit) throw new Unexpected(`${list.what}: expected at most ${list.limit} entries, came ${keys.length}`);
  fits(`${list.what}: a page of ${keys.length}`, { ...found, data: keys }, {
    data: keys, iterator: keys.at(-1) ?? null, prevIterator: keys.length > 0 ? `-${keys[0]}` : null, done: found.done,
  });
  return { keys, page: found };
}

/** Walks forth to the end, with something happening after each page. */
async function forth<T>(list: List<T>, order: Options["order"], between: (page: string[]) => Promise<void> = async () => {}, iterator?: string) {
  const all: string[] = [];
  for (;;) {
    const { keys, page: found } = await page(list, { iterator, order });
    all.push(...keys);
    if (found.done) return { all, last: found };
    await between(keys);
    iterator = found.iterator!;
  }
}

/** Walks back from a page to the beginning. */
async function back<T>(list: List<T>, order: Options["order"], from: Page<T>, between: () => Promise<void> = async () => {}) {
  const all = from.data.map(list.key);
  for (let found = from; ; ) {
    const before = await page(list, { iterator: found.prevIterator, order });
    all.unshift(...before.keys);
    if (before.page.done) return all;
    await between();
    found = before.page;
  }
}

/** Walks a list that stands still, in both directions. */
async function walk<T>(list: List<T>, want: string[], order?: Options["order"]): Promise<void> {
  const { all, last } = await forth(list, order);
  fits(`${list.what}, ${order ?? "as it is"}, forth`, all, want);
  fits(`${list.what}, ${order ?? "as it is"}, back`, await back(list, order, last), want);
  const beyond = await page(list, { iterator: last.iterator, order });
  fits(`${list.what}, behind its end`, { ...beyond.page, data: beyond.keys }, { data: [], iterator: null, prevIterator: null, done: true });
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Makes things one after the other, so that their ids are in this order. */
async function several(count: number, make: (i: number) => Promise<string>): Promise<string[]> {
  const made: string[] = [];
  for (const i of numbers(count)) made.push(await make(i));
  return made;
}

export const lists = {
  async applications(world: World) {
    const { svix } = world, mine = new Set<string>();
    const made = await several(7, async (i) => {
      const app = await world.application(`list.${i}`);
      mine.add(app);
      return app;
    });
    // Others make applications meanwhile: from the first of these on, those of
    // this story must come in their order, and each once.
    const list: List<{ id: string }> = { what: "application.list", limit: 3, key: (a) => a.id, read: (o) => answers(200, svix.application.list(o as never)) };
    const { all, last } = await forth(list, "ascending", undefined, made[0]);
    fits("application.list, forth", all.filter((a) => mine.has(a)), made.slice(1));
    fits("application.list, back", (await back(list, "ascending", last)).filter((a) => mine.has(a)), made);
    const down = await forth(list, "descending");
    fits("application.list, descending", down.all.filter((a) => mine.has(a)), made.slice().reverse());
    // Where the iterator points, the application goes; so does one to come.
    const seen = await forth(list, "descending", async (keys) => {
      const at = keys.at(-1)!;
      if (mine.has(at)) await answers(204, svix.application.delete(at));
      if (keys.includes(made[5])) await answers(204, svix.application.delete(made[1]));
    });
    fits("application.list while it changes", seen.all.filter((a) => mine.has(a) && a !== made[1]), made.filter((a) => a !== made[1]).reverse());
  },

  async "event types"(world: World) {
    const { svix } = world, name = (i: number | string) => world.name(`list.type.${i}`);
    for (const i of numbers(7)) await answers(201, svix.eventType.create({ name: name(i), description: "Listed" }));
    const list: List<{ name: string }> = { what: "eventType.list", limit: 2, key: (t) => t.name, read: (o) => answers(200, svix.eventType.list(o as never)) };
    const mine = (names: string[]) => names.filter((n) => n.startsWith(name("")));
    const { all, last } = await forth(list, undefined, undefined, name(""));
    fits("eventType.list, forth", mine(all), numbers(7).map(name));
    fits("eventType.list, back", mine(await back(list, undefined, last)), numbers(7).map(name));
    // Between pages one that was seen goes, one that was not, and one comes.
    const seen = await forth(list, "ascending", async (keys) => {
      if (!keys.includes(name(1))) return;
      await answers(204, svix.eventType.delete(name(1), { expunge: true }));
      await answers(204, svix.eventType.delete(name(3), { expunge: true }));
      await answers(201, svix.eventType.create({ name: name("4.new"), description: "Between" }));
      await answers(201, svix.eventType.create({ name: name("0.late"), description: "Behind" }));
    }, name(""));
    fits("eventType.list while it changes", mine(seen.all), [0, 1, 2, 4, "4.new", 5, 6].map(name));
  },

  async endpoints(world: World) {
    const { svix } = world, app = await world.application("list-endpoints");
    const make = () => world.endpoint(app, "/listed", { disabled: true });
    const made = await several(8, make);
    const list: List<{ id: string }> = { what: "endpoint.list", limit: 3, key: (e) => e.id, read: (o) => answers(200, svix.endpoint.list(app, o as never)) };
    await walk(list, made.slice().reverse());
    await walk(list, made, "ascending");
    await walk({ ...list, limit: 8 }, made.slice().reverse(), "descending");
    // Each page's last entry, where the iterator points, goes after it was seen;
    // so does one to come, and new ones come.
    const late: string[] = [];
    const { all, last } = await forth(list, "ascending", async (keys) => {
      await answers(204, svix.endpoint.delete(app, keys.at(-1)!));
      if (keys[0] === made[0]) await answers(204, svix.endpoint.delete(app, made[4]));
      if (late.length < 2) late.push(await make());
    });
    fits("endpoint.list while it changes", all, [...made.filter((e) => e !== made[4]), ...late]);
    const left = await forth(list, "ascending");
    const before = left.all.slice(0, -last.data.length);
    const again = await back(list, "ascending", last, async () => {
      await make(); // behind all of them
    });
    fits("endpoint.list, back while it changes", again, [...before, ...last.data.map(list.key)]);
  },

  async messages(world: World) {
    const { svix } = world, app = await world.application("list-messages");
    const made = await several(8, () => world.message(app));
    const list: List<{ id: string }> = { what: "message.list", limit: 3, key: (m) => m.id, read: (o) => answers(200, svix.message.list(app, o as never)) };
    await walk(list, made.slice().reverse());
    const { all, last } = await forth(list, undefined, async () => {
      await world.message(app); // newer than all of the walk
    });
    fits("message.list while it grows", all, made.slice().reverse());
    const { all: now } = await forth(list, undefined);
    fits("message.list, back while it grows", await back(list, undefined, last), now);
    fits("how many there are", now.length, 10);
    // What is narrowed down has pages of its own, here among much else.
    const red: string[] = [];
    for (const i of numbers(20)) {
      const sent = await world.message(app, {}, i % 4 === 0 ? { tags: ["red"], channels: ["one"], eventType: "list.red" } : { tags: ["blue"] });
      if (i % 4 === 0) red.push(sent);
    }
    for (const some of [{ tag: "red" }, { channel: "one" }, { eventTypes: ["list.red"] }, { tag: "red", after: new Date(Date.now() - 60_000), before: new Date(Date.now() + 60_000) }]) {
      const narrow = { ...list, limit: 2, what: `message.list of ${JSON.stringify(some)}`, read: (o: Options) => answers(200, svix.message.list(app, { ...o, ...some } as never)) };
      await walk(narrow, red.slice().reverse());
    }
  },

  async "attempts and attempted messages"(world: World) {
    const { svix } = world, app = await world.application("list-attempts"), endpoint = await world.endpoint(app, "/list-attempts");
    const made = await several(7, () => world.message(app));
    const list: List<{ id: string }> = {
      what: "messageAttempt.listByEndpoint", limit: 3, key: (a) => a.id, read: (o) => answers(200, svix.messageAttempt.listByEndpoint(app, endpoint, o as never)),
    };
    const tried = await until("all attempts", async () => {
      const { data } = await answers(200, svix.messageAttempt.listByEndpoint(app, endpoint));
      return data.length === made.length ? data : undefined;
    });
    fits("whose attempts they are", tried.map((a) => a.msgId).sort(), made);
    await walk(list, tried.map((a) => a.id));
    await walk({ ...list, what: "messageAttempt.listAttemptedMessages", read: (o) => answers(200, svix.messageAttempt.listAttemptedMessages(app, endpoint, o as never)) }, made.slice().reverse());
    for (const _ of numbers(4)) {
      const before = (await answers(200, svix.messageAttempt.listByMsg(app, made[0]))).data.length;
      await answers(202, svix.messageAttempt.resend(app, made[0], endpoint));
      await until("the resent one", async () => (await answers(200, svix.messageAttempt.listByMsg(app, made[0]))).data.length > before || undefined);
    }
    const { data: again } = await answers(200, svix.messageAttempt.listByMsg(app, made[0]));
    await walk({ ...list, limit: 2, what: "messageAttempt.listByMsg", read: (o) => answers(200, svix.messageAttempt.listByMsg(app, made[0], o as never)) }, again.map((a) => a.id));
    const { all } = await forth(list, undefined, async () => {
      await world.message(app);
    });
    fits("messageAttempt.listByEndpoint while it grows", all.slice(-7), tried.map((a) => a.id));
  },

  async destinations(world: World) {
    const { svix } = world, app = await world.application("list-destinations");
    const endpoints = await several(5, () => world.endpoint(app, "/list-destinations")), message = await world.message(app);
    await walk({ what: "messageAttempt.listAttemptedDestinations", limit: 2, key: (e: { id: string }) => e.id, read: (o) => answers(200, svix.messageAttempt.listAttemptedDestinations(app, message, o)) }, endpoints);
  },

  async "iterators of other lists"(world: World) {
    const { svix } = world, app = await world.application("list-iterators"), endpoint = await world.endpoint(app, "/list-iterators");
    const message = await world.message(app);
    for (const iterator of ["nonsense", "-nonsense", "key_000000000000000000000000000", "--"]) {
      for (const call of [
        svix.application.list({ iterator }), svix.endpoint.list(app, { iterator }), svix.message.list(app, { iterator }), svix.backgroundTask.list({ iterator }),
        svix.messageAttempt.listByEndpoint(app, endpoint, { iterator }), svix.messageAttempt.listByMsg(app, message, { iterator }),
        svix.messageAttempt.listAttemptedMessages(app, endpoint, { iterator }), svix.messageAttempt.listAttemptedDestinations(app, message, { iterator }),
      ]) {
        await refused(call, 422, ["query", "iterator"]);
      }
    }
  },

  async "background tasks"(world: World) {
    const { svix } = world, app = await world.application("list-tasks"), endpoint = await world.endpoint(app, "/list-tasks"), since = new Date(Date.now() - 1000);
    const made = await several(5, async () => (await answers(202, svix.endpoint.replayMissing(app, endpoint, { since }))).id), mine = new Set(made);
    const list: List<{ id: string }> = { what: "backgroundTask.list", limit: 2, key: (t) => t.id, read: (o) => answers(200, svix.backgroundTask.list(o as never)) };
    const { all, last } = await forth(list, undefined);
    fits("backgroundTask.list, forth", all.filter((t) => mine.has(t)), made.slice().reverse());
    fits("backgroundTask.list, back", (await back(list, undefined, last)).filter((t) => mine.has(t)), made.slice().reverse());
  },
};
