/**
 * Random problems whose solutions are known in closed form.
 */
import { HostRandom } from "../../Tensor/index.ts"

/** States are flat; those of second order are all of x, and then all of v. */
export interface Problem {
  /** The call that makes it again. */
  readonly text: string
  readonly f: (t: number, y: Float64Array) => Float64Array
  readonly exact: (t: number) => Float64Array
  /** Either may be the earlier one. */
  readonly from: number
  readonly to: number
}

/** y' = f(t, y), x'' = f(t, x, v), or x'' = f(t, x). */
export type Form = "y' = f(t, y)" | "x'' = f(t, x, v)" | "x'' = f(t, x)"

/**
 * The first two do not depend on time explicitly, the third does and is not linear either. Of those that are steady errors do not
 * grow, so that they can be followed for long; how fast the solution moves changes.
 */
export type Kind = (typeof kinds)[number] | "steady"

export const kinds = ["linear", "nonlinear", "non-autonomous"] as const

/** Uniform numbers between bounds, of a seed. */
export const draws = (seed: number): ((min: number, max: number) => number) => {
  const key = HostRandom.key(seed)
  let numbers: ArrayLike<number> = []
  let next = 0
  return (min, max) => {
    const place = next % 64
    if (place === 0) {
      const block = HostRandom.foldIn(key, next / 64)
      numbers = HostRandom.uniform(block, [64], { dtype: "float64" }).data
    }
    next += 1
    return min + (max - min) * numbers[place]
  }
}

export type Draw = ReturnType<typeof draws>

/** A vector and its first two derivatives by time. */
type Jet = readonly [value: Float64Array, first: Float64Array, second: Float64Array]

type Pair = readonly [number, number]

/** Functions of time, a·sin(ωt + φ) + b·e^(ct), whose derivatives do not vanish. */
const curve = (draw: Draw, size: number): ((t: number) => Jet) => {
  const parts = Array.from({ length: size }, () => ({
    a: draw(0.6, 1.4),
    w: draw(1, 2),
    shift: draw(-3, 3),
    b: draw(-0.4, 0.4),
    c: draw(-1, 1)
  }))
  return (t) => {
    const jet = [0, 1, 2].map(() => new Float64Array(size)) as unknown as Jet
    parts.forEach(({ a, w, shift, b, c }, i) => {
      const [sin, cos, exp] = [Math.sin(w * t + shift), Math.cos(w * t + shift), Math.exp(c * t)]
      jet[0][i] = a * sin + b * exp
      jet[1][i] = a * w * cos + b * c * exp
      jet[2][i] = b * c * c * exp - a * w * w * sin
    })
    return jet
  }
}

/** A bounded function of u that is 0 at u = 0, where no derivative is: Σⱼ aᵢⱼ(t)(sin(κⱼuⱼ + φⱼ) − sin φⱼ). */
const pull = (draw: Draw, size: number, strength: number) => {
  const rows = Array.from({ length: size * size }, () => ({
    mean: draw(-strength, strength),
    swing: draw(-strength, strength),
    shift: draw(-3, 3)
  }))
  const waves = Array.from({ length: size }, () => ({ k: draw(0.8, 1.4), phase: draw(0.3, 1) }))
  return (t: number, u: Float64Array): Float64Array => {
    const bent = u.map((each, j) => {
      const { k, phase } = waves[j]
      return Math.sin(k * each + phase) - Math.sin(phase)
    })
    return u.map((_, i) =>
      bent.reduce((sum, each, j) => {
        const { mean, swing, shift } = rows[i * size + j]
        return sum + (mean + swing * Math.sin(t + shift)) * each
      }, 0)
    )
  }
}

const minus = (a: Float64Array, b: Float64Array): Float64Array => a.map((each, i) => each - b[i])
const plus = (...all: ReadonlyArray<Float64Array>): Float64Array =>
  all[0].map((_, i) => all.reduce((sum, each) => sum + each[i], 0))
export const join = (x: Float64Array, v: Float64Array): Float64Array => Float64Array.of(...x, ...v)
export const split = (y: Float64Array): readonly [x: Float64Array, v: Float64Array] => [
  y.subarray(0, y.length / 2),
  y.subarray(y.length / 2)
]

type Solved = Pick<Problem, "f" | "exact">

/** Any function g solves y' = g' + N(t, y − g) where N is 0 at 0. */
const manufactured = (draw: Draw, form: Form): Solved => {
  const g = curve(draw, 2)
  const spring = pull(draw, 2, 1)
  if (form === "y' = f(t, y)") {
    return {
      f: (t, y) => {
        const [value, first] = g(t)
        return plus(first, spring(t, minus(y, value)))
      },
      exact: (t) => g(t)[0]
    }
  }
  const friction = pull(draw, 2, form === "x'' = f(t, x)" ? 0 : 1)
  return {
    f: (t, y) => {
      const [x, v] = split(y)
      const [value, first, second] = g(t)
      return join(v, plus(second, spring(t, minus(x, value)), friction(t, minus(v, first))))
    },
    exact: (t) => {
      const [value, first] = g(t)
      return join(value, first)
    }
  }
}

/** e^(rate·t) times a turning vector. */
const spiral = (draw: Draw, rate = draw(-0.6, 0.3)) => {
  const turn = draw(1, 2)
  const [size, shift] = [draw(0.7, 1.4), draw(-3, 3)]
  return {
    rate,
    turn,
    at: (t: number): Pair => {
      const length = size * Math.exp(rate * t)
      return [length * Math.cos(turn * t + shift), length * Math.sin(turn * t + shift)]
    }
  }
}

/** A linear change of two variables. */
const mix = (draw: Draw) => {
  const [p, q] = [draw(-0.6, 0.6), draw(-0.6, 0.6)]
  const scale = 1 / (1 - p * q)
  return {
    there: ([a, b]: Pair | Float64Array) => Float64Array.of(a + p * b, q * a + b),
    back: ([a, b]: Pair | Float64Array): Pair => [scale * (a - p * b), scale * (b - q * a)]
  }
}

/** A change of two variables that is not linear, y₁ = z₁ + a·sin z₂, y₂ = z₂ + b·sin y₁, and how it moves z' and z'' along. */
const shear = (draw: Draw) => {
  const [a, b] = [draw(0.2, 0.5), draw(0.2, 0.5)]
  return {
    there: ([z, w]: Pair): Float64Array => {
      const y = z + a * Math.sin(w)
      return Float64Array.of(y, w + b * Math.sin(y))
    },
    back: ([y, x]: Float64Array): Pair => {
      const w = x - b * Math.sin(y)
      return [y - a * Math.sin(w), w]
    },
    velocityThere: ([y]: Float64Array, [, w]: Pair, [dz, dw]: Pair): Float64Array => {
      const dy = dz + a * Math.cos(w) * dw
      return Float64Array.of(dy, dw + b * Math.cos(y) * dy)
    },
    velocityBack: ([y]: Float64Array, [, w]: Pair, [dy, dx]: Float64Array): Pair => {
      const dw = dx - b * Math.cos(y) * dy
      return [dy - a * Math.cos(w) * dw, dw]
    },
    accelerationThere: (
      [y]: Float64Array,
      [, w]: Pair,
      [dy]: Float64Array,
      [, dw]: Pair,
      [ddz, ddw]: Pair
    ): Float64Array => {
      const ddy = ddz + a * (Math.cos(w) * ddw - Math.sin(w) * dw * dw)
      return Float64Array.of(ddy, ddw + b * (Math.cos(y) * ddy - Math.sin(y) * dy * dy))
    }
  }
}

const turning = (
  { rate, turn }: { readonly rate: number; readonly turn: number },
  [a, b]: Pair
): Pair => [rate * a - turn * b, turn * a + rate * b]

/** Two oscillators z'' = 2ρz' − (ρ² + ω²)z, damped or not. */
const oscillators = (draw: Draw, damped: boolean) => {
  const rate = damped ? [] : [0]
  const [a, b] = [spiral(draw, ...rate), spiral(draw, ...rate)]
  const pair = (f: (one: typeof a, i: 0 | 1) => number): Pair => [f(a, 0), f(b, 1)]
  return {
    position: (t: number) => pair((one) => one.at(t)[0]),
    velocity: (t: number) => pair((one) => turning(one, one.at(t))[0]),
    acceleration: (z: Pair, dz: Pair) =>
      pair(({ rate, turn }, i) => 2 * rate * dz[i] - (rate * rate + turn * turn) * z[i])
  }
}

const linear = (draw: Draw, form: Form): Solved => {
  const { there, back } = mix(draw)
  if (form === "y' = f(t, y)") {
    const one = spiral(draw)
    return { f: (_, y) => there(turning(one, back(y))), exact: (t) => there(one.at(t)) }
  }
  const { position, velocity, acceleration } = oscillators(draw, form === "x'' = f(t, x, v)")
  return {
    f: (_, y) => {
      const [x, v] = split(y)
      return join(v, there(acceleration(back(x), back(v))))
    },
    exact: (t) => join(there(position(t)), there(velocity(t)))
  }
}

/** A planet on an ellipse, seen in oblique coordinates. */
const kepler = (draw: Draw): Solved => {
  const { there, back } = mix(draw)
  const [radius, eccentricity, shift] = [draw(0.8, 1.2), draw(0.1, 0.3), draw(-3, 3)]
  const speed = radius ** -1.5
  const height = Math.sqrt(1 - eccentricity ** 2)
  return {
    f: (_, y) => {
      const [x, v] = split(y)
      const [a, b] = back(x)
      const weight = -1 / Math.hypot(a, b) ** 3
      return join(v, there([weight * a, weight * b]))
    },
    exact: (t) => {
      const mean = speed * t + shift
      let angle = mean
      // Newton's method for Kepler's equation
      for (let i = 0; i < 8; i++) {
        angle -=
          (angle - eccentricity * Math.sin(angle) - mean) / (1 - eccentricity * Math.cos(angle))
      }
      const rate = (radius * speed) / (1 - eccentricity * Math.cos(angle))
      return join(
        there([radius * (Math.cos(angle) - eccentricity), radius * height * Math.sin(angle)]),
        there([-rate * Math.sin(angle), rate * height * Math.cos(angle)])
      )
    }
  }
}

/** A linear problem in bent coordinates. */
const nonlinear = (draw: Draw, form: Form): Solved => {
  if (form === "x'' = f(t, x)") return kepler(draw)
  const bend = shear(draw)
  if (form === "y' = f(t, y)") {
    const one = spiral(draw)
    return {
      f: (_, y) => {
        const z = bend.back(y)
        return bend.velocityThere(y, z, turning(one, z))
      },
      exact: (t) => bend.there(one.at(t))
    }
  }
  const { position, velocity, acceleration } = oscillators(draw, true)
  return {
    f: (_, y) => {
      const [x, v] = split(y)
      const z = bend.back(x)
      const dz = bend.velocityBack(x, z, v)
      return join(v, bend.accelerationThere(x, z, v, dz, acceleration(z, dz)))
    },
    exact: (t) => {
      const z = position(t)
      const x = bend.there(z)
      return join(x, bend.velocityThere(x, z, velocity(t)))
    }
  }
}

/** A chirping function g, and and what keeps others near it: a turning force, or springs. */
const steady = (draw: Draw, form: Form): Solved => {
  const parts = [0, 1].map(() => ({
    size: draw(0.7, 1.4),
    w: draw(1, 1.5),
    shift: draw(-3, 3),
    depth: draw(1, 1.6),
    slow: draw(0.5, 0.7)
  }))
  const g = (t: number): Jet => {
    const jets = parts.map(({ size, w, shift, depth, slow }) => {
      const phase = w * t + depth * Math.sin(slow * t) + shift
      const rate = w + depth * slow * Math.cos(slow * t)
      const bend = -depth * slow * slow * Math.sin(slow * t)
      const [sin, cos] = [size * Math.sin(phase), size * Math.cos(phase)]
      return [sin, cos * rate, cos * bend - sin * rate * rate]
    })
    return [0, 1, 2].map((k) => Float64Array.from(jets, (jet) => jet[k])) as unknown as Jet
  }
  const [spring, swing, friction] = [draw(0.5, 1.5), draw(0.2, 0.5), draw(0.3, 0.8)]
  const turned = (t: number, u: Float64Array) => {
    const strength = spring + swing * Math.sin(t) + u[0] * u[0] + u[1] * u[1]
    return Float64Array.of(strength * u[1], -strength * u[0])
  }
  if (form === "y' = f(t, y)") {
    return {
      f: (t, y) => {
        const [value, first] = g(t)
        return plus(first, turned(t, minus(y, value)))
      },
      exact: (t) => g(t)[0]
    }
  }
  const drag = form === "x'' = f(t, x)" ? 0 : friction
  return {
    f: (t, y) => {
      const [x, v] = split(y)
      const [value, first, second] = g(t)
      const [u, du] = [minus(x, value), minus(v, first)]
      return join(
        v,
        second.map((each, i) => each - spring * Math.sin(u[i]) - drag * du[i])
      )
    },
    exact: (t) => {
      const [value, first] = g(t)
      return join(value, first)
    }
  }
}

const make = { linear, nonlinear, "non-autonomous": manufactured, steady }

export const problem = (kind: Kind, form: Form, seed: number): Problem => {
  const draw = draws(seed)
  const [from, length] = [draw(-1, 1), draw(1.2, 1.8) * (kind === "steady" ? 8 : 1)]
  return {
    text: `a ${kind} problem ${form}, SolverLaws.problem("${kind}", "${form}", ${seed})`,
    ...make[kind](draw, form),
    from,
    to: draw(0, 1) < 0.5 ? from + length : from - length
  }
}
