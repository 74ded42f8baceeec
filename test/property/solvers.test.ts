/** Every method of the library keeps the laws of methods. */
import { layer } from "@effect/vitest"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { SolverLaws } from "../../src/Laws/index.ts"
import { Controller, Exponential, Tableau } from "../../src/Solver/index.ts"
import { exponential, instances, options } from "./solvers.ts"

describe("methods", () => {
  it("are all here", () => {
    expect(instances.length).toBeGreaterThan(45)
    expect(exponential).toContain(Exponential.krogstad4)
  })

  for (const { name, subject } of instances) {
    it(`${name} keeps all laws`, () => SolverLaws.check(subject, options))
  }

  for (const method of exponential) {
    it(`${method.name} integrates the linear part exactly`, () =>
      SolverLaws.linearPart(method, options))
  }
})

describe("controllers", () => {
  for (const name of ["make", "pi", "pid"] as const) {
    it(`${name} keeps the law of controllers`, () =>
      SolverLaws.controller(Controller[name], options))
  }
})

layer(Device.layerReference(), { excludeTestServices: true })("tensors", (it) => {
  for (const { name, subject } of instances) {
    it.effect(`${name} does on Reference what it does on the host`, () =>
      SolverLaws.carriers(subject, { ...options, runs: options.runs / 2 })
    )
  }

  for (const tableau of [Tableau.rk4, Tableau.dopri5]) {
    it.effect(`${tableau.name} treats each system for itself`, () =>
      SolverLaws.batch(tableau, options)
    )
  }
})
