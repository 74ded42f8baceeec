/** WAV files: what others wrote, there and back, and what is no such file. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as fc from "fast-check"
import { describe, it } from "vitest"
import * as Files from "../../src/Pipeline/Files.ts"
import { DataError } from "../../src/Pipeline/PipelineError.ts"
import * as Wav from "../../src/Pipeline/Wav.ts"
import fixtures from "../fixtures/wav.json" with { type: "json" }

const audio = (channels: number, samples: ReadonlyArray<number>, rate = 16000): Wav.Audio => ({
  rate,
  data: {
    dtype: "float32",
    shape: [channels, samples.length / channels],
    data: Float32Array.from(samples)
  }
})

const refusal = (bytes: Uint8Array): DataError => {
  const error = Effect.runSync(Effect.flip(Wav.decode(bytes, "a.wav")))
  expect(error).toBeInstanceOf(DataError)
  expect(error.message.startsWith("a.wav: ")).toBe(true)
  return error
}

const bitsOf = { pcm8: 8, pcm16: 16, pcm24: 24, pcm32: 32, float32: 32 } as const
const formats = Object.keys(bitsOf) as ReadonlyArray<Wav.Format>

/** Two frames of stereo with bytes of the header replaced. */
const patched = (patches: Readonly<Record<number, number>>, format?: Wav.Format) => {
  const file = Wav.encode(audio(2, [0, 0.5, 0.25, -0.5]), { format })
  for (const [at, byte] of Object.entries(patches)) file[Number(at)] = byte
  return file
}

/** With other chunks: of a name and some bytes. */
const riff = (...chunks: ReadonlyArray<readonly [string, ReadonlyArray<number>]>): Uint8Array => {
  const u32 = (x: number) => [x & 255, (x >> 8) & 255, (x >> 16) & 255, x >>> 24]
  const letters = (text: string) => Array.from(text, (each) => each.charCodeAt(0))
  const body = chunks.flatMap(([name, bytes]) => [
    ...letters(name),
    ...u32(bytes.length),
    ...bytes,
    ...(bytes.length % 2 ? [0] : [])
  ])
  return Uint8Array.from([...letters("RIFF"), ...u32(body.length + 4), ...letters("WAVE"), ...body])
}
const mono8 = [1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0]

describe("decode", () => {
  it.each(fixtures)("reads $bits bits of $channels channels as Python wrote them", (fixture) => {
    const { bits, channels, file, frames } = fixture
    const bytes = Uint8Array.from(Buffer.from(file, "base64"))
    const { rate, data } = Effect.runSync(Wav.decode(bytes))
    expect([rate, data.shape]).toEqual([16000, [channels, frames.length]])
    const expected = Array.from({ length: channels }, (_, c) =>
      frames.map((frame) => frame[c] / 2 ** (bits - 1))
    )
    expect(data.data).toEqual(Float32Array.from(expected.flat()))
    // what 32 bits of a float hold of 32 whole ones are not all
    if (bits < 32)
      expect(Wav.encode({ rate, data }, { format: `pcm${bits}` as Wav.Format })).toEqual(bytes)
  })

  it("gives back what was encoded, to half a unit", () => {
    const sound = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(9)).chain(([channels, length]) =>
      fc.record({
        channels: fc.constant(channels),
        rate: fc.integer({ min: 1, max: 192000 }),
        samples: fc.array(fc.float({ min: -1, max: 1, noNaN: true }), {
          minLength: channels * length,
          maxLength: channels * length
        })
      })
    )
    fc.assert(
      fc.property(sound, fc.constantFrom(...formats), ({ channels, rate, samples }, format) => {
        const given = audio(channels, samples, rate)
        const file = Wav.encode(given, { format })
        const back = Effect.runSync(Wav.decode(file))
        expect([back.rate, back.data.shape]).toEqual([rate, given.data.shape])
        const unit = 2 ** (1 - bitsOf[format])
        given.data.data.forEach((x, i) => {
          const clipped = format === "float32" ? x : Math.min(x, 1 - unit)
          const far = format === "float32" ? 0 : unit / 2 + 2 ** -24
          expect(Math.abs(back.data.data[i] - clipped)).toBeLessThanOrEqual(far)
        })
        // once rounded, nothing is lost any more
        expect(Wav.encode(back, { format })).toEqual(file)
      })
    )
  })

  it("passes over other chunks, to even places", () => {
    const file = riff(["LIST", [1, 2, 3]], ["fmt ", mono8], ["junk", []], ["data", [0, 128, 192]])
    const { rate, data } = Effect.runSync(Wav.decode(file))
    expect([rate, Array.from(data.data)]).toEqual([8000, [-1, 0, 0.5]])
  })

  it("reads the extensible way, floats of 64 bits, and samples of a length not known", () => {
    const extensible = [0xfe, 0xff, ...mono8.slice(2), 22, 0, 8, 0, 4, 0, 0, 0, 1, 0]
    const file = riff(["fmt ", [...extensible, ...Array(14).fill(0)]], ["data", [255]])
    expect(Effect.runSync(Wav.decode(file)).data.data[0]).toBe(127 / 128)
    const double = [3, 0, 1, 0, 0x40, 0x1f, 0, 0, 0, 0xfa, 0, 0, 8, 0, 64, 0]
    const half = [...new Uint8Array(Float64Array.of(0.5).buffer)]
    const floats = riff(["fmt ", double], ["data", half])
    expect(Effect.runSync(Wav.decode(floats)).data.data).toEqual(Float32Array.of(0.5))
    const piped = patched({ 40: 255, 41: 255, 42: 255, 43: 255 })
    expect(Effect.runSync(Wav.decode(piped)).data.shape).toEqual([2, 2])
  })

  it("refuses what is cut short, at every length", () => {
    for (const format of formats) {
      const file = Wav.encode(audio(2, [0, 0.5, 0.25, -0.5]), { format })
      for (let length = 0; length < file.length; length++) {
        expect(refusal(file.subarray(0, length)).reason).toBe("format")
      }
    }
    expect(refusal(patched({}).subarray(0, 50)).message).toBe(
      "a.wav: it is cut short: there are 6 of 8 bytes of samples"
    )
  })

  it("refuses what is compressed, by name, and what is no sound", () => {
    expect(refusal(patched({ 20: 85 })).message).toMatch(/encoded as MP3, .* pcm_s16le/)
    expect(refusal(patched({ 20: 2 })).message).toMatch(/ADPCM/)
    expect(refusal(patched({ 20: 99 })).message).toMatch(/format 99/)
    expect(refusal(patched({ 34: 12 })).message).toMatch(/whole numbers of 12 bits/)
    expect(refusal(patched({ 22: 0 })).message).toMatch(/make no sound/)
    expect(refusal(patched({ 32: 3 })).message).toMatch(/make no sound/)
    expect(refusal(patched({ 40: 7 })).message).toMatch(/no whole number of frames/)
    expect(refusal(patched({ 3: 0x58 })).message).toMatch(/RIFX/)
    expect(refusal(new TextEncoder().encode("no sound")).message).toMatch(/no WAV file/)
    expect(refusal(riff(["data", [1, 2]])).message).toMatch(/no `fmt ` chunk before/)
    expect(refusal(riff(["fmt ", mono8])).message).toMatch(/no samples/)
  })

  it("names the frame of what is not finite", () => {
    const file = patched({ 68: 0, 69: 0, 70: 0xc0, 71: 0x7f }, "float32")
    expect(refusal(file)).toMatchObject({
      reason: "value",
      message: "a.wav: frame 1 has the value NaN; leave the file out, or mend it"
    })
  })

  it("never fails otherwise, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.constantFrom(...formats), fc.nat(60), fc.nat(255), (format, at, byte) => {
        Effect.runSync(Effect.ignore(Wav.decode(patched({ [at]: byte }, format))))
      })
    )
  })
})

describe("encode", () => {
  it("refuses what is no sound", () => {
    const bad = (audio: Wav.Audio) => () => Wav.encode(audio)
    expect(bad(audio(1, [0, Number.NaN]))).toThrow("Wav.encode: frame 1 has the value NaN")
    expect(bad(audio(1, [0], 0.5))).toThrow(/whole number of frames a second/)
    const { data } = audio(1, [0, 1])
    expect(bad({ rate: 1, data: { ...data, shape: [2] } })).toThrow(/sound is \[channels, length\]/)
    expect(bad({ rate: 1, data: { ...data, shape: [1, 3] } })).toThrow(DataError)
  })
})

layer(NodeServices.layer)("dataset", (it) => {
  const key = [0, 0] as const
  const ramp = (from: number, length: number) =>
    Array.from({ length }, (_, i) => (from + i) / 2 ** 15)
  /** A folder with files of some sounds, for as long as the test runs. */
  const folder = Effect.fnUntraced(function* (
    contents: Readonly<Record<string, Wav.Audio | Uint8Array>>
  ) {
    const files = yield* FileSystem.FileSystem
    const path = yield* files.makeTempDirectoryScoped()
    for (const [name, content] of Object.entries(contents)) {
      const bytes = content instanceof Uint8Array ? content : Wav.encode(content)
      yield* Files.write(`${path}/${name}`, bytes)
    }
    return path
  })
  const refused = Effect.fnUntraced(function* (
    contents: Readonly<Record<string, Wav.Audio | Uint8Array>>,
    options: Wav.Options
  ) {
    const path = yield* folder(contents)
    const error = yield* Effect.flip(Wav.dataset(path, options))
    return { reason: error.reason, message: error.message.replaceAll(`${path}`, "data") }
  })

  it.effect("has pieces of each file, a hop after each other, with their folder's class", () =>
    Effect.gen(function* () {
      const stereo = (from: number, length: number) =>
        audio(2, [...ramp(from, length), ...ramp(from + 5000, length)])
      const path = yield* folder({
        "dog/b.wav": stereo(0, 10),
        "dog/a.WAV": stereo(1000, 4),
        "cat/a.wav": stereo(2000, 7),
        "cat/.hidden.wav": Uint8Array.of(1),
        "cat/notes.txt": Uint8Array.of(1),
        "empty/notes.txt": Uint8Array.of(1)
      })
      const data = yield* Wav.dataset(path, { length: 4, hop: 3 })
      expect(data).toMatchObject({ size: 6, shape: [2, 4], classes: ["cat", "dog"] })
      const begins = [2000, 2003, 1000, 0, 3, 6]
      const read = yield* data.read([5, 0, 1, 2, 3, 4].map((index) => ({ index, key })))
      expect(Array.from(read.labels?.data ?? [])).toEqual([1, 0, 0, 1, 1, 1])
      expect(Array.from(read.data.data)).toEqual(
        [5, 0, 1, 2, 3, 4].flatMap((i) => [...ramp(begins[i], 4), ...ramp(begins[i] + 5000, 4)])
      )
      const other = yield* Wav.dataset(path, { length: 4 })
      expect(other.size).toBe(4)
      expect(other.fingerprint).not.toBe(data.fingerprint)
      expect((yield* Wav.dataset(path, { length: 4, hop: 3 })).fingerprint).toBe(data.fingerprint)
      const limited = yield* Wav.dataset(path, { length: 4, hop: 3, limit: data.size - 1 })
      expect(limited.size).toBe(data.size - 1)
      expect(limited.fingerprint).not.toBe(data.fingerprint)
    })
  )

  it.effect("has the pieces that cutting whole files gives, whatever the lengths", () =>
    Effect.gen(function* () {
      const lengths = fc.array(fc.nat(12), { minLength: 1, maxLength: 5 })
      const some = fc.record({
        lengths,
        length: fc.integer({ min: 1, max: 5 }),
        hop: fc.integer({ min: 1, max: 7 }),
        short: fc.constantFrom("skip" as const, "pad" as const)
      })
      for (const { lengths, length, hop, short } of fc.sample(some, 20)) {
        const sounds = lengths.map((n, i) => ramp(1000 * i, n))
        const pieces = sounds.flatMap((sound) => {
          const cut: Array<ReadonlyArray<number>> = []
          for (let t = 0; t + length <= sound.length; t += hop) cut.push(sound.slice(t, t + length))
          const padded = Array.from({ length }, (_, t) => sound[t] ?? 0)
          return cut.length === 0 && sound.length > 0 && short === "pad" ? [padded] : cut
        })
        const path = yield* folder(
          Object.fromEntries(sounds.map((sound, i) => [`${i}.wav`, audio(1, sound)]))
        )
        const opened = Wav.dataset(path, { length, hop, short })
        if (pieces.length === 0) {
          expect(yield* Effect.flip(opened)).toMatchObject({ reason: "empty" })
          continue
        }
        const data = yield* opened
        expect(data.size).toBe(pieces.length)
        const read = yield* data.read(pieces.map((_, index) => ({ index, key })))
        expect(Array.from(read.data.data)).toEqual(pieces.flat())
      }
    })
  )

  it.effect("has no classes where files lie side by side", () =>
    Effect.gen(function* () {
      const path = yield* folder({ "a.wav": audio(1, ramp(0, 8)) })
      const data = yield* Wav.dataset(path, { length: 8, rate: 16000 })
      expect(data).toMatchObject({ size: 1, shape: [1, 8], classes: undefined })
      expect((yield* data.read([{ index: 0, key }])).labels).toBeUndefined()
    })
  )

  it.effect("refuses, skips or pads what is shorter than a piece", () =>
    Effect.gen(function* () {
      const contents = {
        "long.wav": audio(1, ramp(0, 9)),
        "short.wav": audio(1, ramp(100, 3)),
        "silent.wav": audio(1, [])
      }
      expect((yield* refused(contents, { length: 4 })).message).toMatch(
        /^data\/short.wav: it has 3 frames, fewer than a piece's 4: .*`short`/
      )
      const path = yield* folder(contents)
      expect((yield* Wav.dataset(path, { length: 4, short: "skip" })).size).toBe(2)
      const padded = yield* Wav.dataset(path, { length: 4, short: "pad" })
      expect(padded.size).toBe(3)
      const read = yield* padded.read([{ index: 2, key }])
      expect(Array.from(read.data.data)).toEqual([...ramp(100, 3), 0])
      expect(yield* refused(contents, { length: 99, short: "skip" })).toEqual({
        reason: "empty",
        message: "data: none of its 3 files is as long as a piece of 99 frames"
      })
    })
  )

  it.effect("refuses files that do not go together", () =>
    Effect.gen(function* () {
      const a = audio(1, ramp(0, 8))
      const rates = { "a.wav": a, "b.wav": { ...a, rate: 8000 } }
      expect(yield* refused(rates, { length: 4 })).toEqual({
        reason: "shape",
        message:
          "data/b.wav: it has 1 channels at 8000 frames a second, data/a.wav has 1 at 16000, and 1 at 16000 are wanted: resample it, or leave it out"
      })
      expect((yield* refused({ "a.wav": a }, { length: 4, rate: 44100 })).message).toMatch(
        /^data\/a.wav: it has 1 channels at 16000 frames a second, but 1 at 44100 are wanted/
      )
      const channels = { "a.wav": a, "b.wav": audio(2, ramp(0, 8)) }
      expect((yield* refused(channels, { length: 4 })).reason).toBe("shape")
      const mixed = { "a.wav": a, "dog/b.wav": a }
      expect((yield* refused(mixed, { length: 4 })).message).toMatch(/^data: a.wav lies beside/)
    })
  )

  it.effect("names what is wrong with files, folders and options", () =>
    Effect.gen(function* () {
      const a = audio(1, ramp(0, 8))
      const cut = { "a.wav": a, "b.wav": Wav.encode(a).subarray(0, 50) }
      expect(yield* refused(cut, { length: 4 })).toEqual({
        reason: "format",
        message: "data/b.wav: it is cut short: there are 6 of 16 bytes of samples"
      })
      expect((yield* refused({}, { length: 4 })).reason).toBe("empty")
      expect((yield* refused({ "dog/a.mp3": Uint8Array.of(1) }, { length: 4 })).reason).toBe(
        "empty"
      )
      expect((yield* refused({ "a.wav": a }, { length: 0 })).reason).toBe("options")
      expect((yield* refused({ "a.wav": a }, { length: 4, hop: 1.5 })).message).toMatch(
        /`hop` must/
      )
      const missing = yield* Effect.flip(Wav.dataset("/nowhere", { length: 4 }))
      expect(missing).toMatchObject({ _tag: "FileError", reason: "missing" })
    })
  )
})
