import { answers, refused } from "./calls";
import { fits, having, id, not, recent } from "./expect";
import type { World } from "./world";

const unknown = "app_000000000000000000000000000";

/** Stories of svix.application; the pages of its list are in lists.ts. */
export const applications = {
  async create(world: World) {
    const { svix } = world, uid = world.name("create");
    const app = await answers(201, svix.application.create({ name: "Create", uid, throttleRate: 7, metadata: { of: "tests" } }));
    fits("application.create", app, {
      id: id("app"), uid, name: "Create", throttleRate: 7, metadata: { of: "tests" }, createdAt: recent, updatedAt: recent,
    });
    const bare = await answers(201, svix.application.create({ name: "Bare" }));
    fits("application.create without options", bare, {
      id: id("app"), uid: null, name: "Bare", throttleRate: null, metadata: {}, createdAt: recent, updatedAt: recent,
    });

    await refused(svix.application.create({ name: "Again", uid }), 409, "conflict");
    await refused(svix.application.create({ uid: world.name("nameless") } as never), 422, ["body", "name"]);
    await refused(svix.application.create({ name: "" }), 422, ["body", "name"]);
    for (const wrong of ["app_mine", "with space", "with/slash", "ö", "", "x".repeat(257)]) {
      await refused(svix.application.create({ name: "Wrong", uid: wrong }), 422, ["body", "uid"]);
    }
    await refused(svix.application.create({ name: "Wrong", throttleRate: 0 }), 422, ["body", "throttleRate"]);
    await refused(svix.application.create({ name: "Wrong", metadata: { long: "x".repeat(4096) } }), 422, ["body", "metadata"]);
    await refused(svix.application.create({ name: "Wrong", metadata: { number: 1 } as never }), 422, ["body", "metadata"]);
  },

  async getOrCreate(world: World) {
    const { svix } = world, uid = world.name("get-or-create");
    const made = await answers(201, svix.application.getOrCreate({ name: "First", uid }));
    const found = await answers(200, svix.application.getOrCreate({ name: "Second", uid }));
    fits("application.getOrCreate for the second time", found, { ...made });
    await refused(svix.application.getOrCreate({ name: "Wrong", uid: "a b" }), 422, ["body", "uid"]);
  },

  async "one uid, wanted by many at the same time"(world: World) {
    const { svix } = world, ids = new Set<string>();
    const many = (what: string, call: (uid: string) => Promise<string>) =>
      Promise.all(Array.from({ length: 10 }, async () => ids.add(await call(world.name(`at-once.${what}`)))));
    await many("got", async (uid) => (await svix.application.getOrCreate({ name: "One", uid })).id);
    await many("put", async (uid) => (await svix.application.upsert(uid, { name: "One", uid })).id);
    const visited = await svix.application.create({ name: "Some" });
    ids.add(visited.id);
    await many("endpoint", async (uid) => (await svix.endpoint.upsert(visited.id, uid, { url: world.receiver.url("/at-once"), uid })).id);
    fits("how many came of it", ids.size, 4);
    // Those that bring their application along say so themselves.
    const eventType = "conformance.tested", application = (uid: string) => ({ application: { name: "One", uid } });
    await many("sent", async (uid) => (await answers(202, svix.message.create(uid, { eventType, payload: {}, ...application(uid) }))).id);
    await many("shown", async (uid) => (await answers(200, svix.authentication.appPortalAccess(uid, application(uid)))).token);
    const { data } = await answers(200, svix.message.list(world.name("at-once.sent")));
    fits("message.list of the application that they brought", data.length, 10);
  },

  async "text of every kind"(world: World) {
    const { svix } = world, uid = `${world.name("Long-uid_")}${"x".repeat(256)}`.slice(0, 256);
    const told = { name: 'Zoë & <"söhne"> \u2028 🎉', uid, metadata: { ключ: "значение 🎉", "": "\u0000\n" } };
    const app = await answers(201, svix.application.create(told));
    fits("application.get of its long uid", await answers(200, svix.application.get(uid)), { ...app, ...told });
  },

  async get(world: World) {
    const { svix } = world, app = await world.application("get");
    const byId = await answers(200, svix.application.get(app));
    const byUid = await answers(200, svix.application.get(world.name("get")));
    fits("application.get by its uid", byUid, { ...byId });
    await refused(svix.application.get(unknown), 404, "not_found");
    await refused(svix.application.get(world.name("nobody")), 404, "not_found");
    await refused(svix.application.get("with space"), 404, "not_found");
  },

  async upsert(world: World) {
    const { svix } = world, uid = world.name("upsert");
    const made = await answers(201, svix.application.upsert(uid, { name: "Made", uid, throttleRate: 9, metadata: { a: "1" } }));
    const replaced = await answers(200, svix.application.upsert(uid, { name: "Replaced", uid }));
    fits("application.upsert of one that is there", replaced, {
      ...made, name: "Replaced", throttleRate: null, metadata: {}, updatedAt: not(made.updatedAt),
    });
    const nameless = await answers(200, svix.application.upsert(made.id, { name: "By id" }));
    fits("application.upsert by id, without the uid", nameless, having({ id: made.id, uid: null, name: "By id" }));

    const other = await world.application("upsert-other");
    await refused(svix.application.upsert(other, { name: "Other", uid: world.name("get") + ".x y" }), 422, ["body", "uid"]);
    await refused(svix.application.upsert(unknown, { name: "An id that was never given" }), 404, "not_found");
    await answers(201, svix.application.create({ name: "Taken", uid }));
    await refused(svix.application.upsert(other, { name: "Other", uid }), 409, "conflict");
    await refused(svix.application.upsert(other, {} as never), 422, ["body", "name"]);
  },

  async "patch with a value, null and nothing"(world: World) {
    const { svix } = world, uid = world.name("patch");
    const app = await answers(201, svix.application.create({ name: "Patch", uid, throttleRate: 5, metadata: { a: "1" } }));
    const same = await answers(200, svix.application.patch(app.id, {}));
    fits("application.patch of nothing", { ...same, updatedAt: null }, { ...app, updatedAt: null });
    const named = await answers(200, svix.application.patch(app.id, { name: "Patched" }));
    fits("application.patch of the name", named, { ...app, name: "Patched", updatedAt: recent });
    const less = await answers(200, svix.application.patch(uid, { throttleRate: null, uid: null, metadata: { b: "2" } }));
    fits("application.patch with null", less, { ...app, name: "Patched", throttleRate: null, uid: null, metadata: { b: "2" }, updatedAt: recent });
    fits("application.get after the patch", await answers(200, svix.application.get(app.id)), { ...less });

    await refused(svix.application.get(uid), 404, "not_found"); // it is free again
    await refused(svix.application.patch(unknown, { name: "Nobody" }), 404, "not_found");
    await refused(svix.application.patch(app.id, { name: "" }), 422, ["body", "name"]);
    await refused(svix.application.patch(app.id, { throttleRate: -1 }), 422, ["body", "throttleRate"]);
    await world.application("patch-other");
    await refused(svix.application.patch(app.id, { uid: world.name("patch-other") }), 409, "conflict");
  },

  async delete(world: World) {
    const { svix } = world, app = await world.application("delete");
    await answers(204, svix.application.delete(world.name("delete")));
    await refused(svix.application.delete(app), 404, "not_found");
    await refused(svix.application.get(app), 404, "not_found");
    await refused(svix.endpoint.list(app), 404, "not_found");
    fits("an application with the uid of a deleted one", await world.application("delete"), not(app));
  },

  async list(world: World) {
    const { svix } = world;
    await refused(svix.application.list({ limit: 251 }), 422, ["query", "limit"]);
    await refused(svix.application.list({ limit: 0 }), 422, ["query", "limit"]);
    await refused(svix.application.list({ limit: 1.5 }), 400, "invalid_query");
    await refused(svix.application.list({ order: "sideways" as never }), 422, ["query", "order"]);

    const first = await world.application("list-first"), bare = await world.application("list-bare");
    const disabled = await world.application("list-disabled"), live = await world.application("list-live");
    await world.endpoint(disabled, "/list", { disabled: true });
    await world.endpoint(live, "/list");
    for (const [some, want] of [
      [{}, [bare, disabled, live]], [{ excludeAppsWithNoEndpoints: true }, [disabled, live]], [{ excludeAppsWithDisabledEndpoints: true }, [bare, live]],
      [{ excludeAppsWithNoEndpoints: true, excludeAppsWithDisabledEndpoints: true, excludeAppsWithSvixPlayEndpoints: true }, [live]],
    ] as const) {
      const { data } = await answers(200, svix.application.list({ iterator: first, limit: 250, ...some }));
      const mine: string[] = [bare, disabled, live];
      fits(`application.list of ${JSON.stringify(some)}`, data.map((app) => app.id).filter((app) => mine.includes(app)), want);
    }
  },
};
