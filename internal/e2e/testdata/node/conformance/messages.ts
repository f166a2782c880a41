import { messageInRaw } from "svix";
import { answers, refused } from "./calls";
import { fits, having, id, recent, until } from "./expect";
import type { World } from "./world";

const eventType = "conformance.tested";
const unknown = "msg_000000000000000000000000000";
const nowhere = "app_000000000000000000000000000";

/** Stories of svix.message; the pages of its list are in lists.ts. */
export const messages = {
  async create(world: World) {
    const { svix } = world, app = await world.application("message-create");
    const whole = { eventType, eventId: "event.1", payload: { a: 1 }, channels: ["one", "two"], tags: ["red"] };
    const sent = await answers(202, svix.message.create(app, whole, { withContent: true }));
    fits("message.create", sent, { ...whole, id: id("msg"), timestamp: recent, deliverAt: null });
    const bare = await answers(202, svix.message.create(app, { eventType, payload: { b: 2 } }));
    fits("message.create without options", bare, {
      id: id("msg"), eventType, eventId: null, payload: {}, channels: null, tags: null, timestamp: recent, deliverAt: null,
    });

    await refused(svix.message.create(app, whole), 409, "conflict");
    const wrong = async (field: string, some: object) => refused(svix.message.create(app, { eventType, payload: {}, ...some }), 422, ["body", field]);
    await wrong("eventType", { eventType: undefined });
    await wrong("eventType", { eventType: "with space" });
    await wrong("eventId", { eventId: "msg_mine" });
    await wrong("payload", { payload: undefined });
    for (const payload of [[], "text", 7, null]) await wrong("payload", { payload });
    await wrong("channels", { channels: [] });
    await wrong("channels", { channels: ["1", "2", "3", "4", "5", "6"] });
    await wrong("tags", { tags: [] });
    await refused(svix.message.create(app, { eventType, payload: { long: "x".repeat(1 << 20) } }), 413, "payload_too_large");
    await refused(svix.message.create(nowhere, { eventType, payload: {} }), 404, "not_found");
  },

  async "deliver exact bytes"(world: World) {
    const { svix } = world, app = await world.application("message-raw");
    await world.endpoint(app, "/raw");
    const payload = { text: "<Zoë & \u2028>", deep: [1, { a: null }] };
    const raw = '\n{ "amount": 1.0,\t"big":12345678901234567890, "amount":1e2, "of": "<Zo\\u00eb & \u00fc>" }\r\n';
    const large = { text: "Zoë 🎉 ".repeat(60_000) };
    const table = "id;name\r\n1;Zoë\r\n";
    await answers(202, svix.message.create(app, { eventType, payload }));
    const [plain] = await world.receiver.await("/raw", 1);
    fits("a payload as the SDK wrote it", plain.body.toString(), JSON.stringify(payload));
    const asIs = await answers(202, svix.message.create(app, messageInRaw(eventType, raw), { withContent: true }));
    fits("message.create of raw JSON", asIs.payload, { contentType: "application/json", body: raw });
    const second = (await world.receiver.await("/raw", 2))[1];
    fits("raw JSON", [second.body.toString("hex"), second.headers["content-type"]], [Buffer.from(raw).toString("hex"), "application/json"]);
    const csv = await answers(202, svix.message.create(app, messageInRaw(eventType, table, "text/csv; charset=utf-8"), { withContent: true }));
    const third = (await world.receiver.await("/raw", 3))[2];
    fits("a raw table", [third.body.toString(), third.headers["content-type"]], [table, "text/csv; charset=utf-8"]);
    const read = await answers(200, svix.message.get(app, csv.id, { withContent: true }));
    fits("message.get of a raw table", read.payload, { contentType: "text/csv; charset=utf-8", body: table });
    const much = await answers(202, svix.message.create(app, { eventType, payload: large }));
    fits("a large payload", (await world.receiver.await("/raw", 4))[3].body.equals(Buffer.from(JSON.stringify(large))), true);
    fits("message.get of a large payload", await answers(200, svix.message.get(app, much.id, { withContent: true })), having({ payload: large }));
    await refused(svix.message.create(app, { eventType, payload: {}, transformationsParams: { rawPayload: 7 } }), 422, ["body", "transformationsParams", "rawPayload"]);
    await refused(svix.message.create(app, messageInRaw(eventType, "x", "no content type")), 422, ["body", "transformationsParams", "headers", "content-type"]);
  },

  async "make the application along the way"(world: World) {
    const { svix } = world, uid = world.name("message-inline");
    const sent = await answers(202, svix.message.create(uid, { eventType, payload: {}, application: { name: "Inline", uid } }));
    fits("application.get of one made inline", await answers(200, svix.application.get(uid)), having({ uid, name: "Inline" }));
    await answers(202, svix.message.create(uid, { eventType, payload: {}, application: { name: "Not renamed", uid } }));
    fits("application.get of one that was there", await answers(200, svix.application.get(uid)), having({ uid, name: "Inline" }));
    fits("message.get in it", (await answers(200, svix.message.get(uid, sent.id))).id, sent.id);
    await refused(svix.message.create(uid, { eventType, payload: {}, application: { name: "Other", uid: uid + ".other" } }), 422, ["body", "application", "uid"]);
  },

  async precheck(world: World) {
    const { svix } = world, app = await world.application("message-precheck");
    const check = (some: object = {}) => answers(200, svix.message.precheck(app, { eventType, ...some }));
    fits("message.precheck without an endpoint", await check(), { active: false });
    const ep = await world.endpoint(app, "/precheck", { channels: ["one"] });
    fits("message.precheck of the channel", await check({ channels: ["one"] }), { active: true });
    fits("message.precheck of another", await check({ channels: ["two"] }), { active: false });
    await answers(200, svix.endpoint.patch(app, ep, { disabled: true }));
    fits("message.precheck with a disabled endpoint", await check({ channels: ["one"] }), { active: false });
    await refused(svix.message.precheck(app, {} as never), 422, ["body", "eventType"]);
    await refused(svix.message.precheck(app, { eventType, channels: [] }), 422, ["body", "channels"]);
    await refused(svix.message.precheck(nowhere, { eventType }), 404, "not_found");
  },

  async get(world: World) {
    const { svix } = world, app = await world.application("message-get"), other = await world.application("message-get-other");
    const sent = await answers(202, svix.message.create(app, { eventType, payload: { a: 1 }, eventId: "get" }));
    fits("message.get", await answers(200, svix.message.get(app, sent.id)), { ...sent, payload: {} });
    fits("message.get with its content", await answers(200, svix.message.get(app, "get", { withContent: true })), { ...sent, payload: { a: 1 } });
    await refused(svix.message.get(app, unknown), 404, "not_found");
    await refused(svix.message.get(other, sent.id), 404, "not_found"); // another application's
    await refused(svix.message.get(other, "get"), 404, "not_found");
  },

  async "list by what it can be narrowed down to"(world: World) {
    const { svix } = world, app = await world.application("message-list");
    const mark = new Date();
    const red = await world.message(app, { n: 1 }, { channels: ["one"], tags: ["red"], eventType: "list.a" });
    const blue = await world.message(app, { n: 2 }, { channels: ["two"], tags: ["blue"], eventType: "list.b" });
    const listed = async (some: object) => (await answers(200, svix.message.list(app, some))).data.map((m) => m.id);
    fits("message.list", await listed({}), [blue, red]);
    fits("message.list by channel", await listed({ channel: "one" }), [red]);
    fits("message.list by tag", await listed({ tag: "blue" }), [blue]);
    fits("message.list by a type", await listed({ eventTypes: ["list.a"] }), [red]);
    fits("message.list by two types", await listed({ eventTypes: ["list.a", "list.b", "list.c"] }), [blue, red]);
    fits("message.list after", await listed({ after: new Date(mark.getTime() - 1000) }), [blue, red]);
    fits("message.list before", await listed({ before: new Date(mark.getTime() - 1000) }), []);
    const page = await answers(200, svix.message.list(app, { withContent: true, limit: 1 }));
    fits("message.list with contents", page, {
      data: [having({ id: blue, payload: { n: 2 }, tags: ["blue"], channels: ["two"], timestamp: recent })],
      iterator: blue, prevIterator: `-${blue}`, done: false,
    });
    fits("message.list without contents", (await answers(200, svix.message.list(app))).data[0].payload, {});
    await refused(svix.message.list(app, { limit: 251 }), 422, ["query", "limit"]);
    await refused(svix.message.list(app, { iterator: "msg_nonsense" }), 422, ["query", "iterator"]);
    await refused(svix.message.list(nowhere), 404, "not_found");
  },

  async expunge(world: World) {
    const { svix } = world, app = await world.application("message-expunge"), ep = await world.endpoint(app, "/expunge");
    const sent = await world.message(app, { secret: "s" }, { eventId: "expunge" });
    await world.receiver.await("/expunge", 1);
    await answers(204, svix.message.expungeContent(app, "expunge"));
    await answers(204, svix.message.expungeContent(app, sent)); // again, without effect
    const read = await answers(200, svix.message.get(app, sent, { withContent: true }));
    fits("message.get of an expunged one", read, having({ id: sent, eventId: "expunge", payload: { expired: true } }));
    await refused(svix.messageAttempt.resend(app, sent, ep), 400, "missing_payload");
    await refused(svix.message.expungeContent(app, unknown), 404, "not_found");
  },

  async "expunge in bulk"(world: World) {
    const { svix } = world, app = await world.application("message-bulk"), other = await world.application("message-bulk-other");
    const first = await world.message(app), second = await world.message(app, { b: 2 }, { eventId: "bulk" }), foreign = await world.message(other);
    const out = await answers(200, svix.message.bulkExpungeContent(app, { ids: [first, "bulk", foreign, unknown] }));
    fits("message.bulkExpungeContent", out, { results: { [first]: "expunged", bulk: "expunged", [foreign]: "not-found", [unknown]: "not-found" } });
    for (const [of, message, payload] of [[app, second, { expired: true }], [other, foreign, { of: other }]] as const) {
      fits("message.get after it", (await answers(200, svix.message.get(of, message, { withContent: true }))).payload, payload);
    }
    fits("message.bulkExpungeContent of none", await answers(200, svix.message.bulkExpungeContent(app)), { results: {} });
    await refused(svix.message.bulkExpungeContent(app, { ids: Array(101).fill(first) }), 422, ["body", "ids"]);
    await refused(svix.message.bulkExpungeContent(nowhere, { ids: [first] }), 404, "not_found");
  },

  async "expunge all"(world: World) {
    const { svix } = world, app = await world.application("message-all"), other = await world.application("message-all-other");
    const [first, second, foreign] = [await world.message(app), await world.message(app), await world.message(other)];
    const task = await answers(202, svix.message.expungeAllContents(app));
    fits("message.expungeAllContents", task, { id: id("qtask"), status: "running", task: "application.purge_content", updatedAt: recent });
    const end = await until("its end", async () => {
      const found = await answers(200, svix.backgroundTask.get(task.id));
      return found.status === "running" ? undefined : found;
    });
    fits("its end", end, having({ status: "finished", task: "application.purge_content", data: having({ appId: app, messagesPurged: 2 }) }));
    for (const [of, message, payload] of [[app, first, { expired: true }], [app, second, { expired: true }], [other, foreign, { of: other }]] as const) {
      fits("message.get after it", (await answers(200, svix.message.get(of, message, { withContent: true }))).payload, payload);
    }
    await refused(svix.message.expungeAllContents(nowhere), 404, "not_found");
  },
};
