/**
 * Files from the web: whole and right, or not there.
 *
 * What comes is written beside its place, to `<path>.part`, compared with its checksum, and only then given its name. What is interrupted
 * goes on where it was, by a request for the rest (RFC 9110, ranges), in the same run or a later one; the checksum tells if the parts
 * did not belong together. Several addresses of the same file are tried one after the other.
 *
 * Any `HttpClient` serves, such as `FetchHttpClient.layer` of `effect/http`.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Files from "./Files.ts"
import { dataError } from "./internal/data.ts"
import type { DataError, FileError } from "./PipelineError.ts"

/**
 * What a file's bytes hash to, in hexadecimal digits.
 *
 * @since 0.1.0
 * @category models
 */
export type Checksum = { readonly sha256: string } | { readonly md5: string }

/**
 * - `urls`: where the file is, the first to be tried first
 * - `path`: where it is to be
 * - `bytes`: how long it is, if known; what is longer is not read to its end
 * - `attempts`: how often in a row an address may fail without a byte more, or spoil what came before; 5 unless told
 * - `backoff`: how long to wait after the first failure, twice as long after the next, up to half a minute; half a second unless told
 * - `patience`: how long to wait for an answer or for more of it; half a minute unless told
 *
 * @since 0.1.0
 * @category models
 */
export type Options = {
  readonly urls: string | ReadonlyArray<string>
  readonly path: string
  readonly bytes?: number | undefined
  readonly attempts?: number | undefined
  readonly backoff?: Duration.Input | undefined
  readonly patience?: Duration.Input | undefined
} & Checksum

/**
 * What happens to a file.
 *
 * - `Started`: an address answers, and `received` bytes are there from before
 * - `Received`: so many bytes are there now, of `total` if it is known
 * - `Failed`: an address did not do, and what comes next: the same again after a `delay`, in milliseconds, or another, or none
 * - `Finished`: the file is there and right; `fetched` unless it was before
 *
 * @since 0.1.0
 * @category models
 */
export type Event = { readonly path: string } & (
  | {
      readonly _tag: "Started"
      readonly url: string
      readonly received: number
      readonly total: number | undefined
    }
  | { readonly _tag: "Received"; readonly received: number; readonly total: number | undefined }
  | {
      readonly _tag: "Failed"
      readonly url: string
      readonly why: string
      readonly delay: number | undefined
    }
  | { readonly _tag: "Finished"; readonly bytes: number; readonly fetched: boolean }
)

/** Why an address did not do: whether to try it again, and whether what is there of the file is of no use. */
interface Trouble {
  readonly _tag: "Trouble"
  readonly why: string
  readonly again: boolean
  readonly spoiled: boolean
}

const trouble = (why: string, again: boolean, spoiled = false): Effect.Effect<never, Trouble> =>
  Effect.fail({ _tag: "Trouble", why, again, spoiled })

/** What lies at the bottom of an error: "fetch failed" tells nothing. */
const bottomOf = (error: unknown): string => {
  let last = error as {
    readonly message?: string
    readonly code?: string
    readonly cause?: unknown
  }
  while (last.cause instanceof Error) last = last.cause
  return last.message || last.code || String(last)
}

const ofHttp = (error: HttpClientError): Effect.Effect<never, Trouble> =>
  error.reason._tag === "InvalidUrlError"
    ? trouble("it is no address", false)
    : trouble(`the connection failed: ${bottomOf(error)}`, true)

const longestDelay = 30_000

/** Whether an answer may be another when it is asked for again. */
const passes = (status: number) => status >= 500 || status === 408 || status === 429

type Services = HttpClient.HttpClient | FileSystem.FileSystem | Path.Path

const run = Effect.fnUntraced(function* (
  options: Options,
  tell: (event: Event) => Effect.Effect<unknown>
): Effect.fn.Return<Extract<Event, { _tag: "Finished" }>, DataError | FileError, Services> {
  const { path, bytes, attempts = 5 } = options
  const urls = typeof options.urls === "string" ? [options.urls] : options.urls
  const patience = Duration.fromInputUnsafe(options.patience ?? "30 seconds")
  const backoff = Duration.toMillis(Duration.fromInputUnsafe(options.backoff ?? 500))
  const [algorithm, wanted] =
    "sha256" in options
      ? (["sha256", options.sha256.toLowerCase()] as const)
      : (["md5", options.md5.toLowerCase()] as const)
  if (!(algorithm === "sha256" ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{32}$/).test(wanted)) {
    return yield* dataError(path, "options", `"${wanted}" is no checksum by ${algorithm}`)
  }
  if (urls.length === 0) {
    return yield* dataError(path, "options", "there must be an address to fetch it from")
  }
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const client = (yield* HttpClient.HttpClient).pipe(
    HttpClient.followRedirects(10),
    HttpClient.withScope
  )
  const part = `${path}.part`
  const at =
    (doing: string, where: string) =>
    <A, R>(effect: Effect.Effect<A, PlatformError, R>): Effect.Effect<A, FileError, R> =>
      Effect.mapError(effect, (error) => Files.errorOf(doing, where, error))

  const sizeOf = (file: string) =>
    files.stat(file).pipe(
      Effect.map(({ size }) => Number(size)),
      Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed(undefined)),
      at("cannot read", file)
    )
  const checksumOf = Effect.fnUntraced(function* (file: string) {
    const sum = Crypto.createHash(algorithm)
    yield* Stream.runForEach(files.stream(file), (chunk) => Effect.sync(() => sum.update(chunk)))
    return sum.digest("hex")
  })
  const remove = at("cannot remove", part)(files.remove(part, { force: true }))

  const there = yield* sizeOf(path)
  if (there !== undefined && (yield* at("cannot read", path)(checksumOf(path))) === wanted) {
    yield* remove
    const finished = { _tag: "Finished", path, bytes: there, fetched: false } as const
    yield* tell(finished)
    return finished
  }
  yield* Files.makeFolder(paths.dirname(path))

  /** What an address said that tells its versions apart. */
  const validators = new Map<string, string>()
  /** Whether what is there of the file came in one answer. */
  let one = false

  /** Gets what is missing, or some of it. */
  const attempt = Effect.fnUntraced(function* (
    url: string
  ): Effect.fn.Return<void, Trouble | FileError, Scope.Scope> {
    const have = (yield* sizeOf(part)) ?? 0
    if (have > 0 && have === bytes) return
    if (bytes !== undefined && have > bytes) {
      return yield* trouble("what was there before is longer than the file", true, true)
    }
    const validator = validators.get(url)
    const response = yield* client
      .execute(
        HttpClientRequest.get(url, {
          headers: {
            // bytes are counted and hashed as they are in the file
            "accept-encoding": "identity",
            ...(have > 0 && { range: `bytes=${have}-` }),
            ...(have > 0 && validator !== undefined && { "if-range": validator })
          }
        })
      )
      .pipe(
        Effect.catch(ofHttp),
        Effect.timeoutOrElse({
          duration: patience,
          orElse: () => trouble(`no answer came within ${Duration.format(patience)}`, true)
        })
      )
    const { status, headers } = response
    const encoded = (headers["content-encoding"] ?? "identity") !== "identity"
    const [, first, of] =
      /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(headers["content-range"] ?? "") ?? []
    // all of it may be there already, where its length is not known
    if (status === 416 && bytes === undefined && Number(of) === have) return
    if (status === 416 || (status === 206 && (Number(first) !== have || encoded))) {
      return yield* trouble("the server has no rest to what is there", true, true)
    }
    if (status !== 200 && status !== 206) {
      return yield* trouble(`the server answered ${status}`, passes(status))
    }
    const said = status === 206 ? of : encoded ? undefined : headers["content-length"]
    const length = said !== undefined && /^\d+$/.test(said) ? Number(said) : undefined
    if (bytes !== undefined && length !== undefined && length !== bytes) {
      return yield* trouble(`it is ${length} bytes there, not ${bytes}`, false)
    }
    const version = headers.etag?.startsWith('"') ? headers.etag : headers["last-modified"]
    if (version === undefined) validators.delete(url)
    else validators.set(url, version)
    one = status === 200
    const total = bytes ?? length
    let received = status === 206 ? have : 0
    yield* tell({ _tag: "Started", path, url, received, total })
    const writing = at("cannot write", part)
    const file = yield* writing(files.open(part, { flag: status === 206 ? "a" : "w" }))
    yield* response.stream.pipe(
      Stream.catch((error) => Stream.fromEffect(ofHttp(error))),
      Stream.timeoutOrElse({
        duration: patience,
        orElse: () =>
          Stream.fromEffect(trouble(`nothing more came within ${Duration.format(patience)}`, true))
      }),
      Stream.runForEach((chunk) =>
        Effect.gen(function* () {
          received += chunk.length
          if (total !== undefined && received > total) {
            return yield* trouble(`more came than its ${total} bytes`, false, true)
          }
          yield* writing(file.writeAll(chunk))
          yield* tell({ _tag: "Received", path, received, total })
        })
      )
    )
    yield* writing(file.sync)
    if (total !== undefined && received < total) {
      return yield* trouble(`the connection ended after ${received} of ${total} bytes`, true)
    }
  })

  const refused: Array<string> = []
  for (const url of urls) {
    let failures = 0
    let spoils = 0
    for (;;) {
      const before = (yield* sizeOf(part)) ?? 0
      const problem = yield* Effect.scoped(attempt(url)).pipe(
        Effect.as(undefined),
        Effect.catchTag("Trouble", Effect.succeed)
      )
      let { why, again, spoiled } = problem ?? { why: "", again: false, spoiled: true }
      const now = (yield* sizeOf(part)) ?? 0
      if (problem === undefined) {
        const sum = yield* at("cannot read", part)(checksumOf(part))
        if (sum === wanted) {
          yield* at("cannot write", path)(files.rename(part, path))
          const finished = { _tag: "Finished", path, bytes: now, fetched: true } as const
          yield* tell(finished)
          return finished
        }
        why = `its ${algorithm} is ${sum}, not ${wanted}`
        // the parts may have been of different versions
        again = !one
      }
      if (spoiled) {
        yield* remove
        spoils++
      }
      failures = now > before && !spoiled ? 1 : failures + 1
      again &&= failures < attempts && spoils < attempts
      const delay = again ? Math.min(longestDelay, backoff * 2 ** (failures - 1)) : undefined
      yield* tell({ _tag: "Failed", path, url, why, delay })
      if (delay === undefined) {
        refused.push(`${url}: ${why}`)
        break
      }
      yield* Effect.sleep(delay)
    }
  }
  return yield* dataError(
    path,
    "fetch",
    `could not be fetched (${refused.join("; ")}): try again later, or put the file there yourself`
  )
})

/**
 * Fetches a file, unless it is there and right, and tells what happens by the way. What is at its place but wrong is replaced once the
 * right one has come.
 *
 * Fails with `DataError` of reason `fetch` where no address has what the checksum asks for, with what each of them said, and `options` for
 * a checksum that is none; with `FileError` where it cannot be written, such as for want of space. Whatever happens, also by interruption,
 * there is nothing by its name but what was before. Of two that fetch to the same path at the same time, one or both fail.
 *
 * ```ts
 * const { bytes } = yield* Download.fetch({
 *   urls: ["https://a.example/digits.gz", "https://b.example/digits.gz"],
 *   path: "data/digits.gz",
 *   sha256: "9a0c…"
 * })
 * ```
 *
 * @since 0.1.0
 * @category effects
 */
export const fetch: (
  options: Options & { readonly onEvent?: ((event: Event) => Effect.Effect<unknown>) | undefined }
) => Effect.Effect<Extract<Event, { _tag: "Finished" }>, DataError | FileError, Services> =
  Effect.fn("Download.fetch")((options) => run(options, options.onEvent ?? (() => Effect.void)))

/**
 * {@link fetch} as the stream of what happens: it ends after `Finished`, or with the error, and stops fetching when nobody listens any
 * more.
 *
 * ```ts
 * yield* Download.events({ urls, path, sha256 }).pipe(
 *   Stream.runForEach((event) => Console.log(event))
 * )
 * ```
 *
 * @since 0.1.0
 * @category streams
 */
export const events = (options: Options): Stream.Stream<Event, DataError | FileError, Services> =>
  Stream.callback<Event, DataError | FileError, Services>(
    (queue) =>
      Effect.andThen(
        run(options, (event) => Queue.offer(queue, event)),
        Queue.end(queue)
      ),
    { bufferSize: 16, strategy: "suspend" }
  )
