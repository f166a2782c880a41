// Calls every method of npm's svix against a server: each that the server
// serves must succeed and be refused as documented, each other one must answer
// that it is not here. Says nothing when all of that holds; else it tells every
// call that was answered otherwise, and exits with 1.
//
// SVIX_SERVER_URL and SVIX_TOKEN, an admin's, come from the environment. The
// server must be allowed to deliver to loopback.
import { Calls, explained } from "./conformance/calls";
import { applications } from "./conformance/applications";
import { attempts } from "./conformance/attempts";
import { endpoints } from "./conformance/endpoints";
import { eventTypes } from "./conformance/eventtypes";
import { lists } from "./conformance/lists";
import { messages } from "./conformance/messages";
import { coverage } from "./conformance/methods";
import { portal } from "./conformance/portal";
import { repeats } from "./conformance/repeats";
import { replays } from "./conformance/replays";
import { secrets } from "./conformance/secrets";
import { World } from "./conformance/world";

const { SVIX_TOKEN: token, SVIX_SERVER_URL: server } = process.env;
if (!token || !server) throw new Error("SVIX_TOKEN and SVIX_SERVER_URL must be set");

const calls = new Calls();
const world = new World(calls, token, server);
await world.receiver.open();

const failures: string[] = [];
const stories = { applications, eventTypes, endpoints, secrets, messages, attempts, replays, portal, repeats, lists };
await Promise.all(Object.entries(stories).flatMap(([noun, tell]) =>
  Object.entries(tell).map(async ([story, run]) => {
    try {
      await run(world);
    } catch (error) {
      failures.push(`${noun}, ${story}: ${explained(error)}`);
    }
  }),
));
// Only then is it known which methods the stories have left out.
failures.push(...(await coverage(world, failures.length === 0)));
world.receiver.close();

for (const failure of failures) console.log(failure);
process.exitCode = failures.length === 0 ? 0 : 1;
