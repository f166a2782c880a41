import { answers, refused } from "./calls";
import { fits, having, id, not, recent } from "./expect";
import type { World } from "./world";

const unknown = "ep_000000000000000000000000000";

/** Stories of svix.endpoint, but for secrets and replays. */
export const endpoints = {
  async create(world: World) {
    const { svix } = world, app = await world.application("endpoint-create"), type = world.name("endpoint.type");
    await answers(201, svix.eventType.create({ name: type, description: "For an endpoint" }));
    const url = world.receiver.url("/never"), uid = "everything";
    const made = await answers(201, svix.endpoint.create(app, {
      url, uid, description: "Everything", throttleRate: 11, disabled: true, eventTypes: [type], channels: ["one", "two"],
      metadata: { a: "1" }, headers: { "x-kept": "yes" },
    }));
    fits("endpoint.create", made, {
      id: id("ep"), url, uid, description: "Everything", throttleRate: 11, disabled: true, eventTypes: [type], channels: ["one", "two"],
      metadata: { a: "1" }, createdAt: recent, updatedAt: recent,
    });
    const bare = await answers(201, svix.endpoint.create(app, { url }));
    fits("endpoint.create without options", bare, {
      id: id("ep"), url, uid: null, description: "", throttleRate: null, disabled: false, eventTypes: null, channels: null,
      metadata: {}, createdAt: recent, updatedAt: recent,
    });

    await refused(svix.endpoint.create(app, { url, uid }), 409, "conflict");
    const wrong = async (field: string, some: object) => refused(svix.endpoint.create(app, { url, ...some }), 422, ["body", field]);
    await refused(svix.endpoint.create(app, {} as never), 422, ["body", "url"]);
    for (const address of ["", "nowhere", "ftp://example.com/", "http://10.1.2.3/", "http://[::ffff:169.254.169.254]/"]) await wrong("url", { url: address });
    await wrong("uid", { uid: "ep_mine" });
    await wrong("throttleRate", { throttleRate: 0 });
    await wrong("eventTypes", { eventTypes: [] });
    await wrong("eventTypes", { eventTypes: [world.name("no.such.type")] });
    await wrong("channels", { channels: [] });
    await wrong("channels", { channels: Array.from({ length: 11 }, (_, i) => `c${i}`) });
    await wrong("metadata", { metadata: { long: "x".repeat(4096) } });
    await wrong("secret", { secret: "whsec_c2hvcnQ=" });
    for (const name of ["webhook-id", "content-length", "user-agent", "svix-id", "x-amz-date"]) {
      await refused(svix.endpoint.create(app, { url, headers: { [name]: "x" } }), 422, ["body", "headers", name]);
    }
    await refused(svix.endpoint.create("app_000000000000000000000000000", { url }), 404, "not_found");
  },

  async get(world: World) {
    const { svix } = world, app = await world.application("endpoint-get"), other = await world.application("endpoint-get-other");
    const made = await answers(201, svix.endpoint.create(app, { url: world.receiver.url("/get"), uid: "get" }));
    fits("endpoint.get by id", await answers(200, svix.endpoint.get(app, made.id)), { ...made });
    fits("endpoint.get by uids", await answers(200, svix.endpoint.get(world.name("endpoint-get"), "get")), { ...made });
    await refused(svix.endpoint.get(app, unknown), 404, "not_found");
    await refused(svix.endpoint.get(other, made.id), 404, "not_found"); // another application's
    await refused(svix.endpoint.get(other, "get"), 404, "not_found");
  },

  async upsert(world: World) {
    const { svix } = world, app = await world.application("endpoint-upsert"), url = world.receiver.url("/upsert");
    const made = await answers(201, svix.endpoint.upsert(app, "upsert", { url, uid: "upsert", description: "Made", throttleRate: 3, channels: ["c"], metadata: { a: "1" } }));
    const secret = await answers(200, svix.endpoint.getSecret(app, made.id));
    const replaced = await answers(200, svix.endpoint.upsert(app, "upsert", { url: url + "/2", uid: "upsert" }));
    fits("endpoint.upsert of one that is there", replaced, {
      ...made, url: url + "/2", description: "", throttleRate: null, channels: null, metadata: {}, updatedAt: recent,
    });
    fits("the secret after endpoint.upsert", await answers(200, svix.endpoint.getSecret(app, made.id)), { ...secret });
    await refused(svix.endpoint.upsert(app, unknown, { url }), 404, "not_found");
    await refused(svix.endpoint.upsert(app, "upsert", { url: "nowhere" }), 422, ["body", "url"]);
    await refused(svix.endpoint.upsert(app, "upsert", {} as never), 422, ["body", "url"]);
    await answers(201, svix.endpoint.create(app, { url, uid: "taken" }));
    await refused(svix.endpoint.upsert(app, made.id, { url, uid: "taken" }), 409, "conflict");
  },

  async "patch with a value, null and nothing"(world: World) {
    const { svix } = world, app = await world.application("endpoint-patch"), url = world.receiver.url("/patch");
    const made = await answers(201, svix.endpoint.create(app, { url, uid: "patch", description: "Patch", throttleRate: 3, channels: ["c"], metadata: { a: "1" } }));
    fits("endpoint.patch of nothing", await answers(200, svix.endpoint.patch(app, "patch", {})), { ...made, updatedAt: recent });
    const told = await answers(200, svix.endpoint.patch(app, "patch", { description: "Patched", disabled: true, url: url + "/2" }));
    fits("endpoint.patch of values", told, { ...made, description: "Patched", disabled: true, url: url + "/2", updatedAt: recent });
    const less = await answers(200, svix.endpoint.patch(app, "patch", { throttleRate: null, channels: null, eventTypes: null, uid: null }));
    fits("endpoint.patch with null", less, { ...told, throttleRate: null, channels: null, eventTypes: null, uid: null, updatedAt: recent });
    fits("endpoint.get after the patch", await answers(200, svix.endpoint.get(app, made.id)), { ...less });
    await refused(svix.endpoint.patch(app, "patch", {}), 404, "not_found"); // the uid is gone
    await refused(svix.endpoint.patch(app, made.id, { url: "http://192.168.1.1/" }), 422, ["body", "url"]);
    await refused(svix.endpoint.patch(app, made.id, { channels: [] }), 422, ["body", "channels"]);
    await answers(201, svix.endpoint.create(app, { url, uid: "taken" }));
    await refused(svix.endpoint.patch(app, made.id, { uid: "taken" }), 409, "conflict");
  },

  async delete(world: World) {
    const { svix } = world, app = await world.application("endpoint-delete");
    const made = await world.endpoint(app, "/delete", { uid: "delete" });
    await answers(204, svix.endpoint.delete(app, "delete"));
    await refused(svix.endpoint.delete(app, made), 404, "not_found");
    await refused(svix.endpoint.get(app, made), 404, "not_found");
    fits("an endpoint with the uid of a deleted one", await world.endpoint(app, "/delete", { uid: "delete" }), not(made));
  },

  async headers(world: World) {
    const { svix } = world, app = await world.application("endpoint-headers"), ep = await world.endpoint(app, "/headers");
    const read = () => answers(200, svix.endpoint.getHeaders(app, ep));
    fits("endpoint.getHeaders of none", await read(), { headers: {}, sensitive: [] });
    await answers(204, svix.endpoint.setHeaders(app, ep, { headers: { "X-Team": "a", "X-Api-Key": "hidden", "X-Other": "b" } }));
    fits("endpoint.getHeaders", await read(), { headers: { "X-Team": "a", "X-Other": "b" }, sensitive: ["X-Api-Key"] });
    await answers(204, svix.endpoint.patchHeaders(app, ep, { headers: { "x-team": "c", "X-New": "d" }, deleteHeaders: ["x-other"] }));
    fits("endpoint.getHeaders after the patch", await read(), { headers: { "x-team": "c", "X-New": "d" }, sensitive: ["X-Api-Key"] });
    await world.message(app);
    const [got] = await world.receiver.await("/headers", 1);
    fits("the headers of a delivery", got.headers, having({ "x-team": "c", "x-new": "d", "x-api-key": "hidden" }));
    await answers(204, svix.endpoint.setHeaders(app, ep, { headers: {} }));
    fits("endpoint.getHeaders after they were taken away", await read(), { headers: {}, sensitive: [] });

    await refused(svix.endpoint.getHeaders(app, unknown), 404, "not_found");
    await refused(svix.endpoint.setHeaders(app, unknown, { headers: {} }), 404, "not_found");
    await refused(svix.endpoint.patchHeaders(app, unknown, { headers: {} }), 404, "not_found");
    for (const change of ["setHeaders", "patchHeaders"] as const) {
      await refused(svix.endpoint[change](app, ep, { headers: { "webhook-signature": "x" } }), 422, ["body", "headers", "webhook-signature"]);
      await refused(svix.endpoint[change](app, ep, { headers: { "x-broken": "a\r\nb" } }), 422, ["body", "headers", "x-broken"]);
    }
    await refused(svix.endpoint.setHeaders(app, ep, {} as never), 422, ["body", "headers"]);
  },

  async "send an example"(world: World) {
    const { svix } = world, app = await world.application("endpoint-example"), type = world.name("example.type");
    await answers(201, svix.eventType.create({ name: type, description: "Example", schemas: { 1: { type: "object", examples: [{ n: 1 }, { n: 2 }] } } }));
    await answers(201, svix.eventType.create({ name: type + ".bare", description: "Without one" }));
    const ep = await world.endpoint(app, "/example", { channels: ["other"] });
    const sent = await answers(200, svix.endpoint.sendExample(app, ep, { eventType: type }));
    fits("endpoint.sendExample", sent, {
      id: id("msg"), eventType: type, eventId: null, payload: { n: 1 }, channels: null, tags: null, timestamp: recent, deliverAt: null,
    });
    const second = await answers(200, svix.endpoint.sendExample(app, ep, { eventType: type, exampleIndex: 1 }));
    fits("endpoint.sendExample of the second", second.payload, { n: 2 });
    const ping = await answers(200, svix.endpoint.sendExample(app, ep, { eventType: "svix.ping" }));
    fits("endpoint.sendExample of svix.ping", ping.payload, { success: true });
    const got = await world.receiver.await("/example", 3);
    fits("what was delivered", got.map((r) => r.body.toString()).sort(), ['{"n":1}', '{"n":2}', '{"success":true}']);

    await refused(svix.endpoint.sendExample(app, ep, { eventType: type + ".bare" }), 400, "invalid_scheme");
    await refused(svix.endpoint.sendExample(app, ep, { eventType: type, exampleIndex: 2 }), 400, "invalid_scheme");
    await refused(svix.endpoint.sendExample(app, ep, { eventType: type + ".unknown" }), 404, "not_found");
    await refused(svix.endpoint.sendExample(app, unknown, { eventType: type }), 404, "not_found");
    await refused(svix.endpoint.sendExample(app, ep, {} as never), 422, ["body", "eventType"]);
  },

  async list(world: World) {
    const { svix } = world, app = await world.application("endpoint-list");
    fits("endpoint.list of none", await answers(200, svix.endpoint.list(app)), { data: [], iterator: null, prevIterator: null, done: true });
    await refused(svix.endpoint.list("app_000000000000000000000000000"), 404, "not_found");
    await refused(svix.endpoint.list(app, { limit: 251 }), 422, ["query", "limit"]);
  },
};
