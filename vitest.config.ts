import * as Os from "node:os"
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/seed.ts"],
    // Processes rather than threads: native code that aborts must not take every test along.
    pool: "forks",
    maxWorkers: Os.availableParallelism(),
    // A worker runs many files, so that it loads Effect and ONNX Runtime once: seconds instead of
    // minutes. A test must leave the process (environment variables, globals) as it found it.
    isolate: false,
    // As many processes as there are cores: threads of theirs would wait for each other.
    env: { ODEON_THREADS: "1" },
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
