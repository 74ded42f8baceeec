/** Downloads, from a server on this machine that does what servers do. */
import * as Crypto from "node:crypto"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import { systemError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import * as Download from "../../src/Pipeline/Download.ts"

const content = Uint8Array.from({ length: 100_000 }, (_, i) => (i * i) >> 3)
const hash = (algorithm: string, bytes: Uint8Array) =>
  Crypto.createHash(algorithm).update(bytes).digest("hex")
const sha256 = hash("sha256", content)
const bytes = content.length

interface Asked {
  readonly url: string | undefined
  readonly range: string | undefined
  readonly ifRange: string | undefined
}

type Handler = (
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  /** How many requests came before. */
  nth: number
) => void

/** A server for as long as the test runs, and what it was asked. */
const serve = (handler: Handler) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly asked: Array<Asked>; close: () => void }>(
      (resume) => {
        const asked: Array<Asked> = []
        const server = Http.createServer((request, response) => {
          const { range, "if-range": ifRange } = request.headers
          asked.push({ url: request.url, range, ifRange: ifRange as string | undefined })
          handler(request, response, asked.length - 1)
        })
        server.listen(0, "127.0.0.1", () => {
          const { port } = server.address() as AddressInfo
          const close = () => {
            server.closeAllConnections()
            server.close()
          }
          resume(Effect.succeed({ url: `http://127.0.0.1:${port}/file`, asked, close }))
        })
      }
    ),
    ({ close }) => Effect.sync(close)
  )

/** From where on a request wants the file. */
const startOf = ({ headers }: Http.IncomingMessage): number =>
  Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0)

/** Answers as a good server does; of `upto` bytes only, if told, before the connection breaks. */
const answer = (
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  options: { readonly body?: Uint8Array; readonly upto?: number; readonly etag?: string } = {}
) => {
  const { body = content, etag = '"v1"' } = options
  const { upto = body.length } = options
  const valid = (request.headers["if-range"] ?? etag) === etag
  const start = valid ? startOf(request) : 0
  if (start >= body.length) {
    response.writeHead(416, { "content-range": `bytes */${body.length}` }).end()
    return
  }
  response.writeHead(start > 0 ? 206 : 200, {
    etag,
    "content-length": body.length - start,
    ...(start > 0 && { "content-range": `bytes ${start}-${body.length - 1}/${body.length}` })
  })
  const part = body.subarray(start, Math.max(start, upto))
  if (upto >= body.length) response.end(part)
  else response.write(part, () => setTimeout(() => response.destroy(), 20))
}

const folder = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  return yield* files.makeTempDirectoryScoped()
})

const quick = { backoff: 1, attempts: 3 } as const

for (const [name, client] of [
  ["fetch", FetchHttpClient.layer],
  ["node:http", NodeHttpClient.layerNodeHttp]
] as const) {
  layer(Layer.merge(NodeServices.layer, client), { excludeTestServices: true })(
    `download by ${name}`,
    (it) => {
      /** The file is there and right, and nothing beside it. */
      const whole = Effect.fnUntraced(function* (path: string, name = "file") {
        const files = yield* FileSystem.FileSystem
        expect(yield* files.readDirectory(path)).toEqual([name])
        expect(new Uint8Array(yield* files.readFile(`${path}/${name}`))).toEqual(content)
      })
      const names = Effect.fnUntraced(function* (path: string) {
        return yield* (yield* FileSystem.FileSystem).readDirectory(path)
      })

      it.effect("fetches a file, tells of it, and does not fetch it again", () =>
        Effect.gen(function* () {
          const { url, asked } = yield* serve((request, response) => answer(request, response))
          const path = yield* folder
          const options = { urls: url, path: `${path}/deep/file`, bytes, sha256, ...quick }
          const events = yield* Stream.runCollect(Download.events(options))
          yield* whole(`${path}/deep`)
          expect(events[0]).toEqual({
            ...{ _tag: "Started", path: options.path, url, received: 0, total: bytes }
          })
          const received = events.flatMap((event) =>
            event._tag === "Received" ? [event.received] : []
          )
          expect(received).toEqual(received.toSorted((a, b) => a - b))
          expect(received[received.length - 1]).toBe(bytes)
          expect(events[events.length - 1]).toEqual({
            ...{ _tag: "Finished", path: options.path, bytes, fetched: true }
          })
          const again = yield* Download.fetch({ ...options, urls: "http://127.0.0.1:1/" })
          expect(again).toEqual({ _tag: "Finished", path: options.path, bytes, fetched: false })
          expect(asked.length).toBe(1)
        })
      )

      it.effect("goes on where a connection broke, by the same version's tag", () =>
        Effect.gen(function* () {
          const { url, asked } = yield* serve((request, response, nth) =>
            answer(request, response, { upto: 30_000 * (nth + 1) })
          )
          const path = yield* folder
          yield* Download.fetch({ urls: url, path: `${path}/file`, sha256, ...quick })
          yield* whole(path)
          expect(asked.length).toBe(4)
          expect(asked.slice(1)).toEqual(
            [30_000, 60_000, 90_000].map((start) => ({
              url: "/file",
              range: `bytes=${start}-`,
              ifRange: '"v1"'
            }))
          )
        })
      )

      it.effect("begins anew where the file has become another meanwhile", () =>
        Effect.gen(function* () {
          const old = content.map((x) => x ^ 1)
          const { url } = yield* serve((request, response, nth) =>
            nth === 0
              ? answer(request, response, { body: old, upto: 5000, etag: '"v0"' })
              : answer(request, response)
          )
          const path = yield* folder
          yield* Download.fetch({ urls: url, path: `${path}/file`, bytes, sha256, ...quick })
          yield* whole(path)
        })
      )

      it.effect("goes on in a later run, and begins anew if the parts do not fit", () =>
        Effect.gen(function* () {
          const files = yield* FileSystem.FileSystem
          const { url, asked } = yield* serve((request, response) => answer(request, response))
          for (const [part, starts] of [
            [content.subarray(0, 40_000), [40_000]],
            // of another version, longer than the file, all of it
            [new Uint8Array(40_000), [40_000, 0]],
            [new Uint8Array(bytes + 1), [0]],
            [content, []],
            [new Uint8Array(bytes), [0]]
          ] as const) {
            asked.length = 0
            const path = yield* folder
            yield* files.writeFile(`${path}/file.part`, part)
            yield* Download.fetch({ urls: url, path: `${path}/file`, bytes, sha256, ...quick })
            yield* whole(path)
            expect(asked.map(({ range }) => Number(/\d+/.exec(range ?? "0")?.[0]))).toEqual(starts)
          }
          // the same where the length is not known: the server says that there is no more, or less
          for (const part of [content, new Uint8Array(bytes), new Uint8Array(bytes + 1)]) {
            const path = yield* folder
            yield* files.writeFile(`${path}/file.part`, part)
            yield* Download.fetch({ urls: url, path: `${path}/file`, sha256, ...quick })
            yield* whole(path)
          }
        })
      )

      it.effect("copes with servers that know no ranges, or no length", () =>
        Effect.gen(function* () {
          const { url } = yield* serve((_, response, nth) => {
            if (nth % 2 === 1) {
              response.writeHead(200)
              response.write(content.subarray(0, 70_000))
              response.end(content.subarray(70_000))
            } else {
              response.writeHead(200, { "content-length": bytes })
              response.write(content.subarray(0, 70_000), () =>
                setTimeout(() => response.destroy(), 20)
              )
            }
          })
          for (const known of [{ bytes }, {}]) {
            const path = yield* folder
            yield* Download.fetch({ urls: url, path: `${path}/file`, sha256, ...known, ...quick })
            yield* whole(path)
          }
        })
      )

      it.effect("tries again where the server has trouble, and follows where it points", () =>
        Effect.gen(function* () {
          const { url } = yield* serve((request, response, nth) => {
            if (nth === 0) response.writeHead(503).end("busy")
            else if (nth === 1) response.destroy()
            else if (request.url === "/file") response.writeHead(302, { location: "/moved" }).end()
            else answer(request, response)
          })
          const path = yield* folder
          const events: Array<Download.Event> = []
          yield* Download.fetch({
            ...{ urls: url, path: `${path}/file`, sha256, ...quick },
            onEvent: (event) => Effect.sync(() => events.push(event))
          })
          yield* whole(path)
          expect(events.flatMap((e) => (e._tag === "Failed" ? [[e.delay]] : []))).toEqual([
            [1],
            [2]
          ])
          expect(events.find((e) => e._tag === "Failed")).toMatchObject({
            url,
            why: "the server answered 503"
          })
        })
      )

      it.effect("goes to the next address where one does not have the file", () =>
        Effect.gen(function* () {
          const bad = yield* serve((request, response) => {
            if (request.url === "/missing") response.writeHead(404).end()
            else if (request.url === "/wrong")
              answer(request, response, { body: new Uint8Array(bytes) })
            else if (request.url === "/short")
              answer(request, response, { body: content.subarray(1) })
            else response.writeHead(500).end()
          })
          const good = yield* serve((request, response) => answer(request, response))
          const at = (name: string) => bad.url.replace("file", name)
          const urls = ["missing", "wrong", "short", "broken"].map(at)
          const path = yield* folder
          const options = { path: `${path}/file`, bytes, md5: hash("md5", content), ...quick }
          const error = yield* Effect.flip(Download.fetch({ ...options, urls }))
          expect(error).toMatchObject({ _tag: "DataError", reason: "fetch", source: options.path })
          const zeros = hash("md5", new Uint8Array(bytes))
          expect(error.message).toBe(
            `${options.path}: could not be fetched (${[
              `${urls[0]}: the server answered 404`,
              `${urls[1]}: its md5 is ${zeros}, not ${options.md5}`,
              `${urls[2]}: it is 99999 bytes there, not 100000`,
              `${urls[3]}: the server answered 500`
            ].join("; ")}): try again later, or put the file there yourself`
          )
          expect(yield* names(path)).toEqual([])
          // what is refused is not asked for again, what has trouble is
          expect(bad.asked.map(({ url }) => url)).toEqual(
            ["missing", "wrong", "short", ...Array(3).fill("broken")].map((name) => `/${name}`)
          )
          yield* Download.fetch({ ...options, urls: ["no address", ...urls, good.url] })
          yield* whole(path)
        })
      )

      it.effect("does not read what is longer than the file", () =>
        Effect.gen(function* () {
          let sent = 0
          const { url } = yield* serve((_, response) => {
            response.writeHead(200)
            const more = (): void => {
              if (response.destroyed) return
              sent += content.length
              response.write(content, more)
            }
            more()
          })
          const path = yield* folder
          const error = yield* Effect.flip(
            Download.fetch({ urls: url, path: `${path}/file`, bytes, sha256, ...quick })
          )
          expect(error.message).toMatch(/more came than its 100000 bytes/)
          expect(sent).toBeLessThan(2e8)
          expect(yield* names(path)).toEqual([])
        })
      )

      it.effect("gives up on servers that always break, whatever they answer", () =>
        Effect.gen(function* () {
          const handlers: ReadonlyArray<Handler> = [
            // half of it, and then no more
            (request, response) => answer(request, response, { upto: 50_000 }),
            // half of it, whatever was asked
            (request, response) => {
              request.headers.range = undefined
              answer(request, response, { upto: 50_000 })
            },
            // half of it, and then nonsense about the rest
            (request, response) =>
              startOf(request) > 0
                ? response.writeHead(206, { "content-range": "bytes 7-9/10" }).end("abc")
                : answer(request, response, { upto: 50_000 }),
            // the wrong file in two halves
            (request, response) =>
              answer(request, response, {
                body: new Uint8Array(bytes),
                upto: startOf(request) > 0 ? bytes : 50_000
              })
          ]
          for (const handler of handlers) {
            const { url } = yield* serve(handler)
            const path = yield* folder
            const error = yield* Effect.flip(
              Download.fetch({ urls: url, path: `${path}/file`, bytes, sha256, ...quick })
            )
            expect(error).toMatchObject({ reason: "fetch" })
            expect(yield* names(path)).not.toContain("file")
          }
        })
      )

      it.effect("does not wait for ever", () =>
        Effect.gen(function* () {
          const { url } = yield* serve((request, response, nth) => {
            if (nth === 0) return
            if (nth > 1) return answer(request, response)
            response.writeHead(200, { "content-length": bytes })
            response.write(content.subarray(0, 1000))
          })
          const path = yield* folder
          const options = { urls: url, path: `${path}/file`, sha256, ...quick, patience: 150 }
          const events = yield* Stream.runCollect(Download.events(options))
          yield* whole(path)
          expect(events.flatMap((event) => (event._tag === "Failed" ? [event.why] : []))).toEqual([
            "no answer came within 150ms",
            "nothing more came within 150ms"
          ])
        })
      )

      it.effect("leaves what it has when it is interrupted, and goes on later", () =>
        Effect.gen(function* () {
          const { url, asked } = yield* serve((request, response, nth) => {
            if (nth > 0) return answer(request, response)
            response.writeHead(200, { "content-length": bytes })
            response.write(content.subarray(0, 60_000))
          })
          const path = yield* folder
          const options = { urls: url, path: `${path}/file`, bytes, sha256, ...quick }
          const seen = yield* Download.events(options).pipe(
            Stream.takeUntil((event) => event._tag === "Received" && event.received === 60_000),
            Stream.runCollect
          )
          expect(seen.length).toBeGreaterThan(1)
          expect(yield* names(path)).toEqual(["file.part"])
          yield* Download.fetch(options)
          yield* whole(path)
          expect(asked.map(({ range }) => range)).toEqual([undefined, "bytes=60000-"])
        })
      )
    }
  )
}

layer(Layer.merge(NodeServices.layer, FetchHttpClient.layer), { excludeTestServices: true })(
  "download to a disk",
  (it) => {
    it.effect("replaces a wrong file when the right one is there, and not before", () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const { url } = yield* serve((request, response, nth) =>
          nth === 0 ? response.writeHead(404).end() : answer(request, response)
        )
        const path = yield* folder
        yield* files.writeFileString(`${path}/file`, "old")
        const options = { urls: url, path: `${path}/file`, sha256, ...quick }
        yield* Effect.flip(Download.fetch(options))
        expect(yield* files.readFileString(`${path}/file`)).toBe("old")
        yield* Download.fetch({ ...options, sha256: sha256.toUpperCase() })
        expect(new Uint8Array(yield* files.readFile(`${path}/file`))).toEqual(content)
      })
    )

    it.effect("says so where it is full, and keeps what there was room for", () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const { url } = yield* serve((request, response) => answer(request, response))
        const path = yield* folder
        let room = 50_000
        const full = systemError({
          _tag: "Unknown",
          module: "FileSystem",
          method: "writeAll",
          cause: Object.assign(new Error("ENOSPC"), { code: "ENOSPC" })
        })
        const small: FileSystem.FileSystem = {
          ...files,
          open: (name, options) =>
            Effect.map(files.open(name, options), (file) =>
              Object.assign(Object.create(file), {
                writeAll: (chunk: Uint8Array) => {
                  room -= chunk.length
                  return room < 0 ? Effect.fail(full) : file.writeAll(chunk)
                }
              })
            )
        }
        const options = { urls: url, path: `${path}/file`, bytes, sha256, ...quick }
        const error = yield* Download.fetch(options).pipe(
          Effect.provideService(FileSystem.FileSystem, small),
          Effect.flip
        )
        expect(error).toMatchObject({ _tag: "FileError", reason: "full" })
        expect(error.message).toMatch(/no space left on the device/)
        expect(yield* files.readDirectory(path)).toEqual(["file.part"])
        yield* Download.fetch(options)
        expect(new Uint8Array(yield* files.readFile(`${path}/file`))).toEqual(content)
      })
    )

    it.effect("says so where it cannot be written, or what was asked is nonsense", () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const { url } = yield* serve((request, response) => answer(request, response))
        const path = yield* folder
        yield* files.writeFileString(`${path}/file`, "a file")
        const flipped = (options: Partial<Download.Options>) =>
          Effect.flip(
            Download.fetch({
              urls: url,
              path: `${path}/new`,
              sha256,
              ...quick,
              ...options
            } as never)
          )
        const inFile = yield* flipped({ path: `${path}/file/new` })
        expect(inFile).toMatchObject({ _tag: "FileError", reason: "kind" })
        expect(yield* flipped({ path })).toMatchObject({ _tag: "FileError", reason: "kind" })
        expect(yield* flipped({ sha256: "abc" })).toMatchObject({ reason: "options" })
        expect(yield* flipped({ urls: [] })).toMatchObject({ reason: "options" })
        const nobody = yield* flipped({ urls: "http://127.0.0.1:1/" })
        expect(nobody.message).toMatch(/the connection failed: .*ECONNREFUSED|bad port/)
      })
    )

    it.effect("stops at once when its fiber is interrupted", () =>
      Effect.gen(function* () {
        const { url } = yield* serve(() => {})
        const path = yield* folder
        const fiber = yield* Effect.forkChild(
          Download.fetch({ urls: url, path: `${path}/file`, sha256 })
        )
        yield* Effect.sleep(50)
        const before = performance.now()
        yield* Fiber.interrupt(fiber)
        expect(performance.now() - before).toBeLessThan(1000)
      })
    )
  }
)
