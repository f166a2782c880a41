import type { Svix } from "svix";
import { answers, refused } from "./calls";
import { fits, having, id, recent, until } from "./expect";
import type { World } from "./world";

const day = 86_400_000;
const ago = (time: number) => new Date(Date.now() - time);

/** Follows a task to its end. */
async function finished(svix: Svix, task: string) {
  return until(`the end of ${task}`, async () => {
    const found = await answers(200, svix.backgroundTask.get(task));
    return found.status === "running" ? undefined : found;
  });
}

/** Stories of endpoint.recover, replayMissing and bulkReplay, and svix.backgroundTask. */
export const replays = {
  async "recover what failed"(world: World) {
    const { svix, receiver } = world, app = await world.application("recover"), endpoint = await world.endpoint(app, "/recover", { uid: "recover" });
    await world.retries(app, "recover");
    await world.message(app, { n: 1 });
    await receiver.await("/recover", 1);
    receiver.statuses.set("/recover", 500);
    const failed = [await world.message(app, { n: 2 }), await world.message(app, { n: 3 })];
    await until("the failures", async () => {
      const { data } = await answers(200, svix.messageAttempt.listAttemptedMessages(app, endpoint, { status: 2 }));
      return data.length === 2 ? data : undefined;
    });
    receiver.statuses.set("/recover", 200);
    const task = await answers(202, svix.endpoint.recover(app, "recover", { since: ago(day) }));
    fits("endpoint.recover", task, { id: id("qtask"), status: "running", task: "endpoint.recover", updatedAt: recent });
    fits("its end", await finished(svix, task.id), {
      id: task.id, status: "finished", task: "endpoint.recover", updatedAt: recent,
      data: having({ appId: app, endpointId: endpoint, replayed: 2, skipped: 0, state: "finished" }),
    });
    const got = await receiver.await("/recover", 5);
    fits("what was recovered", got.slice(3).map((r) => r.headers["webhook-id"]).sort(), failed.sort());

    await refused(svix.endpoint.recover(app, "recover", { since: ago(15 * day) }), 422, ["body", "since"]);
    await refused(svix.endpoint.recover(app, "recover", {} as never), 422, ["body", "since"]);
    await refused(svix.endpoint.recover(app, "recover", { since: ago(day), until: ago(2 * day) }), 422, ["body", "since"]);
    await refused(svix.endpoint.recover(app, "nobody", { since: ago(day) }), 404, "not_found");
  },

  async "replay what was missed"(world: World) {
    const { svix, receiver } = world, app = await world.application("missing");
    const before = await world.message(app, { n: 1 }), endpoint = await world.endpoint(app, "/missing");
    await world.message(app, { n: 2 });
    await receiver.await("/missing", 1);
    const task = await answers(202, svix.endpoint.replayMissing(app, endpoint, { since: ago(day) }));
    fits("endpoint.replayMissing", task, { id: id("qtask"), status: "running", task: "endpoint.replay", updatedAt: recent });
    fits("its end", await finished(svix, task.id), having({ status: "finished", task: "endpoint.replay", data: having({ replayed: 1 }) }));
    const got = await receiver.await("/missing", 2);
    fits("what had been missed", got[1].headers, having({ "webhook-id": before }));
    await refused(svix.endpoint.replayMissing(app, endpoint, {} as never), 422, ["body", "since"]);
    await refused(svix.endpoint.replayMissing(app, endpoint, { since: new Date(Date.now() + day) }), 422, ["body", "since"]);
    await refused(svix.endpoint.replayMissing(app, "nobody", { since: ago(day) }), 404, "not_found");
  },

  async "replay in bulk"(world: World) {
    const { svix, receiver } = world, app = await world.application("bulk"), endpoint = await world.endpoint(app, "/bulk");
    const red = await world.message(app, { n: 1 }, { tags: ["red"], channels: ["one"], eventType: "bulk.a" });
    await world.message(app, { n: 2 }, { tags: ["blue"], eventType: "bulk.b" });
    await receiver.await("/bulk", 2);
    const since = ago(day);
    let count = 2;
    for (const some of [{ tag: "red" }, { channel: "one" }, { eventTypes: ["bulk.a"] }, { eventTypes: ["bulk.a"], status: 0, until: new Date(Date.now() + 1000) }] as const) {
      const task = await answers(202, svix.endpoint.bulkReplay(app, endpoint, { since, ...some } as never));
      fits("endpoint.bulkReplay", task, { id: id("qtask"), status: "running", task: "endpoint.bulk-replay", updatedAt: recent });
      fits("its end", await finished(svix, task.id), having({ status: "finished", data: having({ replayed: 1 }) }));
      const got = await receiver.await("/bulk", ++count);
      fits(`what was replayed by ${JSON.stringify(some)}`, got[count - 1].headers, having({ "webhook-id": red, "postern-replay": id("rpl") }));
    }
    const none = await answers(202, svix.endpoint.bulkReplay(app, endpoint, { since, status: 2 }));
    fits("a replay of nothing", await finished(svix, none.id), having({ status: "finished", data: having({ replayed: 0 }) }));
    await refused(svix.endpoint.bulkReplay(app, endpoint, { since, status: 1 }), 422, ["body", "status"]);
    await refused(svix.endpoint.bulkReplay(app, endpoint, { since, channel: "with space" }), 422, ["body", "channel"]);
    await refused(svix.endpoint.bulkReplay(app, endpoint, {} as never), 422, ["body", "since"]);
    await refused(svix.endpoint.bulkReplay(app, "nobody", { since }), 404, "not_found");
  },

  async "list tasks"(world: World) {
    const { svix } = world, app = await world.application("tasks"), endpoint = await world.endpoint(app, "/tasks");
    const { id: task } = await answers(202, svix.endpoint.recover(app, endpoint, { since: ago(day) }));
    await finished(svix, task);
    const listed = async (some: object) => (await answers(200, svix.backgroundTask.list({ limit: 250, ...some }))).data.filter((t) => t.id === task);
    const shape = { id: task, status: "finished", task: "endpoint.recover", updatedAt: recent, data: having({ appId: app, endpointId: endpoint }) };
    for (const some of [{}, { status: "finished" }, { task: "endpoint.recover" }, { order: "ascending" }]) {
      fits(`backgroundTask.list of ${JSON.stringify(some)}`, await listed(some), [shape]);
    }
    for (const some of [{ status: "running" }, { status: "failed" }, { task: "endpoint.replay" }]) {
      fits(`backgroundTask.list of ${JSON.stringify(some)}`, await listed(some), []);
    }
    await refused(svix.backgroundTask.list({ limit: 251 }), 422, ["query", "limit"]);
    await refused(svix.backgroundTask.list({ status: "resting" as never }), 422, ["query", "status"]);
    await refused(svix.backgroundTask.get("qtask_000000000000000000000000000"), 404, "not_found");
    await refused(svix.backgroundTask.get("nonsense"), 404, "not_found");
  },
};
