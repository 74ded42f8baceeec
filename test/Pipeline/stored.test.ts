/** Places of files. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stored from "../../src/Pipeline/internal/stored.ts"

layer(NodeServices.layer)("a place of a file", (it) => {
  it.effect("is read whole, or refused before anything is reserved for it", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const path = `${yield* files.makeTempDirectoryScoped()}/file`
      yield* files.writeFileString(path, "0123456789")
      const { size, read } = yield* Stored.open(files, path)
      expect(size).toBe(10)
      expect(new TextDecoder().decode(yield* read({ start: 3, length: 7 }))).toBe("3456789")
      expect((yield* read({ start: 10, length: 0 })).length).toBe(0)
      for (const [start, length] of [
        [4, 7],
        [10, 1],
        [0, 2 ** 50]
      ]) {
        const error = yield* Effect.flip(read({ start, length }))
        expect(error).toMatchObject({ _tag: "DataError", reason: "format", source: path })
        expect(error.message).toBe(
          `${path}: it ends at byte 10, where ${start + length - 10} more should be: it is cut short, or was changed meanwhile`
        )
      }
    }).pipe(Effect.scoped)
  )
})
