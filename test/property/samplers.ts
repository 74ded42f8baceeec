/** The samplers of the library, and what they claim. */
import {
  Consistency,
  Ddim,
  Ddpm,
  Deis,
  Dpm,
  Dpm2,
  Euler,
  Heun,
  Lms,
  Ode,
  Pndm,
  PredictorCorrector,
  SaSolver,
  Sde,
  UniPc
} from "../../src/Diffusion/index.ts"
import type { SamplerLaws } from "../../src/Laws/index.ts"
import { Tableau } from "../../src/Solver/index.ts"
import { Random } from "../../src/Tensor/index.ts"

type Subject = SamplerLaws.Subject & { readonly name: string }

const solvers: ReadonlyArray<Subject> = [
  { name: "Ddim.make", sampler: Ddim.make(), order: 1 },
  { name: "Euler.make", sampler: Euler.make(), order: 1 },
  ...(["preserving", "exploding", "flow"] as const).map((each) => ({
    name: `Heun.make, ${each}`,
    sampler: Heun.make(),
    order: 2,
    coordinates: [each]
  })),
  { name: "Dpm2.make", sampler: Dpm2.make(), order: 2 },
  { name: "Lms.make, order 1", sampler: Lms.make({ order: 1 }), order: 1 },
  { name: "Lms.make, order 2", sampler: Lms.make({ order: 2 }), order: 2 },
  // at first of lower orders, so that theirs shows with more steps only
  { name: "Lms.make", sampler: Lms.make() },
  { name: "Pndm.make", sampler: Pndm.make(), order: 2 },
  { name: "Pndm.make, multistep", sampler: Pndm.make({ warmUp: "multistep" }), order: 2 },
  { name: "Pndm.improved", sampler: Pndm.improved(), order: 2 },
  { name: "Deis.make, order 1", sampler: Deis.make({ order: 1 }), order: 1 },
  { name: "Deis.make", sampler: Deis.make({ lowerOrderFinal: false }), order: 2 },
  {
    name: "Deis.make, order 3",
    sampler: Deis.make({ order: 3, lowerOrderFinal: false }),
    order: 2
  },
  ...([1, 2, 3] as const).flatMap((order) =>
    (["dpmsolver", "dpmsolver++"] as const).flatMap(
      (algorithm): ReadonlyArray<Subject> => [
        {
          name: `Dpm.multistep, ${algorithm}, order ${order}`,
          sampler: Dpm.multistep({ order, algorithm, solver: "exact", lowerOrderFinal: false }),
          order: Math.min(order, 2)
        },
        {
          name: `Dpm.singlestep, ${algorithm}, order ${order}`,
          sampler: Dpm.singlestep({ order, algorithm }),
          // of order 3 steps that blocks do not fill are of others
          ...(order < 3 ? { order } : {})
        },
        {
          name: `Dpm.solver, ${algorithm}, order ${order}`,
          sampler: Dpm.solver({ order, algorithm }),
          order
        }
      ]
    )
  ),
  { name: "Dpm.dpmpp2m", sampler: Dpm.dpmpp2m(), order: 2 },
  { name: "Dpm.fast", sampler: Dpm.fast(), toData: false },
  ...([1, 2, 3] as const).map((order) => ({
    name: `UniPc.make, order ${order}`,
    sampler: UniPc.make({ order, lowerOrderFinal: false }),
    // those of order 3 begin with steps of lower orders, which their error does not show yet
    ...(order < 3 ? { order: order + 1 } : {})
  })),
  {
    name: "SaSolver.make, without noise",
    sampler: SaSolver.make({ tau: () => 0, lowerOrderFinal: false }),
    order: 2
  },
  { name: "Ode.make", sampler: Ode.make(), order: 2 },
  {
    name: "Ode.make, RK4 in log-SNR",
    sampler: Ode.make({ method: Tableau.rk4, variable: "logSnr" }),
    order: 4
  }
]

const stochastic: ReadonlyArray<Subject> = [
  { name: "Ddpm.make", sampler: Ddpm.make() },
  {
    name: "Ddpm.make, large",
    sampler: Ddpm.make({ variance: "large" }),
    coordinates: ["preserving"]
  },
  { name: "Ddim.make, η = 0.5", sampler: Ddim.make({ eta: 0.5 }) },
  { name: "Ddim.make, η = 1", sampler: Ddim.make({ eta: 1 }) },
  { name: "Euler.make, churn", sampler: Euler.make({ churn: 10 }) },
  { name: "Euler.ancestral", sampler: Euler.ancestral() },
  { name: "Euler.ancestralFlow", sampler: Euler.ancestralFlow(), coordinates: ["flow"] },
  { name: "Heun.make, churn", sampler: Heun.make({ churn: 10 }), coordinates: ["exploding"] },
  { name: "Dpm2.make, churn", sampler: Dpm2.make({ churn: 10 }) },
  { name: "Dpm2.ancestral", sampler: Dpm2.ancestral() },
  {
    name: "Dpm.multistep, sde-dpmsolver++",
    sampler: Dpm.multistep({ algorithm: "sde-dpmsolver++" })
  },
  {
    name: "Dpm.multistep, sde-dpmsolver",
    sampler: Dpm.multistep({ algorithm: "sde-dpmsolver" }),
    toData: false
  },
  { name: "Dpm.dpmpp2mSde", sampler: Dpm.dpmpp2mSde() },
  { name: "Dpm.dpmpp3mSde", sampler: Dpm.dpmpp3mSde() },
  { name: "Dpm.dpmpp2sAncestral", sampler: Dpm.dpmpp2sAncestral() },
  { name: "Dpm.dpmppSde", sampler: Dpm.dpmppSde() },
  { name: "SaSolver.make", sampler: SaSolver.make({ tau: () => 1 }) },
  { name: "Sde.make", sampler: Sde.make({ key: Random.key(7), depth: 9 }), keyed: true },
  {
    name: "PredictorCorrector.make",
    sampler: PredictorCorrector.make({ predictor: Ddpm.make(), snr: 0.05 })
  },
  // from one estimate to the next, which is right for networks that are distilled for it
  { name: "Consistency.make", sampler: Consistency.make(), faithful: false },
  {
    name: "Consistency.latent",
    sampler: Consistency.latent(),
    faithful: false,
    coordinates: ["preserving"]
  },
  {
    name: "Consistency.trajectory",
    sampler: Consistency.trajectory({ fractional: true }),
    faithful: false
  }
]

export const instances: ReadonlyArray<Subject> = [...solvers, ...stochastic]

/** Those that are looked at in every test run: of each kind one. */
export const few = instances.filter(({ name }) =>
  [
    "Ddim.make",
    "Heun.make, exploding",
    "Dpm.multistep, dpmsolver++, order 2",
    "UniPc.make, order 2",
    "Ddpm.make",
    "Euler.ancestral"
  ].includes(name)
)
