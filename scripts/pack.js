// Before packing, `clean` takes out of package.json what serves only the repository: the Node that
// `npm ci` brings along would be installed with every program that uses Odeon. `restore` undoes it.
import * as fs from "node:fs"

const file = new URL("../package.json", import.meta.url)
const saved = new URL("../node_modules/.cache/package.json", import.meta.url)

switch (process.argv[2]) {
  case "clean": {
    fs.mkdirSync(new URL("./", saved), { recursive: true })
    fs.copyFileSync(file, saved)
    const { scripts, devDependencies, optionalDependencies, allowScripts, ...published } =
      JSON.parse(fs.readFileSync(file, "utf8"))
    fs.writeFileSync(file, `${JSON.stringify(published, undefined, 2)}\n`)
    break
  }
  case "restore":
    fs.renameSync(saved, file)
    break
}
