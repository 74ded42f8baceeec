/**
 * The denoising experiment: noise is laid over clean images, and models take it away by a sampler's steps.
 *
 * For an image x₀ with values from −1 to 1, and a level ε of noise beside a range of 1 from black to white,
 *
 *     y = x₀ + 2ε·n,  n ~ N(0, 1)
 *
 * so that y alone has a PSNR of −20 log₁₀ ε, up to chance: 20 dB for ε = 0.1. To a model y is a state of its schedule: at the time where
 * σ/α = 2ε the state is α·y. From that time on the sampler makes n steps of equal time down to 0. After each of them there are two images
 * that one could stop with, and both are measured:
 *
 * - `state`: x/α, which still holds the noise of the level arrived at; what is left of it falls to nothing with the last step
 * - `estimate`: the clean image as the denoiser saw it in this step
 *
 * The estimate of the first step is the mean of all images that could be behind y, which no other image beats in PSNR if the denoiser is
 * right; later ones are sharper and farther. Where along the chain one had best stop is the experiment's question (Calvo-Ordoñez et al.
 * 2024, arXiv:2310.20092). A sampler stops there by `Plan.until`, or by a criterion of its own with `Sampler.sampleUntil`.
 *
 * Beside the models stand two that nothing was learnt for: the noisy image itself, and Gaussian blur with the deviation that is the best
 * for these very images, which flatters it.
 *
 * ```ts
 * const { result } = yield* Denoise.run([Denoise.ofModel("cunet", model)], { data: test, levels: [0.1, 0.2], steps: [1, 10] })
 * console.log(Denoise.show(result))
 * ```
 *
 * @since 0.1.0
 */
export * from "./denoise/experiment.ts"
export * from "./denoise/findings.ts"
export * from "./denoise/images.ts"
export * from "./denoise/showing.ts"
