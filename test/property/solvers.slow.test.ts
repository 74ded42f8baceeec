/** As solvers.test.ts: what takes longer. */
import { layer } from "@effect/vitest"
import { describe, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { SolverLaws } from "../../src/Laws/index.ts"
import { Tableau } from "../../src/Solver/index.ts"
import * as Devices from "../support/devices.ts"
import { further, instances, options, symplectic } from "./solvers.ts"

describe("methods", () => {
  for (const { name, subject } of further) {
    it(`${name} keeps all laws`, () => SolverLaws.check(subject, options))
  }

  for (const { name, subject } of symplectic) {
    it(`${name} is symplectic over 100,000 steps`, () => SolverLaws.symplectic(subject, options))
  }
})

describe("laws", () => {
  for (const { name, subject } of instances) {
    it(`do not take ${name} for broken, wherever they begin`, () => {
      for (let seed = 0; seed < 3; seed++) SolverLaws.check(subject, { ...options, seed })
    })
  }
})

layer(Device.layerReference(), { excludeTestServices: true })("systems side by side", (it) => {
  for (const { name, subject } of [...instances, ...further]) {
    it.effect(`${name} treats each for itself`, () => SolverLaws.batch(subject, options))
  }
})

for (const device of Devices.others) {
  layer(device.layer, { excludeTestServices: true })(device.name, (it) => {
    for (const { name, subject } of instances) {
      it.effect(`${name} does there what it does on the host`, () =>
        SolverLaws.carriers(subject, options)
      )
    }

    for (const tableau of [Tableau.rk4, Tableau.dopri5]) {
      it.effect(`${tableau.name} treats each system for itself`, () =>
        SolverLaws.batch(tableau, options)
      )
    }
  })
}
