// Plain JavaScript: it must run on the versions of Node that it refuses.
const [major, minor] = process.versions.node.split(".").map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  console.error(
    `Odeon needs Node 22.19 or newer, and this is ${process.versions.node}.\n` +
      "On Linux `npm ci` brings one, which `npm run` and `npx` use; elsewhere install it first."
  )
  process.exit(1)
}
