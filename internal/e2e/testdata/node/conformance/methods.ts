// All methods that the SDK has, found by looking: none can be forgotten, and a
// newer SDK's are met as soon as it is here.
import type { Svix } from "svix";
import { explained, refused } from "./calls";
import type { World } from "./world";

/** What no method needs to be refused: it is open to everybody, and has no input. */
const open = new Set(["health.get"]);

/** A method as the client has it, and how many arguments it wants at least. */
type Method = { name: string; call: (...args: unknown[]) => Promise<unknown>; wants: number };

/** The methods of a client, through all of its properties. */
function methodsOf(client: Svix): Method[] {
  const found: Method[] = [];
  const look = (holder: object, path: string, kind: object) => {
    for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(kind))) {
      if (key === "constructor") continue;
      const value = (holder as Record<string, never>)[key];
      if (typeof property.value === "function") found.push({ name: path + key, call: value, wants: property.value.length });
      else if (property.get) look(value, `${path}${key}.`, Object.getPrototypeOf(value));
    }
  };
  look(client, "", Object.getPrototypeOf(client));
  return found;
}

/** Arguments that are good enough where nothing is looked at: ids, and bodies. */
function some(method: Method): unknown[] {
  const body = Object.assign(new String("some"), { events: [] });
  return Array.from({ length: Math.max(method.wants, 1) }, () => body);
}

/**
 * What the stories have left out. Each method must have succeeded and been
 * refused; one that was never called must be one that the server does not
 * serve, and say so. None may be called with a token that nobody has.
 */
export async function coverage(world: World, whole: boolean): Promise<string[]> {
  const { succeeded, refused: denied } = world.calls;
  const told = new Set([...succeeded, ...denied]);
  const faults: string[] = [];
  const check = async (what: string, promise: Promise<void>) => {
    await promise.catch((error) => faults.push(`${what}, ${explained(error)}`));
  };
  const strangers = new Map(methodsOf(world.as("nobody")).map((method) => [method.name, method]));
  for (const method of methodsOf(world.svix)) {
    if (!told.has(method.name)) {
      await check("not served", refused(method.call(...some(method)), 501, "not_implemented"));
      continue;
    }
    if (whole && !succeeded.has(method.name)) faults.push(`${method.name}: expected a success, none came`);
    if (open.has(method.name)) continue;
    if (whole && !denied.has(method.name)) faults.push(`${method.name}: expected a refusal, none came`);
    const stranger = strangers.get(method.name)!;
    await check("without a key", refused(stranger.call(...some(method)), 401, "authentication_failed"));
  }
  return faults;
}
