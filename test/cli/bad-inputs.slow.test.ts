/** What goes wrong around the program: it says so in one line that names the file, fails, and loses and leaves nothing. */
import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import * as Zlib from "node:zlib"
import * as Effect from "effect/Effect"
import sharp from "sharp"
import { pack } from "tar-stream"
import { beforeAll, describe, expect, it } from "vitest"
import * as Checkpoint from "../../src/Pipeline/Checkpoint.ts"
import * as Classifier from "../../src/Pipeline/Classifier.ts"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Digits from "../../src/Pipeline/Digits.ts"
import * as Npy from "../../src/Pipeline/Npy.ts"
import * as Wav from "../../src/Pipeline/Wav.ts"
import { type Ended, inFolder, odeon, program, smallest } from "../support/cli.ts"
import { perform, write } from "../support/runs.ts"

const { folder, at } = inFolder()

/** All files and folders below, with what is in them. */
const contents = (of: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Fs.readdirSync(of, { recursive: true, withFileTypes: true }).map((entry) => {
      const path = Path.join(entry.parentPath, entry.name)
      return [path, entry.isFile() ? Fs.readFileSync(path, "base64") : ""]
    })
  )

/** It ended by saying what is wrong, in one line. */
const refused = ({ status, stderr }: Ended, says: string | RegExp) => {
  if (typeof says === "string") expect(stderr).toContain(says)
  else expect(stderr).toMatch(says)
  expect(stderr).toMatch(/^odeon: [^\n]*\n$/)
  expect(status).toBe(1)
}

/** That, and nothing is there that was not, and nothing is otherwise. */
const refuses = async (args: ReadonlyArray<string>, says: string | RegExp) => {
  const before = contents(folder)
  refused(await odeon(...args), says)
  expect(contents(folder)).toEqual(before)
}

/** A training of a second. */
const tiny = (options: Readonly<Record<string, string>> = {}) => {
  const all = { batch: "2", steps: "2", out: at("out"), data: "digits", ...options }
  return [
    ...["train", ...smallest],
    ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, value])
  ]
}

/** One on the digits that are built in. */
const drawn = (options: Readonly<Record<string, string>>) => [
  ...tiny(options),
  ...["--set", "data.size=8"]
]

const picture = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: "red" } })
    .png()
    .toBuffer()

const put = (name: string, content: string | Uint8Array) => {
  Fs.mkdirSync(Path.dirname(at(name)), { recursive: true })
  Fs.writeFileSync(at(name), content)
}

/** The first half. */
const half = (bytes: Uint8Array) => bytes.subarray(0, bytes.length >> 1)

const idx = (axes: ReadonlyArray<number>, bytes: Uint8Array, type = 8) =>
  Buffer.concat([
    Uint8Array.from([0, 0, type, axes.length, ...axes.flatMap((n) => [0, 0, n >> 8, n & 255])]),
    bytes
  ])

const noise = (length: number) => Uint8Array.from({ length }, (_, i) => (i * i * 31 + i) % 251)

const tar = async (names: ReadonlyArray<string>, bytes: Uint8Array) => {
  const archive = pack()
  for (const name of names) archive.entry({ name }, Buffer.from(bytes))
  archive.finalize()
  const parts: Array<Uint8Array> = []
  for await (const part of archive) parts.push(part as Uint8Array)
  return Buffer.concat(parts)
}

const small = ["--count", "4", "--steps", "2"]
const judged = [...small, "--classifier", at("classifier.safetensors")]

beforeAll(async () => {
  await perform(
    Effect.gen(function* () {
      yield* write(at("one"))
      const [{ path }] = yield* Checkpoint.list(at("one", "checkpoints"))
      const { manifest, snapshot } = yield* Checkpoint.read(path)
      const weights = Object.fromEntries(
        Object.entries(snapshot.weights).map(([name, each]) => [
          name,
          { ...each, data: each.data.map(() => Number.NaN as never) }
        ])
      )
      const { configuration, data } = manifest
      yield* Checkpoint.write(at("diverged", "checkpoints"), {
        ...{ configuration, ...(data && { data }) },
        snapshot: { ...snapshot, weights: weights as never }
      })
      const digits = Dataset.take(Digits.make(), 60)
      const classifier = yield* Classifier.forDataset(digits, { width: 4, features: 16 })
      const trained = yield* Classifier.train(classifier, digits, { steps: 3 })
      yield* Classifier.save(at("classifier.safetensors"), trained)
    })
  )
  const red = await picture(8, 8)
  for (const name of ["a", "b", "c"]) put(`three/${name}.png`, red)
  put("text/a.png", red)
  put("text/b.png", "just text")
  put("mixed/a.png", red)
  put("mixed/b.png", await picture(8, 9))
  put("both/a.png", red)
  put("both/cat/b.png", red)
  Fs.mkdirSync(at("empty"))
  Fs.mkdirSync(at("cats", "cat"), { recursive: true })

  const images = Zlib.gzipSync(idx([60, 28, 28], noise(60 * 784)))
  const labels = Zlib.gzipSync(idx([60], new Uint8Array(60)))
  put("cut-images/train-images-idx3-ubyte.gz", half(images))
  put("cut-images/train-labels-idx1-ubyte.gz", labels)
  put("cut-labels/train-images-idx3-ubyte.gz", images)
  put("cut-labels/train-labels-idx1-ubyte.gz", half(labels))
  const archive = await tar(["cat/a.png", "dog/b.png"], await picture(64, 64))
  put("cut.tgz", half(Zlib.gzipSync(archive)))
  put("cut.tar", half(archive))
  put("cifar-10-binary.tar.gz", half(Zlib.gzipSync(await tar(["data_batch_1.bin"], noise(6146)))))
  const floats = { dtype: "f4", shape: [4, 8, 8], data: new Float32Array(256) } as const
  put("cut.npy", half(Npy.encode(floats)))
  put("cut.npz", half(Npy.encodeArchive({ images: floats })))
  put("cut.parquet", half(Fs.readFileSync("test/fixtures/parquet-snappy.parquet")))
  const data = { dtype: "float32", shape: [1, 64], data: new Float32Array(64) } as const
  const sound = Wav.encode({ rate: 8000, data }, { format: "float32" })
  put("cut-sound/a.wav", half(sound))
  const raw = { width: 32, height: 32, channels: 3 } as const
  const noisy = await sharp(noise(3072), { raw }).png().toBuffer()
  put("cut-picture/a.png", half(noisy))
  put("one/evaluation.png", noisy)

  floats.data[70] = Number.NaN
  put("nan.npy", Npy.encode(floats))
  put("nan.npz", Npy.encodeArchive({ images: floats }))
  new DataView(sound.buffer).setFloat32(sound.length - 8, Number.NaN, true)
  put("nan-sound/a.wav", sound)
  put("nan-idx3-ubyte", idx([1, 1, 2], Uint8Array.of(0, 0, 0, 0, 0x7f, 0xc0, 0, 0), 13))
})

/** All commands that read data, with what else they are told. */
const reading = (spec: string, ...set: ReadonlyArray<string>) => {
  const told = (prefix: string) => set.flatMap((each) => ["--set", `${prefix}${each}`])
  return [
    ["data", "show", spec, ...told("")],
    [...tiny({ data: spec }), ...told("data.")],
    ...(set.length > 0
      ? []
      : [
          ["evaluate", at("one"), ...judged, "--data", spec],
          ["denoise", at("one"), "--count", "2", "--data", spec]
        ])
  ]
}

describe("data that cannot be used", () => {
  const cases = (all: Array<[spec: string, file: string, says: string, set?: string]>) => {
    it.each(all)("%s", async (spec, file, says, set?: string) => {
      const where = spec.replace(/^(\w+:)?/, (kind) => `${kind}${folder}${Path.sep}`)
      for (const args of reading(where, ...(set === undefined ? [] : [set]))) {
        await refuses(args, `odeon: ${at(file)}: ${says}`)
      }
    })
  }

  describe("cut short", () => {
    cases([
      ["mnist:cut-images", "cut-images/train-images-idx3-ubyte.gz", "gzip cut short or damaged"],
      ["mnist:cut-labels", "cut-labels/train-labels-idx1-ubyte.gz", "gzip cut short or damaged"],
      ["images:cut.tgz", "cut.tgz", "gzip cut short or damaged"],
      ["images:cut.tar", "cut.tar", "it is no folder and no tar archive, or one that is cut short"],
      ["cifar10:cifar-10-binary.tar.gz", "cifar-10-binary.tar.gz", "gzip cut short or damaged"],
      ["images:cut-picture", "cut-picture/a.png", "it is cut short or damaged"],
      ["cut.npy", "cut.npy", "[4, 8, 8] of f4 are 1024 bytes, but", "range=0..1"],
      ["cut.npz", "cut.npz", "it is no zip archive, cut short or damaged", "range=0..1"],
      ["cut.parquet", "cut.parquet", "it is no Parquet file, cut short or damaged"],
      ["wav:cut-sound", "cut-sound/a.wav", "it is cut short", "length=8"]
    ])
  })

  describe("that are not what they are called", () => {
    cases([["images:text", "text/b.png", "it is no PNG, JPEG or WebP picture"]])
  })

  describe("of mixed sizes", () => {
    cases([
      [
        "images:mixed",
        "mixed/b.png",
        "the picture is 9×8 colour, but the first is 8×8 colour: tell the size that all are brought to (size)"
      ]
    ])

    it("can be brought to one", async () => {
      const { status, stdout } = await odeon(
        "data",
        "show",
        `images:${at("mixed")}`,
        "--set",
        "size=8"
      )
      expect({ status, stdout }).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/^shape {3}3 × 8 × 8$/m)
      })
    })
  })

  describe("none", () => {
    cases([
      ["images:empty", "empty", "there are no pictures (.png, .jpg, .jpeg, .webp) in it"],
      ["images:cats", "cats", "there are no pictures (.png, .jpg, .jpeg, .webp) in it"],
      ["cifar10:empty", "empty", "there are no pictures"],
      ["mnist:empty", "empty", "there is no train-images-idx3-ubyte or"],
      ["parquet:empty", "empty", "there are no .parquet files in it"],
      ["wav:empty", "empty", "there are no WAV files in it, or in its folders", "length=8"]
    ])
  })

  describe("with values that are not finite", () => {
    cases([
      ["nan.npy", "nan.npy", "item 1 has the value NaN", "range=0..1"],
      ["nan.npz", "nan.npz", "item 1 has the value NaN", "range=0..1"],
      ["nan-idx3-ubyte", "nan-idx3-ubyte", "item 0 has the value NaN"],
      ["wav:nan-sound", "nan-sound/a.wav", "frame 62 has the value NaN", "length=8"]
    ])
  })

  it("without classes, where they are needed", async () => {
    const three = `images:${at("three")}`
    await refuses(
      [...tiny({ data: three }), "--set", "conditional=true"],
      `odeon: experiment: conditional: ${at("three")} has no classes to tell: take other data, or leave it out`
    )
    await refuses(
      ["evaluate", at("one"), ...small, "--data", three],
      `odeon: ${at("three")}: it has no classes, so that no classifier can learn it`
    )
    await refuses(
      ["evaluate", at("one"), ...judged, "--data", three],
      /classifier\.safetensors: the classifier is for 10 classes of .*three has no classes/
    )
    await refuses(
      ["data", "show", `images:${at("both")}`],
      `odeon: ${at("both")}: a.png is in no folder while others are, so that it has no class`
    )
    await refuses(
      ["sample", at("one"), "--label", "0", "--out", at("out")],
      "odeon: --label: the network knows no classes: leave it out"
    )
    await refuses([...tiny(), "--set", "network.classes=0"], "network.classes: ")
  })

  it("fewer than a batch", async () => {
    await refuses(
      tiny({ data: `images:${at("three")}`, batch: "4" }),
      `odeon: ${at("three")}: a batch of 4 is more than the 3 items there are: ask for at most 3, or add to the data`
    )
  })
})

describe("a network that diverged", () => {
  it("gives no samples, no figures and no pictures", async () => {
    const diverged = at("diverged")
    for (const args of [
      ["sample", diverged, ...small, "--out", at("out")],
      ["sample", diverged, ...small, "--grid", at("out.png")],
      ["sample", diverged, ...small, "--strip", at("out.png")],
      ["sample", diverged, ...small, "--animation", at("out.gif")],
      ["evaluate", diverged, ...judged, "--out", at("out.json")],
      ["denoise", diverged, "--count", "2", "--levels", "0.1", "--steps", "1", "--out", at("out")]
    ]) {
      await refuses(args, /^odeon: (\S*\/)?diverged\b.*(NaN|not finite)/)
    }
  })
})

describe("a run that is damaged", () => {
  /** A copy in which a file is replaced by what is made of it. */
  const damaged = (name: string, file: string, by: (bytes: Buffer) => string | Uint8Array) => {
    Fs.cpSync(at("one"), at(name), { recursive: true })
    const [path] = Fs.globSync(file, { cwd: at(name) })
    put(Path.join(name, path), by(Fs.readFileSync(at(name, path))))
    return Path.join(at(name), path)
  }

  it("names the file, and what reads it makes nothing", async () => {
    for (const [file, by] of [
      ["samples/*.png", () => "just text"],
      ["evaluation.png", half],
      ["history.jsonl", (bytes: Buffer) => `{"step"\n${bytes}`],
      ["experiment.json", half]
    ] as const) {
      const path = damaged(`damaged-${file.slice(0, 3)}`, file, by)
      const run = at(`damaged-${file.slice(0, 3)}`)
      await refuses(["report", run], `odeon: ${path}: `)
    }
    const path = damaged("damaged-weights", "checkpoints/*/weights.safetensors", half)
    const run = at("damaged-weights")
    for (const args of [
      ["sample", run, ...small, "--out", at("out")],
      ["evaluate", run, ...judged],
      ["denoise", run, "--count", "2"],
      [...drawn({ out: run }), "--resume"]
    ]) {
      await refuses(
        args,
        `the checkpoint ${Path.dirname(path)} is damaged: weights.safetensors has`
      )
    }
  })
})

/** What writes somewhere, and nothing else, by the place. */
const writingFiles: ReadonlyArray<
  readonly [name: string, (path: string) => ReadonlyArray<string>]
> = [
  ["report", (path) => ["report", at("one"), "--out", path]],
  ["evaluate", (path) => ["evaluate", at("one"), ...judged, "--quiet", "--out", path]],
  ["data show", (path) => ["data", "show", "digits", "--count", "9", "--grid", path]],
  ["sample --grid", (path) => ["sample", at("one"), ...small, "--grid", path]],
  ["sample --strip", (path) => ["sample", at("one"), ...small, "--strip", path]]
]

const writingFolders: typeof writingFiles = [
  ["train", (path) => drawn({ out: path })],
  ["sample", (path) => ["sample", at("one"), ...small, "--out", path]],
  [
    "denoise",
    (path) => [
      "denoise",
      at("one"),
      "--count",
      "2",
      "--levels",
      "0.1",
      "--steps",
      "1",
      "--out",
      path
    ]
  ],
  [
    "data fetch",
    (path) => ["data", "fetch", "mnist", "--mirror", "http://127.0.0.1:1/", "--to", path]
  ]
]

/** What the system says of folders in /proc, to root and to others. */
const unmade = "(no folder can be made at /proc/nope|permission denied)"

describe("a place that cannot be written", () => {
  it.each(writingFiles)("%s", async (_, args) => {
    put("file.png", "what was there")
    Fs.mkdirSync(at("folder.png"), { recursive: true })
    for (const [path, why] of [
      [at("file.png", "under.png"), `${at("file.png")} is no folder`],
      [at("folder.png"), "it is a folder"],
      ["", "must not be empty"]
    ]) {
      await refuses(args(path), why)
      if (path !== "") await refuses(args(path), `cannot write ${path}: ${why}`)
    }
    if (!Fs.existsSync("/proc/self")) return
    const nowhere = "/proc/nope/a.png"
    refused(await odeon(...args(nowhere)), new RegExp(`cannot write ${nowhere}: ${unmade}`))
  })

  it.each(writingFolders)("%s", async (_, args) => {
    put("file.png", "what was there")
    for (const path of [at("file.png"), at("file.png", "under")]) {
      await refuses(args(path), `${at("file.png")} is no folder`)
    }
    await refuses(args(""), "must not be empty")
    if (!Fs.existsSync("/proc/self")) return
    refused(await odeon(...args("/proc/nope/a")), new RegExp(`/proc/nope/a.*: ${unmade}`))
  })
})

/** The program by itself, in a process of its own. */
const started = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly env?: Readonly<Record<string, string>>; readonly leave?: boolean } = {}
) =>
  new Promise<Ended>((resolve, reject) => {
    const { env = {}, leave = false } = options
    const child = spawn(command, args, { cwd: folder, env: { ...process.env, ...env } })
    let [stdout, stderr] = ["", ""]
    if (leave) child.stdout.destroy()
    child.stdout.on("data", (part) => {
      stdout += part
    })
    child.stderr.on("data", (part) => {
      stderr += part
    })
    child.on("error", reject)
    child.on("close", (status) => resolve({ status, stdout, stderr }))
  })

const isolated = ["-rm", "sh", "-ec"]

/** A file system of so many KiB at a folder, which the process alone sees: filled and emptied by copies. */
const script = `mount -t tmpfs -o size="$KIB"k none "$AT"
cp -a "$BEFORE/." "$AT"
if [ "$OPTION" = ro ]; then mount -o remount,ro,bind "$AT"; fi
status=0
"$@" || status=$?
cp -a "$AT/." "$AFTER"
exit $status`

const canMount =
  process.platform === "linux" &&
  spawnSync("unshare", [...isolated, "mount -t tmpfs none /tmp; mount -o remount,ro,bind /tmp"])
    .status === 0

let mounts = 0

/** The program, where the folder that \`args\` are told is on a file system of its own. */
const onDisk = async (
  kib: number,
  option: "rw" | "ro",
  args: (place: string) => ReadonlyArray<string>
) => {
  const names = ["before", "at", "after"].map((name) => `disk-${mounts}-${name}`)
  mounts++
  const [before, place, after] = names.map((name) => at(name))
  for (const name of [before, place, after]) Fs.mkdirSync(name)
  Fs.writeFileSync(Path.join(before, "kept.txt"), "what was there")
  const ended = await started(
    "unshare",
    [...isolated, script, "sh", process.execPath, program, ...args(place)],
    { env: { KIB: `${kib}`, AT: place, BEFORE: before, AFTER: after, OPTION: option } }
  )
  const left = contents(after)
  expect(left[Path.join(after, "kept.txt")]).toBe(contents(before)[Path.join(before, "kept.txt")])
  // hidden, as those of downloads are not, which can go on
  expect(Object.keys(left).filter((name) => /\/\.[^/]*\.part$/.test(name))).toEqual([])
  return { ended, after, left: Object.keys(left).map((name) => Path.relative(after, name)) }
}

const named = (...all: ReadonlyArray<typeof writingFiles>) => all.flat()

describe.skipIf(!canMount)("a file system (skipped where none can be mounted)", () => {
  describe.concurrent("that is read-only", () => {
    it.each(named(writingFiles, writingFolders))("%s", async (_, args) => {
      const { ended, left } = await onDisk(1024, "ro", (place) =>
        args(Path.join(place, "new", "out.png"))
      )
      refused(ended, /cannot (write|make) .*new.*: permission denied, or a read-only file system/)
      expect(left).toEqual(["kept.txt"])
    })

    it.each(["evaluate", "denoise", "report"])("with the run, %s", async (command) => {
      const { ended } = await onDisk(1024, "ro", (place) => {
        Fs.cpSync(at("one"), Path.join(place.replace(/at$/, "before"), "one"), { recursive: true })
        const run = Path.join(place, "one")
        return command === "evaluate" ? [command, run, ...judged, "--quiet"] : [command, run]
      })
      refused(ended, /cannot write .*one.*: permission denied, or a read-only file system/)
    })
  })

  describe.concurrent("that is full", () => {
    const says = (what: string) =>
      new RegExp(`cannot write [^ ]*${what}[^ ]*: there is no space left on the device`)

    it.each(writingFiles)("%s", async (_, args) => {
      const { ended, left } = await onDisk(4, "rw", (place) => args(Path.join(place, "out.png")))
      refused(ended, says("out.png"))
      expect(left).toEqual(["kept.txt"])
    })

    it("train: all checkpoints that are there are whole, and the training goes on from them", async () => {
      const to = (place: string, keep: number, ...more: ReadonlyArray<string>) => [
        ...drawn({ out: Path.join(place, "run"), steps: "60", keep: `${keep}` }),
        ...["--checkpoint-every", "1", "--quiet", ...more]
      ]
      const { ended, after } = await onDisk(600, "rw", (place) => to(place, 100))
      refused(ended, says("run"))
      const run = Path.join(after, "run")
      const all = await perform(Checkpoint.list(Path.join(run, "checkpoints")))
      expect(all.length).toBeGreaterThan(1)
      for (const { path } of all) await perform(Checkpoint.read(path))
      const resumed = await odeon(...to(after, 1, "--resume"))
      expect(resumed).toMatchObject({ status: 0, stderr: "" })
      const whole = await odeon(...to(at("whole"), 1))
      expect(whole.status).toBe(0)
      const weights = (of: string) => {
        const path = Path.join(of, "run", "checkpoints", "step-00000060", "weights.safetensors")
        return Fs.readFileSync(path).toString("base64")
      }
      expect(weights(after)).toBe(weights(at("whole")))
    })

    it("sample: all pictures that are there are whole", async () => {
      const { ended, after, left } = await onDisk(40, "rw", (place) => [
        ...["sample", at("one"), "--count", "64", "--batch", "8", "--steps", "1", "--quiet"],
        ...["--out", Path.join(place, "out")]
      ])
      refused(ended, says("out"))
      const pictures = left.filter((name) => name.endsWith(".png"))
      expect(pictures.length).toBeGreaterThan(0)
      for (const name of pictures) await sharp(Path.join(after, name)).stats()
    })

    it("data fetch: what came is kept, for another try", async () => {
      const server = Http.createServer((_, response) => {
        response.writeHead(200, { "content-length": "9912422" })
        response.end(Buffer.alloc(9_912_422))
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const { port } = server.address() as AddressInfo
      const { ended, left } = await onDisk(64, "rw", (place) => [
        ...["data", "fetch", "mnist", "--mirror", `http://127.0.0.1:${port}/`],
        ...["--to", Path.join(place, "mnist")]
      ])
      server.closeAllConnections()
      server.close()
      refused(ended, says("train-images-idx3-ubyte.gz"))
      expect(left.filter((name) => name.endsWith("ubyte.gz"))).toEqual([])
    })
  })
})

describe.concurrent("a pipe without a reader", () => {
  it.each([
    [["data", "list"]],
    [["data", "show", "digits"]],
    [["networks"]],
    [["cost", "unet", "--json"]],
    [["devices"]],
    [["report", at("one")]],
    [["sample", at("one"), ...small, "--out", at("piped")]],
    [["evaluate", at("one"), ...judged, "--json"]],
    [["denoise", at("one"), "--count", "2", "--levels", "0.1", "--steps", "1", "--json"]],
    [["train", "--help"]]
  ])("%s", async (args) => {
    const { status, stderr } = await started(process.execPath, [program, ...args], { leave: true })
    expect({ status, stderr }).toEqual({ status: 141, stderr: "" })
  })
})

describe.skipIf(!Fs.existsSync("/dev/full"))("a full disk for what is printed", () => {
  it.each([
    [["data", "list"]],
    [["devices", "--json"]],
    [["denoise", at("one"), "--count", "2", "--levels", "0.1", "--steps", "1", "--json"]]
  ])("%s", async (args) => {
    const ended = await started("sh", [
      "-c",
      '"$@" > /dev/full',
      "sh",
      process.execPath,
      program,
      ...args
    ])
    refused(ended, "what there is to print cannot be written: ENOSPC")
  })
})
