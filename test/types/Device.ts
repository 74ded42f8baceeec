/** Types of programs on devices: trees in, trees out. `npm run check` is the test. */
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Device from "../../src/Device/Device.ts"
import type { CompileError, DeviceError, DeviceUnavailable } from "../../src/Device/DeviceError.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import type { TensorError } from "../../src/Tensor/TensorError.ts"

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

const same = <A, B>(..._: Equal<A, B> extends true ? [] : ["types differ", A, B]): void => {}

type Success<T> = T extends Effect.Effect<infer A, infer _E, infer _R> ? A : never
type Failure<T> = T extends Effect.Effect<infer _A, infer E, infer _R> ? E : never
type Needs<T> = T extends Effect.Effect<infer _A, infer _E, infer R> ? R : never

declare const device: Device.Service

// layers
const layers = {
  auto: Device.layerAuto,
  onnx: Device.layerOnnx(),
  reference: Device.layerReference({ capacity: 1 })
}
same<(typeof layers)["auto"], Layer.Layer<Device.Device, DeviceUnavailable>>()
same<(typeof layers)["onnx"], Layer.Layer<Device.Device, DeviceUnavailable>>()
same<(typeof layers)["reference"], Layer.Layer<Device.Device>>()

// programs keep the trees that they are made of
const made = Program.make(
  { x: Tensor.spec([4, 3]), more: [Tensor.spec([], "int32"), { b: Tensor.spec([2], "bool") }] },
  ({ x, more: [n, { b }] }) => [Tensor.sum(x), { n: Tensor.add(n, 1), b: Tensor.not(b) }]
)
same<Failure<typeof made>, TensorError>()
type Made = Success<typeof made>
same<Made["inputs"]["x"], Tensor.Spec<readonly [4, 3], "float32">>()
same<Made["inputs"]["more"][0], Tensor.Spec<readonly [], "int32">>()
same<Made["inputs"]["more"][1]["b"], Tensor.Spec<readonly [2], "bool">>()
same<Made["outputs"][0], Tensor.Spec<readonly [], "float32">>()
same<Made["outputs"][1]["n"], Tensor.Spec<readonly [], "int32">>()
same<Made["outputs"][1]["b"]["shape"], readonly [2]>()

// what is compiled takes buffers or arrays, and gives buffers
const compiled = device.compile({} as Made, { check: "nan" })
same<Failure<typeof compiled>, CompileError>()
same<Needs<typeof compiled>, Scope.Scope>()
// @ts-expect-error there is no such check
device.compile({} as Made, { check: "zero" })
export const run = (executable: Success<typeof compiled>) => {
  const x = Tensor.hostArray([[1, 2, 3]])
  const n = Tensor.hostArray(1, { dtype: "int32" })
  const b = Tensor.hostArray([true, false], { dtype: "bool" })
  const result = executable.run({ x, more: [n, { b }] })
  same<Failure<typeof result>, DeviceError>()
  same<Needs<typeof result>, Scope.Scope>()
  type Gives = Success<typeof result>
  same<Gives[0], Device.Buffer<readonly [], "float32">>()
  same<Gives[1]["n"], Device.Buffer<readonly [], "int32">>()
  // what one program gives, another takes
  executable.run({ x, more: [{} as Gives[1]["n"], { b: {} as Gives[1]["b"] }] })
  // @ts-expect-error a tree of another structure
  executable.run({ x, more: [n, b] })
  // @ts-expect-error one input more
  executable.run({ x, more: [n, { b }], y: x })
  // @ts-expect-error a tensor is no array
  executable.run({ x: Tensor.zeros([4, 3]), more: [n, { b }] })
  // @ts-expect-error a number is no array
  executable.run({ x, more: [1, { b }] })
  // @ts-expect-error a buffer of another dtype
  executable.run({ x, more: [{} as Gives[0], { b }] })
  return result
}

// folds
const step = Program.makeUnsafe(
  [{ w: Tensor.spec([3, 2]), n: Tensor.spec([], "int32") }, { x: Tensor.spec([3]) }],
  ([{ w, n }, { x }]) => [
    { w: Tensor.mul(w, Tensor.reshape(x, [3, 1])), n: Tensor.add(n, 1) },
    { loss: Tensor.sum(w), x }
  ]
)
const folding = device.fold(step, { check: "finite" })
same<Failure<typeof folding>, CompileError>()
export const fold = (folded: Success<typeof folding>) => {
  const w = Tensor.hostArray(new Float32Array(6), { shape: [3, 2] })
  const n = Tensor.hostArray(0, { dtype: "int32" })
  const xs = Tensor.hostArray(new Float32Array(30), { shape: [10, 3] })
  const result = folded.run({ w, n }, { x: xs }, { steps: 5, stepsPerCall: 2 })
  same<Failure<typeof result>, DeviceError>()
  type Gives = Success<typeof result>
  same<Gives[0]["w"], Device.Buffer<readonly [3, 2], "float32">>()
  same<Gives[0]["n"], Device.Buffer<readonly [], "int32">>()
  same<Gives[1]["loss"], Tensor.HostArray<readonly [number], "float32">>()
  same<Gives[1]["x"], Tensor.HostArray<readonly [number, 3], "float32">>()
  // sizes that types do not know are looked at by the call
  folded.run({ w, n }, { x: Tensor.hostArray([[1, 2, 3]]) })
  // the last state is a first one
  folded.run({} as Gives[0], { x: xs })
  // @ts-expect-error a state without one of its parts
  folded.run({ w }, { x: xs })
  // @ts-expect-error inputs without an axis for the steps
  folded.run({ w, n }, { x: Tensor.hostArray([1, 2, 3]) })
  // @ts-expect-error inputs are arrays of the host
  folded.run({ w, n }, { x: {} as Device.Buffer<readonly [10, 3]> })
  // @ts-expect-error there is no such option
  folded.run({ w, n }, { x: xs }, { perCall: 1 })
  return result
}
// a state may have its keys in another order
device.fold(
  Program.makeUnsafe([{ a: Tensor.spec([1]), b: Tensor.spec([2]) }, []], ([{ a, b }]) => [
    { b, a },
    []
  ])
)
device.fold(
  // @ts-expect-error a state of another shape
  Program.makeUnsafe([Tensor.spec([2]), []], ([x]) => [Tensor.sum(x), []])
)
// @ts-expect-error no pair of state and inputs
device.fold(Program.makeUnsafe({ x: Tensor.spec([2]) }, ({ x }) => ({ x })))

// copies
const uploaded = device.uploadAll({ a: Tensor.hostArray([1], { shape: [1] }), b: [] })
same<Success<typeof uploaded>["a"], Device.Buffer<readonly [1], "float32">>()
same<Needs<typeof uploaded>, Scope.Scope>()
const downloaded = device.downloadAll({} as Success<typeof uploaded>)
same<Success<typeof downloaded>["a"], Tensor.HostArray<readonly [1], "float32">>()
same<Needs<typeof downloaded>, never>()
const evaluated = device.evaluate({ y: Tensor.zeros([2, 2], "int32") })
same<Success<typeof evaluated>["y"], Tensor.HostArray<readonly [2, 2], "int32">>()
same<Failure<typeof evaluated>, TensorError | CompileError | DeviceError>()
// @ts-expect-error a tensor is not on a device
device.download(Tensor.zeros([2]))
// @ts-expect-error nor is an array of the host
device.download(Tensor.hostArray([1]))
// @ts-expect-error a buffer is there already
device.upload({} as Device.Buffer<readonly [1]>)
