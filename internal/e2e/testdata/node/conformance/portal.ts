import { AppPortalCapability, type Svix } from "svix";
import { answers, refused } from "./calls";
import { fits, having, like } from "./expect";
import type { World } from "./world";

const nowhere = "app_000000000000000000000000000";
const forbidden = "insufficient access";

/** A visitor's client. */
async function visitor(world: World, app: string, some: object = {}): Promise<Svix> {
  const { token } = await answers(200, world.svix.authentication.appPortalAccess(app, some));
  return world.as(token);
}

/** Stories of svix.authentication, of what a portal's token opens, and svix.health. */
export const portal = {
  async "give access"(world: World) {
    const { svix } = world, uid = world.name("portal-access"), app = await world.application("portal-access");
    const out = await answers(200, svix.authentication.appPortalAccess(uid, { expiry: 3600, featureFlags: ["beta"], sessionId: "s1" }));
    fits("authentication.appPortalAccess", out, { url: like(/^http.+\/portal#key=./), token: like(/^[^.]{20,}$/) });
    fits("the token in the url", out.url.endsWith(`#key=${out.token}`), true);
    const bare = await answers(200, svix.authentication.appPortalAccess(app));
    fits("whose application it is", await answers(200, world.as(bare.token).application.get(uid)), having({ id: app }));

    const other = uid + ".inline";
    const made = await answers(200, svix.authentication.appPortalAccess(other, { application: { name: "Inline", uid: other } }));
    fits("an application made inline", await answers(200, world.as(made.token).application.get(other)), having({ name: "Inline", uid: other }));
    await refused(svix.authentication.appPortalAccess(uid, { application: { name: "Other", uid: other } }), 422, ["body", "application", "uid"]);
    await refused(svix.authentication.appPortalAccess(nowhere), 404, "not_found");
    for (const expiry of [3599, 604_801]) await refused(svix.authentication.appPortalAccess(app, { expiry }), 422, ["body", "expiry"]);
    await refused(svix.authentication.appPortalAccess(app, { capabilities: ["All" as never] }), 422, ["body", "capabilities", "0"]);
    await refused(svix.authentication.appPortalAccess(app, { sessionId: "with space" }), 422, ["body", "sessionId"]);
  },

  async "what a visitor may"(world: World) {
    const app = await world.application("portal-may"), their = await visitor(world, app);
    const message = await world.message(app, { a: 1 }), url = world.receiver.url("/portal");
    await answers(200, their.application.get(app));
    await answers(200, their.message.list(app));
    await answers(200, their.message.get(app, message));
    await answers(200, their.eventType.list({ limit: 1 }));
    const { id: endpoint } = await answers(201, their.endpoint.create(app, { url }));
    await answers(200, their.endpoint.list(app));
    await answers(200, their.endpoint.patch(app, endpoint, { description: "Theirs" }));
    await answers(200, their.endpoint.upsert(app, endpoint, { url }));
    await answers(200, their.endpoint.getSecret(app, endpoint));
    await answers(204, their.endpoint.rotateSecret(app, endpoint));
    await answers(204, their.endpoint.setHeaders(app, endpoint, { headers: { "x-theirs": "1" } }));
    await answers(200, their.endpoint.getHeaders(app, endpoint));
    await answers(200, their.endpoint.sendExample(app, endpoint, { eventType: "svix.ping" }));
    await answers(202, their.messageAttempt.resend(app, message, endpoint));
    const task = await answers(202, their.endpoint.recover(app, endpoint, { since: new Date(Date.now() - 1000) }));
    await answers(200, their.backgroundTask.get(task.id));
    fits("their tasks", (await answers(200, their.backgroundTask.list())).data.map((t) => t.id), [task.id]);
    await answers(200, their.endpoint.getStats(app, endpoint));
    await answers(200, their.messageAttempt.listByEndpoint(app, endpoint));
    await answers(200, their.messageAttempt.listByMsg(app, message));
    await answers(200, their.messageAttempt.listAttemptedMessages(app, endpoint));
    await answers(200, their.messageAttempt.listAttemptedDestinations(app, message));
    await answers(204, their.endpoint.delete(app, endpoint));
  },

  async "what a visitor may not"(world: World) {
    const app = await world.application("portal-not"), other = await world.application("portal-not-other"), their = await visitor(world, app);
    const message = await world.message(app), foreign = await world.endpoint(other, "/portal/foreign"), name = world.name("portal.type");
    for (const denied of [
      their.application.list(), their.application.create({ name: "Mine" }), their.application.getOrCreate({ name: "Mine", uid: "mine" }),
      their.application.upsert(app, { name: "Mine" }), their.application.delete(app),
      their.message.create(app, { eventType: "conformance.tested", payload: {} }), their.message.precheck(app, { eventType: "conformance.tested" }),
      their.message.expungeContent(app, message), their.message.bulkExpungeContent(app, { ids: [message] }),
      their.messageAttempt.expungeContent(app, message, "atmpt_000000000000000000000000000"),
      their.eventType.create({ name, description: "Mine" }), their.eventType.upsert(name, { description: "Mine" }),
      their.eventType.patch(name, { description: "Mine" }), their.eventType.delete(name),
      their.authentication.appPortalAccess(app), their.authentication.expireAll(app),
    ]) {
      await refused(denied, 403, forbidden);
    }
    const task = await answers(202, world.svix.endpoint.recover(other, foreign, { since: new Date(Date.now() - 1000) }));
    for (const hidden of [
      their.application.get(other), their.endpoint.list(other), their.endpoint.get(other, foreign), their.endpoint.getSecret(other, foreign),
      their.endpoint.delete(other, foreign), their.message.list(other), their.messageAttempt.listByEndpoint(other, foreign),
      their.backgroundTask.get(task.id),
    ]) {
      await refused(hidden, 404, "not_found");
    }
    await answers(200, world.svix.application.get(app)); // it is still there
    const reader = await visitor(world, app, { readOnly: true }), endpoint = await world.endpoint(app, "/portal/read");
    await answers(200, reader.endpoint.get(app, endpoint));
    await refused(reader.endpoint.create(app, { url: world.receiver.url("/portal") }), 403, forbidden);
    await refused(reader.endpoint.getSecret(app, endpoint), 403, forbidden);
    const keeper = await visitor(world, app, { capabilities: [AppPortalCapability.ViewBase, AppPortalCapability.ViewEndpointSecret] });
    await answers(200, keeper.endpoint.getSecret(app, endpoint));
    await refused(keeper.endpoint.rotateSecret(app, endpoint), 403, forbidden);
    await refused(keeper.messageAttempt.resend(app, message, endpoint), 403, forbidden);
    for (const denied of [keeper.backgroundTask.list(), keeper.backgroundTask.get(task.id)]) await refused(denied, 403, forbidden);
  },

  async logout(world: World) {
    const app = await world.application("portal-logout"), their = await visitor(world, app), other = await visitor(world, app);
    await answers(204, their.authentication.logout());
    await refused(their.application.get(app), 401, "authentication_failed");
    await refused(their.authentication.logout(), 401, "authentication_failed");
    await answers(200, other.application.get(app));
    await refused(world.svix.authentication.logout(), 403, forbidden);
  },

  async "expire visits"(world: World) {
    const { svix } = world, app = await world.application("portal-expire");
    const first = await visitor(world, app, { sessionId: "s1" }), second = await visitor(world, app, { sessionId: "s2" });
    await answers(204, svix.authentication.expireAll(app, { sessionIds: ["s1"] }));
    await refused(first.application.get(app), 401, "authentication_failed");
    await answers(200, second.application.get(app));
    await answers(204, svix.authentication.expireAll(app, { expiry: 3600 })); // not yet
    await answers(200, second.application.get(app));
    await answers(204, svix.authentication.expireAll(app));
    await refused(second.application.get(app), 401, "authentication_failed");
    await refused(svix.authentication.expireAll(nowhere), 404, "not_found");
    await refused(svix.authentication.expireAll(app, { expiry: -1 }), 422, ["body", "expiry"]);
  },

  async health(world: World) {
    await answers(200, world.svix.health.get());
    await answers(200, world.as("nobody").health.get());
  },
};
