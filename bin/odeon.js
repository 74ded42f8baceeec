#!/usr/bin/env node
// Plain JavaScript: it must run on the versions of Node that it refuses.
await import("../scripts/node-version.js")
// In a checkout the sources run as they are; Node refuses to do that in an installed package, which has them built.
const installed = /[\\/]node_modules[\\/]/.test(import.meta.url)
await import(installed ? "../dist/cli/main.js" : "../src/cli/main.ts")
