// Every view has an address, and every address a view.
import { afterEach, beforeEach, expect, it, vi } from "vitest";

type Router = typeof import("./router.svelte");

let address = "";
let router: Router;

async function open(hash: string): Promise<void> {
  vi.resetModules();
  address = hash;
  vi.stubGlobal("location", {
    get hash() {
      return address;
    },
  });
  const write = (_: unknown, __: string, hash: string): void => void (address = hash);
  vi.stubGlobal("history", { pushState: write, replaceState: write });
  vi.stubGlobal("addEventListener", () => undefined);
  router = await import("./router.svelte");
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it("reads source, page and parameters", async () => {
  await open("#/pid-4711/timeline?from=1.5&until=2&view=0,1");
  expect(router.route).toEqual({
    source: "pid-4711",
    page: "timeline",
    params: { from: "1.5", until: "2", view: "0,1" },
  });
});

it.each(["", "#", "#/", "#/%E0%A4%A/overview"])("takes %j for the list of sources", async (hash) => {
  await open(hash);
  expect(router.route.source).toBeNull();
});

it("takes a page that does not exist for the first", async () => {
  await open("#/demo/nothing");
  expect(router.route).toMatchObject({ source: "demo", page: "overview" });
});

it("takes the selected range along to other pages of the source, and to no other source", async () => {
  await open("#/demo/timeline?from=1&until=2&view=0,1");
  router.goTo("demo", "ops");
  expect(address).toBe("#/demo/ops?from=1&until=2");
  router.goTo("other", "ops");
  expect(address).toBe("#/other/ops");
});

it("writes what moves into the address now and then, and not after one has left", async () => {
  await open("#/demo/timeline");
  for (let i = 0; i < 60; i++) router.keep({ view: `${i}` });
  expect(router.route.params).toEqual({ view: "59" });
  expect(address).toBe("#/demo/timeline");
  vi.advanceTimersByTime(300);
  expect(address).toBe("#/demo/timeline?view=59");
  router.keep({ view: null });
  router.goTo("demo", "ops");
  vi.advanceTimersByTime(1000);
  expect(address).toBe("#/demo/ops");
});

it("takes the token out of the address", async () => {
  await open("#token=a%2Bb");
  expect(router.takeToken()).toBe("a+b");
  expect(address).toBe("#/");
  expect(router.takeToken()).toBeNull();
});
