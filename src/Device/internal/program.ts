import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Cost from "../../Tensor/Cost.ts"
import type { Spec } from "../../Tensor/Expression.ts"
import type { Program } from "../../Tensor/Program.ts"
import type { Source } from "../Backend.ts"
import { CompileError, type DeviceError } from "../DeviceError.ts"
import { type Failure, show, showAll, showBytes } from "./errors.ts"
import { type Check, instrument, type Probe } from "./numerics.ts"

/** A program as a device takes it, with what is looked at if it is checked. */
export interface Prepared {
  readonly source: Source
  readonly cost: Cost.Cost
  readonly outputs: ReadonlyArray<Spec>
  /** Gives, of an output's number, the failure that it stands for. */
  readonly judge: ((number: number, place: string) => DeviceError | undefined) | undefined
}

/** The outputs that the program itself has come first; a check's verdict is one more. */
export const prepare = (
  failure: Failure,
  program: Program<unknown, unknown>,
  check: Check | undefined
): Prepared => {
  const { inputNames, name, outputNames } = program
  const { graph, probes } =
    check === undefined ? { graph: program.graph, probes: [] } : instrument(program.graph, check)
  return {
    source: {
      name,
      graph,
      inputNames,
      outputNames: check === undefined ? outputNames : [...outputNames, "check"]
    },
    cost: Cost.ofGraph(graph),
    outputs: graph.outputs.map(({ dtype, shape }) => ({ dtype, shape })),
    judge:
      check === undefined
        ? undefined
        : (number, place) =>
            number < probes.length ? notFinite(failure, probes[number], check, place) : undefined
  }
}

const notFinite = (
  failure: Failure,
  { inputs, label, output }: Probe,
  check: Check,
  place: string
): DeviceError =>
  failure(
    "NotFinite",
    label,
    [...inputs, output],
    `gave ${check === "nan" ? "NaN" : "NaN or an infinity"} in ${place}, computing ${show(output)} from ${showAll(inputs)}: look at what goes in, such as the logarithm or root of what is not positive, a quotient by 0, or what grows without bound`
  )

/** Fails when the scope that something was compiled in is closed: it may be gone. */
export const alive = (
  failure: Failure,
  operation: string,
  scope: Scope.Scope
): Effect.Effect<void, DeviceError> =>
  Effect.suspend(() =>
    scope.state._tag === "Closed"
      ? Effect.fail(
          failure(
            "Released",
            operation,
            [],
            "the scope that it was compiled in is closed: compile it in one that lives as long as it is used"
          )
        )
      : Effect.void
  )

/** Fails if a program takes more than the whole device has. */
export const fits = (
  device: string,
  capacity: number,
  { cost, source }: Prepared
): Effect.Effect<void, CompileError> => {
  const bytes = cost.inputBytes + cost.peakBytes
  return bytes <= capacity
    ? Effect.void
    : Effect.fail(
        new CompileError({
          reason: "Memory",
          device,
          program: source.name,
          message: `${source.name}${showAll(source.graph.inputs)} needs ${showBytes(bytes)} at once, but ${device} has ${showBytes(capacity)}: take smaller batches, or checkpoints in its loops`
        })
      )
}
