/** The names that torch_peer.py has for our parameters. */

const residual = (path: string): string =>
  path
    .replace("conv_shortcut", "skip")
    .replace("time_emb_proj", "mlp.1")
    .replace("conv", "c")
    .replace("norm", "n")

/** Linear attention has a norm at its end, so that its last convolution is the first of two there. */
const attention = (path: string, linear: boolean): string =>
  path
    .replace(/^norm_out\.weight$/, "out.1.g")
    .replace(/^norm\.weight$/, "norm.g")
    .replace(/^out\.(?=weight|bias)/, linear ? "out.0." : "out.")

/** Of the U-Net: our layout `lucidrains`. */
export const unetNames = (paths: ReadonlyArray<string>): ReadonlyMap<string, string> => {
  const known = new Set(paths)
  return new Map(
    paths.map((path) => {
      const [, above, part, below] =
        /^((?:down|up)\.\d+|middle)\.(blocks\.\d+|attention\.0|sample)\.(.+)$/.exec(path) ?? []
      const place = above?.replace("middle", "mid")
      if (below === undefined) {
        const top = path
          .replace("time_embedding.linear_1", "time.0")
          .replace("time_embedding.linear_2", "time.2")
          .replace(/^last\.(.*)$/, (_, rest) => `final.${residual(rest)}`)
        return [path, top]
      }
      if (part === "sample") return [path, `${place}.3.${below.replace("conv", "1")}`]
      if (part === "attention.0") {
        const linear = known.has(`${above}.${part}.norm_out.weight`)
        return [path, `${place}.${place === "mid" ? 1 : 2}.${attention(below, linear)}`]
      }
      const index = Number(part.slice("blocks.".length))
      return [path, `${place}.${place === "mid" ? 2 * index : index}.${residual(below)}`]
    })
  )
}

/** Of the continuous U-Net: our `cunet-public`. */
export const cunetNames = (paths: ReadonlyArray<string>): ReadonlyMap<string, string> =>
  new Map(
    paths.map((path) => [
      path,
      path
        .replace(/^time_table$/, "table")
        .replace(/^stem\.conv/, "s")
        .replace(/^(down|up)\.(\d+)\.block\.derivative\.conv/, "$1.$2.f.c")
        .replace(/^middle\.derivative\.conv/, "mid.f.c")
        .replace(/^down\.(\d+)\.proj/, "proj.$1")
        .replace(/^up\.(\d+)\.join/, "join.$1")
        .replace(/^(down|up)\.\d+\.attention\.0\.(.*)$/, (_, way, rest) => {
          return `${way === "down" ? "a1" : "a2"}.${attention(rest, false)}`
        })
    ])
  )
