import { answers, refused } from "./calls";
import { fits, having, recent } from "./expect";
import type { World } from "./world";

const schema = { type: "object", properties: { amount: { type: "integer" } }, examples: [{ amount: 1 }, { amount: 2 }] };

/** Stories of svix.eventType; the pages of its list are in lists.ts. */
export const eventTypes = {
  async create(world: World) {
    const { svix } = world, name = world.name("type.create");
    const made = await answers(201, svix.eventType.create({
      name, description: "For tests", schemas: { 1: schema }, groupName: "tests", featureFlags: ["beta", "gamma"], deprecated: true,
    }));
    fits("eventType.create", made, {
      name, description: "For tests", archived: false, deprecated: true, schemas: { 1: schema }, groupName: "tests",
      featureFlags: ["beta", "gamma"], featureFlag: "beta", createdAt: recent, updatedAt: recent,
    });
    const bare = await answers(201, svix.eventType.create({ name: name + ".bare", description: "Bare" }));
    fits("eventType.create without options", bare, {
      name: name + ".bare", description: "Bare", archived: false, deprecated: false, schemas: null, groupName: null,
      featureFlags: null, featureFlag: null, createdAt: recent, updatedAt: recent,
    });
    await refused(svix.eventType.create({ name, description: "Again" }), 409, "event_type_exists");
    await refused(svix.eventType.create({ name: name + ".none" } as never), 422, ["body", "description"]);
    await refused(svix.eventType.create({ description: "Nameless" } as never), 422, ["body", "name"]);
    await refused(svix.eventType.create({ name: "with space", description: "Wrong" }), 422, ["body", "name"]);
    await refused(svix.eventType.create({ name: name + ".schema", description: "Wrong", schemas: { 1: { type: 7 } } }), 422, ["body", "schemas", "1"]);
  },

  async get(world: World) {
    const { svix } = world, name = world.name("type.get");
    const made = await answers(201, svix.eventType.create({ name, description: "Get", schemas: { 1: schema } }));
    fits("eventType.get", await answers(200, svix.eventType.get(name)), { ...made });
    await refused(svix.eventType.get(name + ".other"), 404, "not_found");
  },

  async upsert(world: World) {
    const { svix } = world, name = world.name("type.upsert");
    const made = await answers(201, svix.eventType.upsert(name, { description: "Made", groupName: "g", schemas: { 1: schema }, featureFlags: ["f"] }));
    fits("eventType.upsert of a new one", made, having({ name, description: "Made", groupName: "g", featureFlags: ["f"] }));
    const replaced = await answers(200, svix.eventType.upsert(name, { description: "Replaced" }));
    fits("eventType.upsert of one that is there", replaced, {
      ...made, description: "Replaced", groupName: null, schemas: null, featureFlags: null, featureFlag: null, updatedAt: recent,
    });
    await refused(svix.eventType.upsert(name, {} as never), 422, ["body", "description"]);
    await refused(svix.eventType.upsert("with space", { description: "Wrong" }), 422, ["body", "name"]);
  },

  async "patch with a value, null and nothing"(world: World) {
    const { svix } = world, name = world.name("type.patch");
    const made = await answers(201, svix.eventType.create({ name, description: "Patch", groupName: "g", schemas: { 1: schema }, featureFlags: ["f"] }));
    const same = await answers(200, svix.eventType.patch(name, {}));
    fits("eventType.patch of nothing", same, { ...made, updatedAt: recent });
    const told = await answers(200, svix.eventType.patch(name, { description: "Patched", deprecated: true }));
    fits("eventType.patch of values", told, { ...made, description: "Patched", deprecated: true, updatedAt: recent });
    const less = await answers(200, svix.eventType.patch(name, { groupName: null, schemas: null, featureFlags: null }));
    fits("eventType.patch with null", less, { ...told, groupName: null, schemas: null, featureFlags: null, featureFlag: null, updatedAt: recent });
    await refused(svix.eventType.patch(name + ".other", { description: "Nobody" }), 404, "not_found");
    await refused(svix.eventType.patch(name, { description: "" }), 422, ["body", "description"]);
    await refused(svix.eventType.patch(name, { schemas: { 1: { type: "nothing" } } }), 422, ["body", "schemas", "1"]);
  },

  async "archive, revive and expunge"(world: World) {
    const { svix } = world, name = world.name("type.delete");
    const listed = async (includeArchived: boolean) => {
      const page = await answers(200, svix.eventType.list({ iterator: name + ".", limit: 1, includeArchived }));
      return page.data[0]?.name === name + ".a";
    };
    await answers(201, svix.eventType.create({ name: name + ".a", description: "Delete", groupName: "g" }));
    await answers(204, svix.eventType.delete(name + ".a"));
    fits("eventType.get of an archived one", await answers(200, svix.eventType.get(name + ".a")), having({ archived: true }));
    fits("whether an archived one is listed", [await listed(false), await listed(true)], [false, true]);
    const revived = await answers(201, svix.eventType.create({ name: name + ".a", description: "Revived" }));
    fits("eventType.create of an archived one", revived, having({ archived: false, description: "Revived", groupName: null }));
    await answers(204, svix.eventType.delete(name + ".a", { expunge: true }));
    await refused(svix.eventType.get(name + ".a"), 404, "not_found");
    await refused(svix.eventType.delete(name + ".a"), 404, "not_found");
    await refused(svix.eventType.delete(name + ".a", { expunge: true }), 404, "not_found");
  },

  async "list with and without schemas"(world: World) {
    const { svix } = world, name = world.name("type.list");
    await answers(201, svix.eventType.create({ name, description: "List", schemas: { 1: schema } }));
    for (const [withContent, schemas] of [[undefined, null], [false, null], [true, { 1: schema }]] as const) {
      const page = await answers(200, svix.eventType.list({ iterator: name.slice(0, -1), limit: 1, withContent }));
      fits(`eventType.list withContent ${withContent}`, page.data, [having({ name, schemas })]);
    }
    await refused(svix.eventType.list({ limit: 251 }), 422, ["query", "limit"]);
    await refused(svix.eventType.list({ order: "up" as never }), 422, ["query", "order"]);
  },
};
