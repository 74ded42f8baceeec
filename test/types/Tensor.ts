/** Types of tensors: what the compiler knows, and what it refuses. `npm run check` is the test. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Device from "../../src/Device/Device.ts"
import type { CompileError, DeviceError } from "../../src/Device/DeviceError.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Loss from "../../src/Tensor/Loss.ts"
import * as Program from "../../src/Tensor/Program.ts"
import type * as Shape from "../../src/Tensor/Shape.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

const same = <A, B>(..._: Equal<A, B> extends true ? [] : ["types differ", A, B]): void => {}

type Of<S extends Shape.Shape, D extends Tensor.Any["dtype"] = "float32"> = Tensor.Tensor<S, D>

const a = Tensor.zeros([2, 3])
const row = Tensor.zeros([3])
const column = Tensor.zeros([2, 1])
const doubles = Tensor.zeros([2, 3], "float64")
const any: Tensor.Tensor = a
const batch = Tensor.zeros([8, 4, 16, 16])

// shapes and dtypes that are known
same<typeof a, Of<readonly [2, 3]>>()
same<typeof doubles, Of<readonly [2, 3], "float64">>()

// a dtype that is not given is not guessed from where the tensor goes
// @ts-expect-error zeros are float32 unless told
export const guessed: Of<readonly [2], "int32"> = Tensor.zeros([2])

// broadcasting
const added = Tensor.add(a, row)
same<(typeof added)["shape"], readonly [2, 3]>()
const outer = Tensor.mul(column, row)
same<(typeof outer)["shape"], readonly [2, 3]>()
const piped = a.pipe(Tensor.add(row), Tensor.mul(2), Tensor.silu)
same<(typeof piped)["shape"], readonly [2, 3]>()
const flipped = Tensor.sub(1, doubles)
same<(typeof flipped)["dtype"], "float64">()
const verdict = Tensor.less(a, row)
same<typeof verdict, Of<readonly [2, 3], "bool">>()
const unknown = Tensor.add(any, a)
same<(typeof unknown)["shape"], Shape.Shape>()
// @ts-expect-error [2, 3] cannot be broadcast with [4]
Tensor.add(a, Tensor.zeros([4]))
// @ts-expect-error nor so, in a pipe
a.pipe(Tensor.add(Tensor.zeros([4])))
// @ts-expect-error two dtypes
Tensor.add(a, doubles)
// @ts-expect-error no arithmetic on bools
Tensor.add(verdict, verdict)
// @ts-expect-error no logarithm of integers
Tensor.log(Tensor.zeros([2], "int32"))
// @ts-expect-error bits are of uint32
Tensor.bitXor(a, a)

// the sentence that the compiler shows
type Sentence = Shape.Broadcast<readonly [2, 3], readonly [4]>
same<Sentence, Shape.Mismatch<"[2, 3] cannot be broadcast with [4]">>()
type Inner = Shape.MatMul<readonly [2, 3], readonly [4, 5]>
same<Inner, Shape.Mismatch<"[2, 3] times [4, 5]: the inner sizes 3 and 4 differ">>()
type Channels = Shape.Conv<readonly [1, 3, 8, 8], readonly [16, 4, 3, 3], false, false>
same<
  Channels,
  Shape.Mismatch<"[1, 3, 8, 8] has 3 channels, but the kernel [16, 4, 3, 3] takes 4">
>()

// matrix products
const product = Tensor.matmul(a, Tensor.zeros([3, 5]))
same<(typeof product)["shape"], readonly [2, 5]>()
const batched = Tensor.matmul(Tensor.zeros([7, 1, 2, 3]), Tensor.zeros([4, 3, 5]))
same<(typeof batched)["shape"], readonly [7, 4, 2, 5]>()
// @ts-expect-error inner sizes differ
Tensor.matmul(a, Tensor.zeros([2, 5]))
// @ts-expect-error a matrix needs two axes
Tensor.matmul(a, row)

// reductions
const total = Tensor.sum(a)
same<(typeof total)["shape"], readonly []>()
const rows = Tensor.mean(a, { axis: 1 })
same<(typeof rows)["shape"], readonly [2]>()
const kept = batch.pipe(Tensor.max({ axis: [-1, -2], keepDims: true }))
same<(typeof kept)["shape"], readonly [8, 4, 1, 1]>()
const most = Tensor.argMax(a)
same<typeof most, Of<readonly [2], "int32">>()

// structure
const turned = Tensor.transpose(batch, [0, 2, 3, 1])
same<(typeof turned)["shape"], readonly [8, 16, 16, 4]>()
// @ts-expect-error one entry for each axis
Tensor.transpose(a, [0, 1, 2])
const swapped = Tensor.matrixTranspose(a)
same<(typeof swapped)["shape"], readonly [3, 2]>()
const reshaped = Tensor.reshape(a, [3, -1])
same<(typeof reshaped)["shape"], readonly [3, number]>()
const hot = Tensor.oneHot(Tensor.zeros([5], "int32"), 10)
same<(typeof hot)["shape"], readonly [5, 10]>()
const chosen = Tensor.select(verdict, a, 0)
same<typeof chosen, Of<readonly [2, 3]>>()

// convolutions
const kernel = Tensor.zeros([6, 4, 3, 3])
const convolved = Tensor.conv(batch, kernel, { padding: "same" })
same<(typeof convolved)["shape"], readonly [8, 6, 16, 16]>()
const strided = batch.pipe(Tensor.conv(kernel, { stride: 2, padding: 1 }))
same<(typeof strided)["shape"], readonly [8, 6, number, number]>()
const grouped = Tensor.conv(batch, Tensor.zeros([6, 2, 3, 3]), { groups: 2 })
same<(typeof grouped)["shape"], readonly [8, 6, number, number]>()
// @ts-expect-error the kernel takes 5 channels
Tensor.conv(batch, Tensor.zeros([6, 5, 3, 3]))
// @ts-expect-error the kernel has one spatial axis
Tensor.conv(batch, Tensor.zeros([6, 4, 3]))

// losses and gradients keep the tree
const weights = { w: Tensor.zeros([3, 1]), layers: [Tensor.zeros([2])] } as const
const loss = Loss.mse(Tensor.matmul(a, weights.w), column)
same<(typeof loss)["shape"], readonly []>()
const each = Loss.l1(a, a, { reduction: "none" })
same<(typeof each)["shape"], readonly [2, 3]>()
const gradients = Gradient.of(loss, weights)
same<(typeof gradients)["w"]["shape"], readonly [3, 1]>()

// loops
const [last, stack] = Tensor.scan({
  init: { x: row, n: Tensor.scalar(0, "int32") },
  over: a,
  step: ({ x, n }, element) => [
    { x: Tensor.add(x, element), n: Tensor.add(n, 1) },
    Tensor.sum(element)
  ]
})
same<(typeof last)["x"]["shape"], readonly [3]>()
same<(typeof last)["n"]["dtype"], "int32">()
same<(typeof stack)["shape"], readonly [number]>()
// what a loop begins with and runs over may be made in its options, by functions with several overloads
const [products, sums] = Tensor.scan({
  init: { h: Tensor.reshape(row, [1, 3]), n: Tensor.sum(a) },
  over: Tensor.mul(a, 3),
  step: ({ h, n }, element) => [
    { h: Tensor.mul(h, element), n: Tensor.add(n, Tensor.sum(h)) },
    Tensor.cast(n, "int32")
  ]
})
same<(typeof products)["h"]["shape"], readonly [1, 3]>()
same<typeof sums, Of<readonly [number], "int32">>()
const halved = Tensor.whileLoop({
  init: Tensor.max(a),
  condition: (x) => Tensor.greater(x, 1),
  body: (x) => Tensor.div(x, 2)
})
same<typeof halved, Of<readonly []>>()
Tensor.scan({
  init: row,
  length: 3,
  // @ts-expect-error a state keeps its shape
  step: (state) => [Tensor.sum(state), []]
})

// programs and devices
const program = Program.makeUnsafe(
  { x: Tensor.spec([4, 3]), n: Tensor.spec([], "int32") },
  ({ x, n }) => ({
    y: Tensor.matmul(x, weights.w),
    m: [Tensor.add(n, 1)]
  })
)
same<(typeof program)["outputs"]["y"]["shape"], readonly [4, 1]>()
export const runs = (device: Device.Service) => device.compile(program)
type Executable =
  ReturnType<typeof runs> extends Effect.Effect<infer A, CompileError, Scope.Scope> ? A : never
export const use = (executable: Executable) => {
  const result = executable.run({
    x: Tensor.hostArray([[1, 2, 3]]),
    n: Tensor.hostArray(1, { dtype: "int32" })
  })
  type Gives = typeof result extends Effect.Effect<infer A, DeviceError, Scope.Scope> ? A : never
  same<Gives["y"], Device.Buffer<readonly [4, 1], "float32">>()
  // @ts-expect-error another rank
  executable.run({ x: Tensor.hostArray([1, 2]), n: Tensor.hostArray(1, { dtype: "int32" }) })
  // @ts-expect-error another dtype
  executable.run({ x: Tensor.hostArray([[1, 2, 3]]), n: Tensor.hostArray(1) })
  // @ts-expect-error a missing input
  executable.run({ x: Tensor.hostArray([[1, 2, 3]]) })
  return result
}
