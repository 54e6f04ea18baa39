// How spans share pixels.
import { expect, it } from "vitest";
import { Raster, type Rgb } from "./raster";

const RED: Rgb = [200, 0, 0];
const BLUE: Rgb = [0, 0, 200];

function rasterOf(...spans: [number, number, Rgb][]): Raster {
  const raster = new Raster();
  raster.begin(4);
  for (const [from, until, colour] of spans) raster.cover(from, until, colour);
  return raster;
}

it("fills the pixels of a wide span", () => {
  const raster = rasterOf([1, 3, RED]);
  expect([0, 1, 2, 3].map((at) => raster.pixel(at)[3])).toEqual([0, 1, 1, 0]);
  expect(raster.pixel(1).slice(0, 3)).toEqual([200, 0, 0]);
});

it("gives each of several in one pixel its share", () => {
  const raster = rasterOf([1, 1.25, RED], [1.5, 2, BLUE]);
  expect(raster.pixel(1)).toEqual([50, 0, 100, 0.75]);
});

it("never covers more than the pixel", () => {
  const raster = rasterOf([1, 1.75, RED], [1, 1.75, BLUE]);
  expect(raster.pixel(1)).toEqual([150, 0, 50, 1]);
});

it("cuts what reaches outside", () => {
  const raster = rasterOf([-5, 0.5, RED], [3.5, 99, BLUE]);
  expect(raster.pixel(0)[3]).toBe(0.5);
  expect(raster.pixel(3)[3]).toBe(0.5);
});

it("begins empty", () => {
  const raster = rasterOf([0, 4, RED]);
  raster.begin(4);
  expect(raster.pixel(2)).toEqual([0, 0, 0, 0]);
});
