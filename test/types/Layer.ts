/** Types of layers: what the compiler knows, and what it refuses. `npm run check` is the test. */
import { LayerLaws } from "../../src/Laws/index.ts"
import {
  Activation,
  Attention,
  Conv,
  Dense,
  Derivative,
  Dropout,
  DynamicBlock,
  Embedding,
  Initializer,
  Integrator,
  Layer,
  type Network,
  Norm,
  Parameter,
  Resample,
  ResidualBlock,
  SafeTensors
} from "../../src/Layer/index.ts"
import {
  Gradient,
  type Program,
  Random,
  type Shape,
  Tensor,
  type Tree
} from "../../src/Tensor/index.ts"

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

const same = <A, B>(..._: Equal<A, B> extends true ? [] : ["types differ", A, B]): void => {}

type Of<S extends Shape.Shape, D extends Tensor.Any["dtype"] = "float32"> = Tensor.Tensor<S, D>
type P<S extends Shape.Shape, D extends "float32" | "float64" = "float32"> = Parameter.Parameter<
  S,
  D
>

const batch = Tensor.zeros([8, 4, 16, 16])
const rows = Tensor.zeros([8, 3])

// parameters by name, with their shapes
const dense = Dense.make({ in: 3, out: 5 })
same<
  (typeof dense)["parameters"],
  { readonly weight: P<readonly [5, 3]> } & { readonly bias: P<readonly [5]> }
>()
const bare = Dense.make({ in: 3, out: 5, bias: false })
same<keyof (typeof bare)["parameters"], "weight">()
// @ts-expect-error a layer without bias has none
bare.parameters.bias
const table = Embedding.make({ classes: 10, width: 4 })
same<(typeof table)["parameters"]["weight"]["shape"], readonly [10, 4]>()
const plain = Norm.group({ channels: 4, groups: 2, affine: false })
same<(typeof plain)["parameters"], {}>()

// what is not told is not guessed from where the layer goes
type Bare = Layer.Layer<
  { readonly weight: P<readonly [5, 3]> },
  Of<readonly [number, 3]>,
  Of<readonly [number, 5]>
>
export const told: Bare = bare
// @ts-expect-error there is a bias unless told
export const guessed: Bare = Dense.make({ in: 3, out: 5 })
type Signal = Layer.Features<4, 1>
// @ts-expect-error there are two axes unless told
export const image: Layer.Layer<any, Signal, Signal> = Conv.make({ in: 4, out: 4, kernel: 3 })

// initial values have the same tree
const weights = Parameter.init(dense.parameters, 7)
same<(typeof weights)["weight"]["shape"], readonly [5, 3]>()
same<(typeof weights)["bias"]["data"], Float32Array>()

// a layer is a function of its values and an input
declare const values: Program.Tensors<(typeof dense)["parameters"]>
const five = dense.apply(values, rows)
same<typeof five, Of<readonly [number, 5]>>()
const gradients = Gradient.of(Tensor.sum(five), values)
same<(typeof gradients)["weight"], Of<readonly [5, 3]>>()
// @ts-expect-error 4 columns instead of 3
dense.apply(values, Tensor.zeros([8, 4]))
// @ts-expect-error values of another layer
dense.apply({ weight: Tensor.zeros([5, 4]), bias: Tensor.zeros([5]) }, rows)
// @ts-expect-error a value is missing
dense.apply({ weight: Tensor.zeros([5, 3]) }, rows)
// @ts-expect-error labels are whole numbers
table.apply({ weight: Tensor.zeros([10, 4]) }, Tensor.zeros([8]))

// channels and axes are known
const conv = Conv.make({ in: 4, out: 8, kernel: 3 })
const signal = Conv.make({ in: 4, out: 8, kernel: 3, dimensions: 1 })
declare const kernel: Program.Tensors<(typeof conv)["parameters"]>
const features = conv.apply(kernel, batch)
same<(typeof features)["shape"], readonly [number, 8, number, number]>()
// @ts-expect-error 3 channels instead of 4
conv.apply(kernel, Tensor.zeros([8, 3, 16, 16]))
// @ts-expect-error a signal is no image
signal.apply(kernel, batch)

// one after the other
const sequence = Layer.sequence(
  conv,
  Layer.of(Tensor.silu<Layer.Features<8>["shape"], "float32">),
  Conv.make({ in: 8, out: 2, kernel: 1 })
)
same<
  typeof sequence,
  Layer.Layer<
    readonly [Conv.Parameters<8, true>, {}, Conv.Parameters<2, true>],
    Layer.Features<4>,
    Layer.Features<2>
  >
>()
// @ts-expect-error 8 channels do not go where 4 are expected
Layer.sequence(conv, conv)
// @ts-expect-error nor a signal where an image is
Layer.sequence(signal, Conv.make({ in: 8, out: 2, kernel: 1 }))
// @ts-expect-error nor 5 columns where 3 are, in the third place
Layer.sequence(dense, Dense.make({ in: 5, out: 5 }), dense)
// @ts-expect-error a residual keeps the shape
Layer.residual(conv)
const stack = Layer.sequence(...[1, 2, 3].map(() => Dense.make({ in: 3, out: 3 })))
same<(typeof stack)["parameters"][number]["weight"]["shape"], readonly [3, 3]>()

// ordinary compositions
type Maps<L, I, O, C = unknown> =
  L extends Layer.Layer<any, infer I2, infer O2, infer C2> ? Equal<[I, O, C], [I2, O2, C2]> : false
const maps = <I, O, C = unknown>() => ({
  of: <L extends Layer.Any>(_: L, ...__: Maps<L, I, O, C> extends true ? [] : ["differs", L]) => {}
})
type F<C extends number, Dims extends number = 2> = Layer.Features<C, Dims>
const act = Layer.of(Tensor.silu)
const to = <const I extends number, const O extends number>(from: I, out: O) =>
  Conv.make({ in: from, out, kernel: 3 })
maps<F<1>, F<8>>().of(
  Layer.sequence(
    Conv.make({ in: 1, out: 8, kernel: 3 }),
    Norm.group({ channels: 8, groups: 4 }),
    Layer.of(Tensor.silu),
    Conv.make({ in: 8, out: 8, kernel: 3 })
  )
)
const own = Layer.make(
  { conv: Conv.make({ in: 8, out: 8, kernel: 3 }), norm: Norm.group({ channels: 8, groups: 4 }) },
  ({ conv, norm }, x: Layer.Features<8>) => Tensor.add(x, Tensor.silu(norm(conv(x))))
)
maps<F<8>, F<8>>().of(own)
maps<F<8>, F<8>>().of(Layer.sequence(own, Layer.of(Tensor.silu), own))
maps<F<8>, F<8>>().of(Layer.residual(own))
maps<F<8>, F<8>>().of(Layer.sequence(act, own, act, Dropout.make({ rate: 0.1 }), own, act))
maps<F<8>, F<8>>().of(Layer.sequence(Layer.residual(own), Layer.identity(), Layer.sequence(own)))
maps<F<3>, F<5>>().of(
  Layer.sequence(
    to(3, 8),
    Norm.instance({ channels: 8 }),
    Layer.of(Activation.named("gelu")),
    Layer.residual(Attention.full({ channels: 8 })),
    Resample.strided({ in: 8, out: 16 }),
    ResidualBlock.make({ in: 16, out: 16, groups: 4 }),
    Attention.block({ channels: 16, groups: 4 }),
    Resample.nearest(),
    Resample.up({ in: 16, out: 8 }),
    to(8, 5)
  )
)
maps<F<4>, F<4>, ResidualBlock.Condition>().of(
  Layer.sequence(
    ResidualBlock.make({ in: 4, out: 8, groups: 2, embedding: 6 }),
    Dropout.make({ rate: 0.5 }),
    Attention.linear({ channels: 8 }),
    Norm.unit({ channels: 8 }),
    ResidualBlock.make({ in: 8, out: 4, groups: 2, embedding: 6 })
  )
)
maps<F<2, 1>, F<2, 1>>().of(
  Layer.sequence(
    Conv.make({ in: 2, out: 4, kernel: 3, dimensions: 1 }),
    Norm.group({ channels: 4, groups: 2 }),
    Layer.of((x) => Tensor.gelu(x, { approximate: "tanh" })),
    Attention.full({ channels: 4, dimensions: 1 }),
    Attention.block({ channels: 4, dimensions: 1 }),
    Resample.pixelUnshuffle({ in: 4, out: 4, dimensions: 1 }),
    ResidualBlock.make({ in: 4, out: 4, groups: 2, dimensions: 1 }),
    Resample.linear({ factor: 2 }),
    Dropout.make({ rate: 0.1 }),
    Conv.make({ in: 4, out: 2, kernel: 3, dimensions: 1 })
  )
)
maps<F<2, 3>, F<2, 3>>().of(
  Layer.sequence(
    Conv.make({ in: 2, out: 4, kernel: 3, dimensions: 3 }),
    Norm.group({ channels: 4, groups: 2, affine: false }),
    act,
    Attention.linear({ channels: 4, dimensions: 3 }),
    Resample.transposed({ in: 4, out: 4, dimensions: 3 }),
    Resample.pixelShuffle({ in: 4, out: 4, dimensions: 3 }),
    ResidualBlock.make({ in: 4, out: 2, groups: 2, dimensions: 3 })
  )
)
maps<Of<readonly [number, 3]>, Of<readonly [number, 2]>>().of(
  Layer.sequence(
    Dense.make({ in: 3, out: 5 }),
    Norm.layer({ channels: 5 }),
    act,
    Norm.rms({ channels: 5 }),
    Dense.make({ in: 5, out: 2 })
  )
)
maps<F<8>, F<8>>().of(Layer.sequence(own, own, own, own, own, own, own, own, own, own, own, own))
// what keeps all shapes, or some, still does in a row
same<typeof act, Layer.Preserving<{}>>()
maps<F<8>, F<8>>().of(
  Layer.sequence(
    own,
    Layer.sequence(act, Norm.unit({ channels: 8 }), Layer.residual(act)),
    Layer.sequence(act, Resample.nearest()),
    own
  )
)
export const fits: Layer.Layer<any, F<8, 1>, F<8, 1>> = Norm.unit({ channels: 8 })
// equations
const integrator = Integrator.of({ method: "rk4", steps: 2, adjoint: "direct" })
const equation = { norm: "group", groups: 4, activation: "silu", activate: "before" } as const
const derivative = Derivative.first({
  ...equation,
  channels: 8,
  residual: true,
  odeTime: true
})
const flow = DynamicBlock.first({ derivative: own, integrator })
const swing = DynamicBlock.second({
  acceleration: Derivative.second({ ...equation, channels: 8, residual: false, odeTime: false }),
  velocity: own,
  integrator
})
maps<F<3>, F<8>, Pick<Derivative.Condition, "embedding">>().of(
  Layer.sequence(to(3, 8), flow, act, DynamicBlock.first({ derivative, integrator }), swing)
)
maps<Tensor.Tensor, Tensor.Tensor>().of(
  DynamicBlock.first({ derivative: own, integrator, augment: 2 })
)
// @ts-expect-error an equation of other channels
Layer.sequence(to(3, 4), act, flow)
// @ts-expect-error whose derivative has others than it
DynamicBlock.first({ derivative: to(8, 4), integrator })
// widths that are not yet known
const pair = <const C extends number>(channels: C) =>
  Layer.sequence(
    Conv.make({ in: channels, out: channels, kernel: 3 }),
    Layer.of(Tensor.silu),
    Conv.make({ in: channels, out: 4, kernel: 3 })
  )
maps<F<8>, F<4>>().of(pair(8))
const some = Norm.instance({ channels: batch.shape[1] as number })
maps<Tensor.Tensor, Tensor.Tensor>().of(Layer.sequence(some, act, some))
// side by side
const sides = Layer.branch({ left: own, right: Layer.sequence(act, own), plain: act })
declare const sideValues: Program.Tensors<(typeof sides)["parameters"]>
declare const eight: F<8>
same<
  ReturnType<typeof sides.apply>,
  { readonly left: F<8>; readonly right: F<8>; readonly plain: F<8> }
>()
const beside = Layer.concat([own, to(8, 4), act])
maps<F<8>, Of<readonly [number, number, number, number]>>().of(beside)
sides.apply(sideValues, eight)
// @ts-expect-error 4 channels instead of 8
sides.apply(sideValues, batch)

// @ts-expect-error a norm of other channels
Layer.sequence(to(4, 8), Norm.group({ channels: 4, groups: 2 }), act, to(8, 4))
// @ts-expect-error an activation does not change the channels
Layer.sequence(to(4, 8), act, to(4, 8))
// @ts-expect-error nor do a norm and an activation at the beginning
Layer.sequence(Norm.unit({ channels: 4 }), act, to(8, 8))
// @ts-expect-error attention of other channels
Layer.sequence(own, Attention.full({ channels: 4 }), own)
// @ts-expect-error of another number of axes
Layer.sequence(own, Attention.full({ channels: 8, dimensions: 1 }), own)
// @ts-expect-error resampling keeps the channels
Layer.sequence(own, Resample.nearest(), to(4, 8))
// @ts-expect-error or says to how many it changes them
Layer.sequence(own, Resample.up({ in: 8, out: 4 }), own)
// @ts-expect-error a residual block of other channels
Layer.sequence(own, ResidualBlock.make({ in: 4, out: 8, groups: 2 }))
// @ts-expect-error dropout changes nothing
Layer.sequence(own, Dropout.make({ rate: 0.1 }), Dropout.make({ rate: 0.1 }), to(4, 8))
// @ts-expect-error rows are no image
Layer.sequence(dense, act, own)
// @ts-expect-error in the tenth place too
Layer.sequence(own, act, own, act, own, act, own, act, own, to(4, 8))
// @ts-expect-error a residual of attention keeps the channels that it has
Layer.sequence(own, Layer.residual(Attention.full({ channels: 4 })))
// @ts-expect-error many that do not follow on each other
Layer.sequence(...[1, 2, 3].map(() => conv))
// @ts-expect-error a residual that changes channels at the end
Layer.residual(Layer.sequence(own, act, to(8, 4)))
// @ts-expect-error or sizes
Layer.residual(Resample.nearest())
// the message blames the shape
type Refused = Parameters<typeof Layer.sequence<[typeof conv, typeof conv]>>
same<
  Refused[1] extends Shape.Mismatch<infer Message> ? Message : never,
  `layer 2 takes float32 [${number}, 4, ${number}, ${number}], but is given float32 [${number}, 8, ${number}, ${number}]`
>()

// conditions
const block = ResidualBlock.make({ in: 4, out: 4, embedding: 6, groups: 2 })
declare const blockValues: Program.Tensors<(typeof block)["parameters"]>
const embedding: Tensor.Tensor = Tensor.zeros([8, 6])
block.apply(blockValues, batch, { embedding })
block.apply(blockValues, batch, { embedding }, { key: Random.key(1) })
// @ts-expect-error the condition is missing
block.apply(blockValues, batch)
// @ts-expect-error the embedding is
block.apply(blockValues, batch, {})
// what needs none may be given one, and a context
dense.apply(values, rows, { embedding })
dense.apply(values, rows, undefined, { key: Random.key(1) })
// @ts-expect-error a key is not a number
dense.apply(values, rows, undefined, { key: 1 })

// in a sequence all conditions are needed
const timed = Layer.make(
  { dense },
  (net, x: Of<readonly [number, 3]>, { time }: { readonly time: Of<readonly [number]> }) =>
    Tensor.add(net.dense(x), Tensor.reshape(time, [-1, 1]))
)
const labelled = Layer.make(
  {},
  (_, x: Of<readonly [number, 5]>, c: { readonly label: Of<readonly [number], "int32"> }) =>
    Tensor.add(x, Tensor.cast(Tensor.max(c.label), "float32"))
)
const both = Layer.sequence(timed, labelled)
declare const bothValues: Program.Tensors<(typeof both)["parameters"]>
const [time, label] = [Tensor.zeros([8]), Tensor.zeros([8], "int32")]
both.apply(bothValues, rows, { time, label })
// @ts-expect-error the label is missing
both.apply(bothValues, rows, { time })

// parts with their values in place
const parts = { list: [conv], dense, block, scale: Parameter.make([4, 1, 1], Initializer.ones) }
same<Layer.Bound<typeof parts>["scale"], Of<readonly [4, 1, 1]>>()
same<
  Layer.Bound<typeof parts>["dense"],
  (input: Of<readonly [number, 3]>, condition?: unknown) => Of<readonly [number, 5]>
>()
same<
  Layer.Bound<typeof parts>["list"][number],
  (input: Layer.Features<4>, condition?: unknown) => Layer.Features<8>
>()
same<Parameters<Layer.Bound<typeof parts>["block"]>[1], ResidualBlock.Condition>()
same<Layer.Parameters<typeof parts>["scale"], P<readonly [4, 1, 1]>>()
same<Layer.Parameters<typeof parts>["dense"], (typeof dense)["parameters"]>()
same<Layer.Parameters<typeof parts>["list"], ReadonlyArray<Conv.Parameters<8, true>>>()
const made = Layer.make(
  { first: dense, pair: [dense, bare] },
  ({ first, pair }, x: Of<readonly [number, 3]>) => {
    // @ts-expect-error 5 columns do not go where 3 are expected
    pair[0](first(x))
    return first(x)
  }
)
same<(typeof made)["parameters"]["first"]["weight"]["shape"], readonly [5, 3]>()
Layer.make({ block }, (net, x: Layer.Features<4>) => net.block(x, { embedding }))
// @ts-expect-error a part needs a condition
Layer.make({ block }, (net, x: Layer.Features<4>) => net.block(x))

// side by side
const branch = Layer.branch({ left: dense, right: timed })
declare const branchValues: Program.Tensors<(typeof branch)["parameters"]>
const branched = branch.apply(branchValues, rows, { time })
same<(typeof branched)["left"], Of<readonly [number, 5]>>()
// @ts-expect-error the time is missing
branch.apply(branchValues, rows)

// other dtypes
const doubles = Layer.cast(dense, "float64")
same<(typeof doubles)["parameters"]["weight"], P<readonly [5, 3], "float64">>()
declare const wide: Program.Tensors<(typeof doubles)["parameters"]>
const result = doubles.apply(wide, Tensor.zeros([8, 3], "float64"))
same<typeof result, Of<readonly [number, 5], "float64">>()
// @ts-expect-error float32 where float64 is expected
doubles.apply(wide, rows)

// options
// @ts-expect-error there is no such option
Attention.full({ channels: 4, head: 2 })
// @ts-expect-error nor such an activation
ResidualBlock.make({ in: 4, out: 4, groups: 2, activation: "swish" })

// files
declare const network: Network.Network
const initial = Parameter.init(network.parameters, 7)
SafeTensors.encode(Parameter.toRecord(initial))
declare const tensors: Program.Tensors<Network.Parameters>
same<Tree.Leaf<typeof tensors>["shape"], Shape.Shape>()

// laws
LayerLaws.subject({ name: "block", layer: block, input: [4, 3, 3], condition: { embedding: [6] } })
LayerLaws.subject({ name: "dense", layer: dense, input: [3] })
// @ts-expect-error it needs a condition
LayerLaws.subject({ name: "block", layer: block, input: [4, 3, 3] })
