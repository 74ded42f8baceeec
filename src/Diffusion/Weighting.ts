/**
 * How much an error counts at each level of noise: functions of the log-SNR λ = log α²/σ².
 *
 * All networks estimate the data x₀, whatever they predict, and an error in one prediction is an error in another times a factor that
 * depends on λ alone. With SNR = e^λ, squared errors are
 *
 *     ‖ε̂ − ε‖² = SNR·‖x̂₀ − x₀‖²                 noise
 *     ‖v̂ − v‖² = (SNR + 1)·‖x̂₀ − x₀‖²           v
 *     ‖û − u‖² = (√SNR + 1)²·‖x̂₀ − x₀‖²         flow
 *     ‖F̂ − F‖² = (SNR + 1/s²)·‖x̂₀ − x₀‖²        edm, with the data's deviation s
 *
 * So a weighting is one function, the weight w(λ) of ‖x̂₀ − x₀‖²; the loss of a network that predicts something else is weighted by w
 * over its factor, and its gradient is the same whatever it predicts:
 *
 * | weighting        | w(λ), of x₀        | of ε                | of v                  |                                          |
 * | ---------------- | ------------------ | ------------------- | --------------------- | ---------------------------------------- |
 * | `simple`         | the factor         | 1                   | 1                     | Ho et al. 2020, arXiv:2006.11239         |
 * | `snr`            | SNR                | 1                   | SNR/(SNR + 1)         | Salimans and Ho 2022, arXiv:2202.00512   |
 * | `snrPlusOne`     | SNR + 1            | 1 + 1/SNR           | 1                     | the same                                 |
 * | `truncatedSnr`   | max(SNR, 1)        | max(1, 1/SNR)       | max(SNR, 1)/(SNR + 1) | the same                                 |
 * | `minSnr`         | min(SNR, γ)        | min(1, γ/SNR)       | min(SNR, γ)/(SNR + 1) | Hang et al. 2023, arXiv:2303.09556       |
 * | `softMinSnr`     | SNR·γ/(SNR + γ)    | γ/(SNR + γ)         | …                     | Crowson et al. 2024, arXiv:2401.11605    |
 * | `p2`             | SNR/(k + SNR)^γ    | 1/(k + SNR)^γ       | …                     | Choi et al. 2022, arXiv:2204.00227       |
 * | `sigmoid`        | e^b sigmoid(λ − b) | sigmoid(b − λ)      | …                     | Kingma and Gao 2023, arXiv:2303.00848    |
 * | `edm`            | SNR + 1/s²         | 1 + 1/(s² SNR)      | …                     | Karras et al. 2022, arXiv:2206.00364     |
 *
 * Some of these are one: `softMinSnr` with γ is `sigmoid` with b = log γ, and `snr` is what trains a network for v with the weight
 * SNR/(SNR + 1). Weights are found as logarithms, for λ between −40 and 40; levels beyond, such as those without noise or without
 * signal, count as these.
 *
 * @since 0.1.0
 */
import type { Tensor } from "../Tensor/index.ts"
import type { Prediction } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import * as field from "./internal/field.ts"
import * as predictions from "./internal/prediction.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Weighting {
  readonly name: string
  /** log w(λ), w being the weight of ‖x̂₀ − x₀‖². Only `simple` looks at what the network predicts. */
  readonly log: <S>(of: field.Field<S>, logSnr: S, prediction: Prediction) => S
}

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────

/** log(e^a + e^b). */
const logSum = <S>(of: field.Field<S>, a: S, b: S): S => {
  const distance = of.abs(of.sub(a, b))
  return of.add(of.max(a, b), of.log(of.add(of.of(1), of.exp(of.sub(of.of(0), distance)))))
}

/** log of the squared error in a prediction over that in x₀. */
const factor = <S>(of: field.Field<S>, logSnr: S, prediction: Prediction): S => {
  predictions.require("Weighting", prediction)
  switch (prediction) {
    case "noise":
      return logSnr
    case "data":
      return of.mul(logSnr, of.of(0))
    case "v":
      return logSum(of, logSnr, of.of(0))
    case "flow":
      return of.mul(of.of(2), logSum(of, of.mul(logSnr, of.of(0.5)), of.of(0)))
    default:
      return logSum(of, logSnr, of.of(-2 * Math.log(prediction.deviation ?? 0.5)))
  }
}

const most = 40

const weight = <S>(
  of: field.Field<S>,
  { log }: Weighting,
  prediction: Prediction,
  logSnr: S
): S => {
  const within = of.min(of.max(logSnr, of.of(-most)), of.of(most))
  return of.exp(of.sub(log(of, within, prediction), factor(of, within, prediction)))
}

/**
 * The weight of the squared error in what a network predicts, at a log-SNR.
 *
 * ```ts
 * // min(SNR, 5)/SNR
 * Weighting.value(Weighting.minSnr(), "noise", Math.log(100)) // 0.05
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const value = (weighting: Weighting, prediction: Prediction, logSnr: number): number =>
  weight(field.host, weighting, prediction, logSnr)

/**
 * The weights of squared errors in what a network predicts, at log-SNRs of any shape, as a tensor of that shape.
 *
 * @since 0.1.0
 * @category getters
 */
export const values = <T extends Tensor.Any>(
  weighting: Weighting,
  prediction: Prediction,
  logSnr: T
): T => weight(field.like(logSnr), weighting, prediction, logSnr) as T

// ── Instances ────────────────────────────────────────────────────────────────────────────────────

/**
 * A weighting of one's own, from the logarithm of the weight of ‖x̂₀ − x₀‖² as a function of the log-SNR:
 *
 * ```ts
 * // √SNR
 * const mine = Weighting.make("root", (of, logSnr) => of.mul(logSnr, of.of(0.5)))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (name: string, log: Weighting["log"]): Weighting => ({ name, log })

/**
 * 1: the error in what the network predicts, as it is. The only weighting that differs from prediction to prediction.
 *
 * @since 0.1.0
 * @category instances
 */
export const simple: Weighting = make("simple", factor)

const nameOf = (prediction: Prediction): string =>
  typeof prediction === "object" ? prediction.kind : prediction

/**
 * As if another network were trained, one that predicts this, by its error as it is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const like = (prediction: Prediction, name = `like ${nameOf(prediction)}`): Weighting =>
  make(name, (of, logSnr) => factor(of, logSnr, prediction))

/**
 * w = SNR: the error in the noise, DDPM's L_simple, whatever the network predicts. Of v it is SNR/(SNR + 1).
 *
 * @since 0.1.0
 * @category instances
 */
export const snr: Weighting = like("noise", "SNR")

/**
 * w = SNR + 1: the error in v, whatever the network predicts.
 *
 * @since 0.1.0
 * @category instances
 */
export const snrPlusOne: Weighting = like("v", "SNR + 1")

/**
 * w = max(SNR, 1) (Salimans and Ho 2022, section 4).
 *
 * @since 0.1.0
 * @category instances
 */
export const truncatedSnr: Weighting = make("truncated SNR", (of, logSnr) =>
  of.max(logSnr, of.of(0))
)

const requirePositive = (what: string, options: Readonly<Record<string, number>>): void => {
  for (const [name, each] of Object.entries(options)) {
    demand(
      each > 0 && Number.isFinite(each),
      what,
      "options",
      `\`${name}\` must be a number above 0, not ${each}`
    )
  }
}

/**
 * w = min(SNR, γ), γ being 5 unless told (Hang et al. 2023).
 *
 * @since 0.1.0
 * @category instances
 */
export const minSnr = (options: { readonly gamma?: number } = {}): Weighting => {
  const { gamma = 5 } = options
  requirePositive("Weighting.minSnr", { gamma })
  return make(`min-SNR-${gamma}`, (of, logSnr) => of.min(logSnr, of.of(Math.log(gamma))))
}

/**
 * w = SNR·γ/(SNR + γ), which bends where `minSnr` has a corner; γ is 4 unless told, 1/s² of data with the deviation ½ (Crowson et al.
 * 2024).
 *
 * @since 0.1.0
 * @category instances
 */
export const softMinSnr = (options: { readonly gamma?: number } = {}): Weighting => {
  const { gamma = 4 } = options
  requirePositive("Weighting.softMinSnr", { gamma })
  return make(`soft-min-SNR-${gamma}`, sigmoid({ bias: Math.log(gamma) }).log)
}

/**
 * w = SNR/(k + SNR)^γ, k and γ being 1 unless told (Choi et al. 2022).
 *
 * @since 0.1.0
 * @category instances
 */
export const p2 = (options: { readonly k?: number; readonly gamma?: number } = {}): Weighting => {
  const { k = 1, gamma = 1 } = options
  requirePositive("Weighting.p2", { k })
  demand(gamma >= 0, "Weighting.p2", "options", `\`gamma\` must be at least 0, not ${gamma}`)
  return make("P2", (of, logSnr) =>
    of.sub(logSnr, of.mul(of.of(gamma), logSum(of, logSnr, of.of(Math.log(k)))))
  )
}

/**
 * sigmoid(b − λ) of the error in the noise, w = e^b·sigmoid(λ − b); b is 2 unless told (Kingma and Gao 2023; Hoogeboom et
 * al. 2024, arXiv:2410.19324). Both papers mean it per log-SNR: see `measure` of `Objective.make`.
 *
 * @since 0.1.0
 * @category instances
 */
export const sigmoid = (options: { readonly bias?: number } = {}): Weighting => {
  const { bias = 2 } = options
  demand(
    Number.isFinite(bias),
    "Weighting.sigmoid",
    "options",
    `\`bias\` must be a finite number, not ${bias}`
  )
  return make("sigmoid", (of, logSnr) => {
    const minus = of.sub(of.of(0), logSnr)
    return of.sub(of.of(0), logSum(of, minus, of.of(-bias)))
  })
}

/**
 * w = (σ² + s²)/(σs)² with the data's deviation s, ½ unless told: 1 of what a network under EDM's preconditioning predicts (Karras et
 * al. 2022, table 1).
 *
 * @since 0.1.0
 * @category instances
 */
export const edm = (options: { readonly deviation?: number } = {}): Weighting => {
  const { deviation = 0.5 } = options
  requirePositive("Weighting.edm", { deviation })
  return like({ kind: "edm", deviation }, "EDM")
}
