/** What the published networks are made of and cost, to the last number, and how summaries tell it. */
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { CUNet, Layer, type Network, Parameter, Summary, UNet } from "../../src/Layer/index.ts"
import { Cost, Program, Tensor } from "../../src/Tensor/index.ts"

const cunet = (options: CUNet.Options) => Effect.runSync(CUNet.make(options))
const unet = (options: UNet.Options) => Effect.runSync(UNet.make(options))

const { presets } = CUNet
const published = cunet(presets["cunet-public"])
const compared = unet(UNet.presets.unet)

/** For one square image of three channels. */
const summaryOf = (network: Network.Network, size: number) =>
  Summary.of(network, Tensor.spec([1, 3, size, size]), { time: Tensor.spec([1]) })

const counts = ({ parameters }: Layer.Any) => ({
  all: Parameter.count(parameters),
  trainable: Parameter.count(parameters, { trainable: true })
})

const sum = (list: ReadonlyArray<number>) => list.reduce((a, b) => a + b, 0)

describe("parameters", () => {
  it("of the continuous U-Net as published: 8,811,875, of which the table of times is 256,000", () => {
    expect(counts(published)).toEqual({ all: 8_811_875, trainable: 8_811_875 - 256_000 })
    const buffers = Parameter.entries(published.parameters).filter(([, each]) => !each.trainable)
    expect(buffers.map(([path, { shape }]) => [path, shape])).toEqual([["time_table", [1000, 256]]])
  })

  it("of the same without attention: 8,548,707", () => {
    expect(counts(cunet({ ...presets["cunet-public"], attention: "none" })).all).toBe(8_548_707)
  })

  it("of the same with live times in all nine blocks: 9,568,483, and 9,312,483 without the table", () => {
    expect(counts(cunet(presets["cunet-public-time"]))).toEqual({
      all: 9_568_483,
      trainable: 9_312_483
    })
  })

  it("of the U-Net that it is compared with: 35,710,339", () => {
    expect(counts(compared)).toEqual({ all: 35_710_339, trainable: 35_710_339 })
  })

  it("of DDPM's networks as diffusers publishes them: 35,746,307 and 113,673,219", () => {
    expect(counts(unet(UNet.presets["ddpm-cifar10"])).all).toBe(35_746_307)
    expect(counts(unet(UNet.presets["ddpm-celebahq"])).all).toBe(113_673_219)
  })
})

describe("multiply-accumulates", () => {
  it("of the continuous U-Net at 64 pixels: 2,830,983,168 by thop, of which instance norms are 8,151,040", () => {
    const { macs, macsByThop } = summaryOf(published, 64)
    expect(macsByThop).toBe(2_830_983_168)
    expect(macs).toBe(2_822_832_128)
  })

  it("of the U-Net at 64 pixels: 7,206,256,640 by thop, of which nearest upsampling is 917,504", () => {
    const { macs, macsByThop } = summaryOf(compared, 64)
    expect(macsByThop).toBe(7_206_256_640)
    expect(macs).toBe(7_205_339_136)
  })

  it("of DDPM's network for CIFAR-10: 6.2219 G with those of attention", () => {
    const { programMacs } = summaryOf(unet(UNet.presets["ddpm-cifar10"]), 32)
    expect(programMacs).toBe(6_221_856_768)
  })
})

describe("Summary", () => {
  const small = cunet({ channels: 3, width: 4, levels: 2, groups: 4, embedding: 16, heads: 2 })
  const plain = unet({ channels: 3, width: 8, multipliers: [1, 2], attention: ["none", "block"] })
  const networks = {
    small,
    plain,
    published,
    compared: unet({
      ...UNet.presets.unet,
      width: 8,
      multipliers: [1, 2],
      attention: ["linear", "full"]
    })
  }

  it.each(Object.entries(networks))("counts of %s what its program costs", (_, network) => {
    const given = { x: Tensor.spec([2, 3, 32, 32]), time: Tensor.spec([2]) }
    const summary = Summary.of(network, given.x, { time: given.time })
    const program = Program.makeUnsafe(
      { values: network.parameters, ...given },
      ({ values, x, time }) => network.apply(values, x, { time })
    )
    expect(summary.programMacs).toBe(Cost.of(program).macs)
    expect(summary.macs).toBeLessThan(summary.programMacs)
  })

  it.each(Object.entries(networks))("has rows for %s that add up to the whole", (_, network) => {
    const summary = summaryOf(network, 32)
    const { rows } = summary
    const within = (path: string) => rows.filter((each) => each.path.startsWith(`${path}.`))
    const [whole, ...others] = rows
    expect(whole).toMatchObject({
      path: "",
      shape: [1, 3, 32, 32],
      parameters: summary.parameters,
      macs: summary.macs,
      times: 1
    })
    expect(summary.parameters).toBe(Parameter.count(network.parameters))
    const leaves = others.filter(({ path }) => within(path).length === 0)
    expect(sum(leaves.map(({ macs }) => macs))).toBe(summary.macs)
    expect(sum(leaves.map(({ parameters }) => parameters))).toBe(summary.parameters)
    for (const { path, macs, parameters } of others) {
      const inner = within(path).filter((each) => leaves.includes(each))
      if (inner.length === 0) continue
      expect(sum(inner.map((each) => each.macs)), path).toBe(macs)
      expect(sum(inner.map((each) => each.parameters)), path).toBe(parameters)
    }
    expect(new Set(rows.map(({ path }) => path)).size).toBe(rows.length)
  })

  it("tells of nine blocks of four evaluations, and of what is in a derivative four times", () => {
    const { rows } = summaryOf(published, 64)
    const blocks = rows.filter(({ integration }) => integration !== undefined)
    expect(blocks.map(({ path }) => path)).toEqual([
      ...[0, 1, 2, 3].map((i) => `down.${i}.block`),
      "middle",
      ...[0, 1, 2, 3].map((i) => `up.${i}.block`)
    ])
    for (const { integration, times } of blocks) {
      expect(integration).toEqual({ method: "3/8 rule", evaluations: 4 })
      expect(times).toBe(1)
    }
    for (const { path, times } of rows) {
      const held = path === "time_table"
      expect(times, path).toBe(held ? 0 : path.includes("derivative") ? 4 : 1)
    }
    const [conv] = rows.filter(({ path }) => path === "down.0.block.derivative.conv1")
    expect(conv).toEqual({
      path: "down.0.block.derivative.conv1",
      kind: "conv 3×3",
      shape: [1, 32, 64, 64],
      parameters: 32 * 32 * 9 + 32,
      macs: 4 * 32 * 32 * 9 * 64 * 64,
      times: 4,
      integration: undefined
    })
  })

  it.each([
    ["rk4", 3, 12],
    ["euler", 2, 2],
    ["tsit5", 1, 6],
    ["rk38", 8, 32]
  ] as const)(
    "multiplies by the evaluations: %s with %i steps takes %i",
    (method, steps, times) => {
      const options = { ...presets["cunet-public"], width: 2, levels: 1, heads: 1 } as const
      const macs = (integrator: NonNullable<CUNet.Options["integrator"]>) => {
        const { macs, rows } = summaryOf(cunet({ ...options, integrator }), 8)
        const evaluations = rows.flatMap(({ integration }) => integration?.evaluations ?? [])
        return { macs, evaluations }
      }
      const once = macs({ method: "euler", steps: 1, adjoint: "direct" })
      const twice = macs({ method: "euler", steps: 2, adjoint: "direct" })
      const many = macs({ method, steps, adjoint: "direct" })
      expect(many.evaluations).toEqual([times, times, times])
      const each = twice.macs - once.macs
      expect(many.macs - once.macs).toBe((times - 1) * each)
    }
  )

  it("does not know how often under a controller, and counts once", () => {
    const options = {
      channels: 3,
      width: 2,
      levels: 1,
      groups: 2,
      embedding: 8,
      order: "first"
    } as const
    const fixed = summaryOf(
      cunet({ ...options, integrator: { method: "euler", steps: 1, adjoint: "direct" } }),
      8
    )
    const adaptive = summaryOf(
      cunet({
        ...options,
        integrator: {
          method: "dopri5",
          steps: { relative: 1e-3, absolute: 1e-3 },
          adjoint: "checkpointed"
        }
      }),
      8
    )
    const blocks = adaptive.rows.filter(({ integration }) => integration !== undefined)
    expect(blocks.map(({ path }) => path)).toEqual(["down.0.block", "middle", "up.0.block"])
    for (const { path, integration } of blocks) {
      expect(integration?.evaluations).toBeUndefined()
      const inner = adaptive.rows.filter((each) => each.path.startsWith(`${path}.derivative.`))
      expect(inner.length).toBeGreaterThan(0)
      for (const { times } of inner) expect(times).toBeUndefined()
    }
    expect(adaptive.macs).toBe(fixed.macs)
    const lines = Summary.table(adaptive).split("\n")
    const block = lines.find((line) => line.startsWith("middle "))
    expect(block).toMatch(/ 1 +adaptive$/)
    expect(lines.find((line) => line.startsWith("middle.derivative.conv1"))).toMatch(/ adaptive$/)
  })

  it("is a table for people", () => {
    const network = cunet({ ...presets["cunet-public"], width: 2, levels: 1, time: "none" })
    expect(`\n${Summary.table(summaryOf(network, 8))}\n`).toMatchInlineSnapshot(`
      "
      layer                          kind                                  output     parameters  multiply-accumulates  times  evaluations
      stem.conv1                     conv 3×3                              1×2×8×8            56                 3,456      1
      stem.conv2                     conv 1×1                              1×4×8×8            12                   512      1
      down.0.block                   dynamic block, first order, 3/8 rule  1×4×8×8           296                73,728      1            4
      down.0.block.derivative        derivative                            1×4×8×8           296                73,728      4
      down.0.block.derivative.conv1  conv 3×3                              1×4×8×8           148                36,864      4
      down.0.block.derivative.conv2  conv 3×3                              1×4×8×8           148                36,864      4
      down.0.attention.0             attention                             1×4×8×8         2,056               131,072      1
      down.0.attention.0.norm        unit norm                             1×4×8×8             4                     0      1
      down.0.attention.0.qkv         conv 1×1                              1×384×8×8       1,536                98,304      1
      down.0.attention.0.out         conv 1×1                              1×4×8×8           516                32,768      1
      down.0.proj                    conv 1×1                              1×8×8×8            40                 2,048      1
      middle                         dynamic block, first order, 3/8 rule  1×8×4×4         1,168                73,728      1            4
      middle.derivative              derivative                            1×8×4×4         1,168                73,728      4
      middle.derivative.conv1        conv 3×3                              1×8×4×4           584                36,864      4
      middle.derivative.conv2        conv 3×3                              1×8×4×4           584                36,864      4
      up.0.join                      conv 1×1                              1×4×8×8            52                 3,072      1
      up.0.block                     dynamic block, first order, 3/8 rule  1×4×8×8           296                73,728      1            4
      up.0.block.derivative          derivative                            1×4×8×8           296                73,728      4
      up.0.block.derivative.conv1    conv 3×3                              1×4×8×8           148                36,864      4
      up.0.block.derivative.conv2    conv 3×3                              1×4×8×8           148                36,864      4
      up.0.attention.0               attention                             1×4×8×8         2,056               131,072      1
      up.0.attention.0.norm          unit norm                             1×4×8×8             4                     0      1
      up.0.attention.0.qkv           conv 1×1                              1×384×8×8       1,536                98,304      1
      up.0.attention.0.out           conv 1×1                              1×4×8×8           516                32,768      1
      head                           conv 1×1                              1×3×8×8            15                   768      1
      total                                                                                6,047               493,184
      "
    `)
    const paths = (depth: number) =>
      Summary.table(summaryOf(network, 8), { depth })
        .split("\n")
        .map((line) => line.split(" ")[0])
        .filter((path) => path.split(".").length <= depth)
    for (const depth of [1, 2, 3, 4]) {
      const lines = Summary.table(summaryOf(network, 8), { depth }).split("\n")
      expect(paths(depth).length, "nothing is deeper").toBe(lines.length)
    }
    expect(paths(2)).toEqual(expect.arrayContaining(["stem.conv1", "middle", "middle.derivative"]))
    expect(paths(3)).toEqual(expect.arrayContaining(["down.0.block", "middle.derivative.conv1"]))
  })

  it("says of a layer without integration, attention or groups as little as there is", () => {
    const layer = Layer.residual(Layer.identity<Tensor.Tensor>())
    const { rows, ...totals } = Summary.of(layer, Tensor.spec([2, 3]))
    expect(totals).toEqual({
      parameters: 0,
      trainable: 0,
      macs: 0,
      programMacs: 0,
      macsByThop: 0
    })
    expect(rows.map(({ path, shape }) => [path, shape])).toEqual([["", [2, 3]]])
  })
})
