import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect } from "vitest"
import * as OnnxFile from "../../src/Device/OnnxFile.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import { numbers } from "../support/arrays.ts"

const program = Program.makeUnsafe(
  { x: Tensor.spec([2, 3]), more: [Tensor.spec([], "int32")] },
  ({ x, more: [n] }) => ({ y: Tensor.softplus(x), n: Tensor.add(n, 1) }),
  { name: "sample" }
)

/** A folder that is gone afterwards. */
const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

const file = Effect.map(folder, (path) => Path.join(path, "model.onnx"))

const given = {
  x: Tensor.hostArray([
    [0, 1, 2],
    [3, 4, 5]
  ]),
  "more.0": Tensor.hostArray(41, { dtype: "int32" })
}

describe("a model in a file", () => {
  it.live("runs as the program that it was", () =>
    Effect.gen(function* () {
      const path = yield* file
      yield* OnnxFile.write(program, path)
      expect(Fs.readdirSync(Path.dirname(path))).toEqual(["model.onnx"])
      const model = yield* OnnxFile.read(path)
      expect(model.inputs).toEqual([
        { name: "x", dtype: "float32", shape: [2, 3] },
        { name: "more.0", dtype: "int32", shape: [] }
      ])
      expect(model.outputs.map(({ name }) => name)).toEqual(["y", "n"])
      const { n, y } = yield* model.run(given)
      expect([n.dtype, Array.from(numbers(n))]).toEqual(["int32", [42]])
      expect(y.shape).toEqual([2, 3])
      numbers(y).forEach((each, i) => {
        expect(each).toBeCloseTo(Math.log1p(Math.exp(i)), 5)
      })
    })
  )

  it.live("replaces the one before it, whole", () =>
    Effect.gen(function* () {
      const path = yield* file
      yield* OnnxFile.write(program, path)
      const other = Program.makeUnsafe([Tensor.spec([1])], ([x]) => [Tensor.neg(x)])
      yield* Effect.forEach([other, program, other], (each) => OnnxFile.write(each, path), {
        concurrency: "unbounded"
      })
      expect(Fs.readdirSync(Path.dirname(path))).toEqual(["model.onnx"])
      expect((yield* OnnxFile.read(path)).outputs.length).toBeGreaterThan(0)
    })
  )

  it.live("that cannot be written leaves nothing behind", () =>
    Effect.gen(function* () {
      const parent = yield* folder
      const missing = Path.join(parent, "missing", "model.onnx")
      const nowhere = yield* Effect.flip(OnnxFile.write(program, missing))
      expect([nowhere.reason, nowhere.program]).toEqual(["Failed", "sample"])
      expect(nowhere.message).toContain(`${missing} cannot be written: ENOENT`)
      expect(nowhere.message).toContain("see that its folder is there")
      const taken = Path.join(parent, "taken")
      Fs.mkdirSync(Path.join(taken, "full"), { recursive: true })
      expect((yield* Effect.flip(OnnxFile.write(program, taken))).reason).toBe("Failed")
      expect(Fs.readdirSync(parent)).toEqual(["taken"])
    })
  )

  it.live("that is damaged, or is none, is corrupt", () =>
    Effect.gen(function* () {
      const path = yield* file
      yield* OnnxFile.write(program, path)
      const bytes = Fs.readFileSync(path)
      const damages = {
        cut: bytes.subarray(0, bytes.length >> 1),
        text: Buffer.from("this is no model"),
        empty: Buffer.alloc(0)
      }
      for (const [name, damaged] of Object.entries(damages)) {
        Fs.writeFileSync(path, damaged)
        const error = yield* Effect.flip(OnnxFile.read(path))
        expect([name, error._tag, "reason" in error && error.reason]).toEqual([
          name,
          "CompileError",
          "Corrupt"
        ])
        expect(error.message).toContain(path)
        expect(error.message).toContain("this is no ONNX model, or a damaged one")
      }
    })
  )

  it.live("that is not there cannot be read", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(OnnxFile.read("/nowhere/model.onnx"))
      expect(error).toMatchObject({ _tag: "CompileError", reason: "Failed" })
      expect(error.message).toContain("/nowhere/model.onnx cannot be read: ENOENT")
    })
  )

  const wrong: ReadonlyArray<readonly [string, object, string]> = [
    [
      "an input less",
      { x: given.x },
      'misses the input "more.0"; it takes "x" float32[2, 3], "more.0" int32[]'
    ],
    ["an input more", { ...given, z: given.x }, 'has no input "z"; leave it out'],
    [
      "another shape",
      { ...given, x: Tensor.hostArray([1, 2, 3]) },
      '"x" must be float32[2, 3], but is float32[3]'
    ],
    [
      "another dtype",
      { ...given, "more.0": Tensor.hostArray(1) },
      '"more.0" must be int32[], but is float32[]'
    ],
    [
      "too little data",
      { ...given, x: { ...given.x, data: new Float32Array(5) } },
      "the array says float32[2, 3], which has 6 elements, but its data has 5"
    ]
  ]
  it.live("refuses arrays that do not fit", () =>
    Effect.gen(function* () {
      const path = yield* file
      yield* OnnxFile.write(program, path)
      const model = yield* OnnxFile.read(path)
      for (const [what, arrays, message] of wrong) {
        const error = yield* Effect.flip(model.run(arrays as typeof given))
        expect([what, error.reason, error.operation]).toEqual([what, "Mismatch", path])
        expect(error.message).toContain(message)
      }
    })
  )
})
