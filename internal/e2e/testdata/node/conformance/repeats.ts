import { answers, refused } from "./calls";
import { fits, having } from "./expect";
import type { World } from "./world";

const eventType = "conformance.tested";

/** Stories of idempotency keys that a caller chose. */
export const repeats = {
  async "answer a repetition as the first"(world: World) {
    const { svix } = world, idempotencyKey = world.name("repeat");
    const first = await answers(201, svix.application.create({ name: "First" }, { idempotencyKey }));
    const second = await answers(201, svix.application.create({ name: "Another body" }, { idempotencyKey }));
    fits("application.create under the same key", second, { ...first });
    const other = await answers(201, svix.application.create({ name: "Another key" }, { idempotencyKey: idempotencyKey + ".2" }));
    fits("application.create under another key", other, having({ name: "Another key" }));
    // The address is part of what is repeated.
    const elsewhere = await answers(201, svix.application.getOrCreate({ name: "Elsewhere", uid: world.name("elsewhere") }, { idempotencyKey }));
    fits("application.getOrCreate under the same key", elsewhere, having({ name: "Elsewhere" }));
  },

  async "every POST of an application"(world: World) {
    const { svix, receiver } = world, app = await world.application("repeat-posts"), since = new Date(Date.now() - 3_600_000);
    const url = receiver.url("/repeats"), key = (what: string) => ({ idempotencyKey: world.name(`repeat.${what}`) });
    const twice = async <T>(what: string, call: () => Promise<T>) => {
      const first = await call();
      fits(`${what} under the same key`, await call(), first);
      return first;
    };
    const endpoint = await twice("endpoint.create", () => answers(201, svix.endpoint.create(app, { url, uid: "repeat" }, key("endpoint"))));
    const message = await twice("message.create", () => answers(202, svix.message.create(app, { eventType, payload: {} }, key("message"))));
    await receiver.await("/repeats", 1);
    await twice("messageAttempt.resend", () => answers(202, svix.messageAttempt.resend(app, message.id, endpoint.id, key("resend"))));
    await twice("endpoint.sendExample", () => answers(200, svix.endpoint.sendExample(app, endpoint.id, { eventType: "svix.ping" }, key("example"))));
    const secret = async () => {
      await answers(204, svix.endpoint.rotateSecret(app, endpoint.id, {}, key("rotate")));
      return answers(200, svix.endpoint.getSecret(app, endpoint.id));
    };
    await twice("endpoint.rotateSecret", secret);
    await twice("endpoint.recover", () => answers(202, svix.endpoint.recover(app, endpoint.id, { since }, key("recover"))));
    await twice("endpoint.replayMissing", () => answers(202, svix.endpoint.replayMissing(app, endpoint.id, { since }, key("missing"))));
    await twice("endpoint.bulkReplay", () => answers(202, svix.endpoint.bulkReplay(app, endpoint.id, { since, status: 2 }, key("bulk"))));
    await twice("message.precheck", () => answers(200, svix.message.precheck(app, { eventType }, key("precheck"))));
    await twice("message.bulkExpungeContent", () => answers(200, svix.message.bulkExpungeContent(app, { ids: [message.id] }, key("expunge"))));
    await twice("authentication.appPortalAccess", () => answers(200, svix.authentication.appPortalAccess(app, {}, key("portal"))));
    await twice("authentication.expireAll", () => answers(204, svix.authentication.expireAll(app, {}, key("expire"))));
    const type = { name: world.name("repeat.type"), description: "Once" };
    await twice("eventType.create", () => answers(201, svix.eventType.create(type, key("type"))));
    await receiver.await("/repeats", 3); // the message, its resend and the example, once each
    fits("endpoint.list after all", (await answers(200, svix.endpoint.list(app))).data.map((e) => e.id), [endpoint.id]);
  },

  async "at the same time"(world: World) {
    const { svix } = world, app = await world.application("repeat-concurrent"), idempotencyKey = world.name("concurrent");
    const sent = await Promise.all(Array.from({ length: 12 }, (_, n) =>
      answers(202, svix.message.create(app, { eventType, payload: { n } }, { idempotencyKey, withContent: true }))));
    for (const one of sent) fits("message.create at the same time", one, { ...sent[0] });
    fits("message.list after it", (await answers(200, svix.message.list(app))).data.map((m) => m.id), [sent[0].id]);
  },

  async "an answer that is lost on its way"(world: World) {
    const { svix } = world, app = await world.application("repeat-lost"), endpoint = await world.endpoint(app, "/lost");
    // Every first answer is lost after the server has done its work; the SDK then
    // asks again by itself, under the key that it has made up.
    const lost = new Set<string>();
    const losing: typeof fetch = async (url, init) => {
      const response = await fetch(url, init), key = new Headers(init?.headers).get("idempotency-key") ?? "";
      if (lost.has(key)) return response;
      lost.add(key);
      await response.arrayBuffer();
      throw new TypeError("the connection broke");
    };
    const unlucky = world.through(losing);
    const sent = await unlucky.message.create(app, { eventType, payload: { n: 1 } });
    fits("message.list after a lost answer", (await answers(200, svix.message.list(app))).data.map((m) => m.id), [sent.id]);
    await world.receiver.await("/lost", 1);
    await unlucky.messageAttempt.resend(app, sent.id, endpoint);
    await unlucky.endpoint.sendExample(app, endpoint, { eventType: "svix.ping" });
    const { key } = await answers(200, svix.endpoint.getSecret(app, endpoint));
    await unlucky.endpoint.rotateSecret(app, endpoint, { key: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" });
    fits("endpoint.getSecret after it", (await answers(200, svix.endpoint.getSecret(app, endpoint))).key, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    fits("the secret before it", key === "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false);
    const made = await unlucky.application.create({ name: "Once", uid: world.name("repeat-once") });
    fits("application.get after a lost answer", await answers(200, svix.application.get(world.name("repeat-once"))), { ...made });
    await world.receiver.await("/lost", 3); // the message, its resend and the example, once each
  },

  async "what was refused may be tried again"(world: World) {
    const { svix } = world, app = await world.application("repeat-refused"), idempotencyKey = world.name("refused");
    await refused(svix.message.create(app, { eventType: "with space", payload: {} }, { idempotencyKey }), 422, ["body", "eventType"]);
    await answers(202, svix.message.create(app, { eventType, payload: {} }, { idempotencyKey }));
    await refused(svix.message.create(app, { eventType, payload: {} }, { idempotencyKey: "x".repeat(257) }), 422, ["header", "idempotency-key"]);
    await refused(svix.message.create(app, { eventType, payload: {} }, { idempotencyKey: "ö" }), 422, ["header", "idempotency-key"]);
  },

  async "of somebody else"(world: World) {
    const app = await world.application("repeat-other"), idempotencyKey = world.name("shared");
    const [one, two] = await Promise.all([1, 2].map(async () => (await answers(200, world.svix.authentication.appPortalAccess(app))).token));
    const create = (token: string) => answers(201, world.as(token).endpoint.create(app, { url: world.receiver.url("/shared") }, { idempotencyKey }));
    const first = await create(one);
    fits("endpoint.create by the same visitor", await create(one), { ...first });
    fits("endpoint.create by another visitor, whether it is another", (await create(two)).id !== first.id, true);
  },
};
