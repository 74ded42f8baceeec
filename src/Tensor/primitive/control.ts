/** Primitives that run a body many times, and the one that carries a rule of its own for derivatives. */
import * as DType from "../DType.ts"
import { apply, is, type Node, output, type Spec, sorted, type Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import { substitute } from "../internal/rebuild.ts"
import type { Attributes, Body, Differentiator, Primitive } from "../Primitive.ts"
import * as Shape from "../Shape.ts"
import { GradientError } from "../TensorError.ts"
import { add, stopGradient } from "./elementwise.ts"
import { fill, input } from "./structure.ts"

const same = (a: Spec, b: Spec): boolean => a.dtype === b.dtype && Shape.equals(a.shape, b.shape)

const showSpec = (spec: Spec): string => `${spec.dtype}${Shape.show(spec.shape)}`

/**
 * Closes bodies over what they use from outside: `parameters` stay free, everything else that does not
 * depend on them becomes a further parameter (computed once, outside), save constants.
 */
export const close = (
  bodies: ReadonlyArray<Body>
): { readonly bodies: ReadonlyArray<Body>; readonly captured: ReadonlyArray<Tensor> } => {
  const captured: Array<Tensor> = []
  const stands = new Map<Node, Array<Tensor>>()
  const capture = (tensor: Tensor): void => {
    const known = stands.get(tensor.node) ?? []
    if (known[tensor.output] === undefined) {
      known[tensor.output] = input(`captured ${captured.length}`, tensor.shape, tensor.dtype)
      stands.set(tensor.node, known)
      captured.push(tensor)
    }
  }
  const closed = bodies.map(({ parameters, results }) => {
    const inside = new Set<Node>(parameters.map((parameter) => parameter.node))
    for (const node of sorted(results)) {
      if (node.inputs.some((each) => inside.has(each.node))) {
        inside.add(node)
        for (const each of node.inputs)
          if (!inside.has(each.node) && !inlined(each.node)) capture(each)
      }
    }
    for (const result of results)
      if (!inside.has(result.node) && !inlined(result.node)) capture(result)
    return { parameters, results: substitute(results, stands) }
  })
  const extra = captured.map((tensor) => stands.get(tensor.node)![tensor.output])
  return {
    bodies: closed.map(({ parameters, results }) => ({
      parameters: [...parameters, ...extra],
      results
    })),
    captured
  }
}

/** What bodies repeat instead of taking it from outside. */
export const inlined = (node: Node): boolean => {
  if (is(node, "constant")) return node.attributes.data.length <= 64
  return is(node, "iota")
}

/** Whether one of some nodes was written into the body of a loop, where no derivative sees it. */
export const inlinedWithin = (
  outputs: ReadonlyArray<Tensor>,
  nodes: ReadonlySet<Node>
): boolean => {
  const waiting = [outputs]
  const seen = new Set<Body>()
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const node of sorted(next)) {
      const bodies = is(node, "scan")
        ? [node.attributes.body]
        : is(node, "whileLoop")
          ? [node.attributes.condition, node.attributes.body]
          : []
      for (const body of bodies) {
        if (seen.has(body)) continue
        seen.add(body)
        if (sorted(body.results).some((inner) => nodes.has(inner))) return true
        waiting.push(body.results)
      }
    }
  }
  return false
}

export const scanPrimitive: Primitive<"scan"> = {
  name: "scan",
  infer: (inputs, { body, carry, scanned, length }) => {
    const { parameters, results } = body
    inputs.forEach((each, i) => {
      const sliced = i >= carry && i < carry + scanned
      if (sliced && each.shape[0] !== length) {
        throw check.shapeError(
          "scan",
          [each],
          `runs ${length} steps, but a scanned array has ${each.shape[0] ?? "nothing"} along its first axis`
        )
      }
      const expected = sliced ? { shape: each.shape.slice(1), dtype: each.dtype } : each
      if (!same(expected, parameters[i])) {
        throw check.shapeError(
          "scan",
          [each, parameters[i]],
          "an input and the body's parameter differ"
        )
      }
    })
    carried("scan", body, carry)
    return results.map(({ shape, dtype }, i) => ({
      shape: i < carry ? shape : [length, ...shape],
      dtype
    }))
  },
  vjp: (node, cotangents, wanted, differentiator) => {
    const { body, visible } = node.attributes
    const stored = plans.get(body)
    const plan =
      stored !== undefined && cotangents.every((each, i) => each === undefined || i < visible)
        ? stored
        : planned(body, node.attributes, cotangents, differentiator)
    return backward(node, plan, cotangents, wanted)
  }
}

/** The first results are the next states: each has its parameter's shape and dtype. */
const carried = (operation: string, { parameters, results }: Body, carry: number): void => {
  for (let i = 0; i < carry; i++) {
    const [from, to] = [parameters[i], results[i]]
    if (to === undefined || !same(from, to)) {
      throw check.shapeError(
        operation,
        to === undefined ? [from] : [from, to],
        `a carried state starts as ${showSpec(from)}, but the body gives ${to === undefined ? "nothing" : showSpec(to)}; a state keeps its shape and dtype`
      )
    }
  }
}

/**
 * Builds a scan. The body's parameters are the carried states, then one step of each scanned array;
 * its results the next states, then what is stacked. The states themselves are stacked behind those,
 * for the derivative, and with `store` the other values it needs too, so that nothing
 * is computed twice. Devices leave out stacks that nobody reads.
 */
export const scan = (
  init: ReadonlyArray<Tensor>,
  scanned: ReadonlyArray<Tensor>,
  open: Body,
  options: {
    readonly length: number
    readonly reverse: boolean
    readonly store: Differentiator | undefined
  }
): ReadonlyArray<Tensor> => {
  const carry = init.length
  const visible = open.results.length
  const { bodies, captured } = close([open])
  const { parameters, results } = bodies[0]
  carried("scan", bodies[0], carry)
  const body = { parameters, results: [...results, ...parameters.slice(0, carry)] }
  const counts = { carry, scanned: scanned.length, visible }
  const plan = options.store && stored(bodies[0], counts, results, options.store)
  const complete =
    plan === undefined ? body : { parameters, results: [...body.results, ...plan.residuals] }
  const node = apply(scanPrimitive, [...init, ...scanned, ...captured], {
    ...counts,
    body: complete,
    length: options.length,
    reverse: options.reverse
  })
  if (plan !== undefined) plans.set(complete, plan)
  return Array.from({ length: visible }, (_, i) => output(node as unknown as Node, i))
}

/** The derivative of one step. */
interface Plan {
  /** Stand for the cotangents of the results. */
  readonly cotangents: ReadonlyArray<Tensor | undefined>
  /** The cotangents of the parameters, made of those, of the parameters, and of what the step computes. */
  readonly gives: ReadonlyArray<Tensor | undefined>
  /** Values of the step that stand stacked behind the states, instead of being computed again. */
  readonly residuals: ReadonlyArray<Tensor>
}

const plans = new WeakMap<Body, Plan>()

/** A step without a derivative (with a `whileLoop` in it) is none of a scan's business until somebody asks for one. */
const stored = (
  body: Body,
  counts: { readonly carry: number; readonly scanned: number },
  flowing: ReadonlyArray<Tensor>,
  differentiator: Differentiator
): Plan | undefined => {
  try {
    return planned(body, counts, flowing, differentiator, true)
  } catch (error) {
    if (error instanceof GradientError) return undefined
    throw error
  }
}

const planned = (
  { parameters, results }: Body,
  { carry, scanned }: { readonly carry: number; readonly scanned: number },
  flowing: ReadonlyArray<Tensor | undefined>,
  differentiator: Differentiator,
  store = false
): Plan => {
  const cotangents = results.map((result, i) =>
    DType.isFloat(result.dtype) && (i < carry || flowing[i] !== undefined)
      ? input(`cotangent ${i}`, result.shape, result.dtype)
      : undefined
  )
  const gives = differentiator.vjp(results, parameters, cotangents)
  return {
    cotangents,
    gives,
    residuals: store ? known(parameters, carry + scanned, cotangents, gives) : []
  }
}

/**
 * What the derivative reads of the step's own values: it depends on the step (the first `varying`
 * parameters) and not on cotangents. Views are made again from what they show.
 */
const known = (
  parameters: ReadonlyArray<Tensor>,
  varying: number,
  cotangents: ReadonlyArray<Tensor | undefined>,
  gives: ReadonlyArray<Tensor | undefined>
): ReadonlyArray<Tensor> => {
  const results = gives.filter((each) => each !== undefined)
  const own = new Set(parameters.map((parameter) => parameter.node))
  const early = new Set(parameters.slice(0, varying).map((parameter) => parameter.node))
  const late = new Set(cotangents.flatMap((each) => (each === undefined ? [] : [each.node])))
  const found = new Map<string, Tensor>()
  const ids = new Map<Node, number>()
  const read = (each: Tensor): void => {
    if (late.has(each.node) || !early.has(each.node) || own.has(each.node)) return
    if (is(each.node, "broadcast") || is(each.node, "reshape")) {
      each.node.inputs.forEach(read)
      return
    }
    const id = ids.get(each.node) ?? ids.size
    ids.set(each.node, id)
    found.set(`${id}.${each.output}`, each)
  }
  for (const node of sorted(results)) {
    if (node.inputs.some((each) => late.has(each.node))) {
      late.add(node)
      node.inputs.forEach(read)
    } else if (node.inputs.some((each) => early.has(each.node))) early.add(node)
  }
  results.forEach(read)
  return [...found.values()]
}

/** The scan that runs the other way and carries cotangents. */
const backward = (
  node: Node<"scan">,
  { cotangents, gives, residuals }: Plan,
  given: ReadonlyArray<Tensor | undefined>,
  wanted: ReadonlyArray<boolean>
): ReadonlyArray<Tensor | undefined> => {
  const { body, carry, scanned, visible, length, reverse } = node.attributes
  const stacked = (index: number): Tensor => output(node as unknown as Node, index)
  const init: Array<Tensor> = []
  const states: Array<Tensor> = []
  const arrays: Array<Tensor> = []
  const steps: Array<Tensor> = []
  const replaced = new Map<Node, Array<Tensor | undefined>>()
  const replace = (tensor: Tensor, by: Tensor): void => {
    const known = replaced.get(tensor.node) ?? []
    known[tensor.output] = by
    replaced.set(tensor.node, known)
  }
  const state = (start: Tensor): Tensor => {
    const parameter = input(`state ${init.length}`, start.shape, start.dtype)
    init.push(start)
    states.push(parameter)
    return parameter
  }
  const slice = (array: Tensor): Tensor => {
    const parameter = input(`step ${arrays.length}`, array.shape.slice(1), array.dtype)
    arrays.push(array)
    steps.push(parameter)
    return parameter
  }
  const zeros = (like: Spec): Tensor => fill(0, like.shape, like.dtype)

  // the step's cotangents: of the next states from the steps behind, of the stacked results from outside
  const flowing: Array<number> = []
  cotangents.forEach((placeholder, i) => {
    if (placeholder === undefined) return
    const cotangent = given[i]
    if (i < carry) {
      flowing.push(i)
      replace(placeholder, state(cotangent ?? zeros(placeholder)))
    } else replace(placeholder, cotangent === undefined ? zeros(placeholder) : slice(cotangent))
  })
  // the step's values: states and residuals from the stacks, the rest from the scan's own inputs
  body.parameters.forEach((parameter, i) => {
    replace(
      parameter,
      i < carry
        ? slice(stacked(visible + i))
        : i < carry + scanned
          ? slice(node.inputs[i])
          : node.inputs[i]
    )
  })
  residuals.forEach((residual, i) => {
    replace(residual, slice(stacked(visible + carry + i)))
  })

  const derived = substitute(
    gives.map((each, i) => each ?? zeros(body.parameters[i])),
    replaced
  )
  const flows = (i: number): boolean => gives[i] !== undefined && wanted[i] === true
  const captures = body.parameters.flatMap((_, i) => (i >= carry + scanned && flows(i) ? [i] : []))
  const elements = body.parameters.flatMap((_, i) =>
    i >= carry && i < carry + scanned && flows(i) ? [i] : []
  )
  const sums = captures.map((i) => add(state(zeros(body.parameters[i])), derived[i]))
  const results = scan(
    init,
    arrays,
    {
      parameters: [...states, ...steps],
      results: [...flowing.map((i) => derived[i]), ...sums, ...elements.map((i) => derived[i])]
    },
    { length, reverse: !reverse, store: undefined }
  )
  const out = new Array<Tensor | undefined>(node.inputs.length).fill(undefined)
  ;[...flowing, ...captures, ...elements].forEach((i, position) => {
    out[i] = results[position]
  })
  return out
}

export const whileLoopPrimitive: Primitive<"whileLoop"> = {
  name: "whileLoop",
  infer: (inputs, { condition, body, carry }) => {
    const verdict = condition.results[0]
    if (
      condition.results.length !== 1 ||
      verdict === undefined ||
      verdict.dtype !== "bool" ||
      verdict.shape.length > 0
    ) {
      throw check.shapeError(
        "whileLoop",
        condition.results,
        `the condition must be one bool scalar, but is ${condition.results.map(showSpec).join(", ") || "nothing"}; reduce it with Tensor.any or Tensor.all`
      )
    }
    if (body.results.length !== carry) {
      throw check.shapeError(
        "whileLoop",
        body.results,
        `the body gives ${body.results.length} states, ${carry} are carried`
      )
    }
    carried("whileLoop", body, carry)
    inputs.forEach((each, i) => {
      if (!same(each, body.parameters[i]) || !same(each, condition.parameters[i])) {
        throw check.shapeError(
          "whileLoop",
          [each, body.parameters[i]],
          "an input and the body's parameter differ"
        )
      }
    })
    return inputs.slice(0, carry).map(({ shape, dtype }) => ({ shape, dtype }))
  },
  vjp: () => {
    throw new GradientError({
      operation: "whileLoop",
      message:
        "whileLoop has no reverse derivative, since its number of steps is not known when the graph is built: use Tensor.scan with a fixed number of steps, or give the loop a rule with Gradient.custom"
    })
  }
}

export const whileLoop = (
  init: ReadonlyArray<Tensor>,
  condition: Body,
  body: Body
): ReadonlyArray<Tensor> => {
  const { bodies, captured } = close([condition, body])
  const node = apply(whileLoopPrimitive, [...init, ...captured], {
    condition: bodies[0],
    body: bodies[1],
    carry: init.length
  })
  return init.map((_, i) => output(node as unknown as Node, i))
}

export const customPrimitive: Primitive<"custom"> = {
  name: "custom",
  infer: (inputs, attributes) =>
    inputs.slice(attributes.arguments).map(({ shape, dtype }) => ({ shape, dtype })),
  vjp: (node, cotangents) => {
    const { name, arguments: count, backward } = node.attributes
    const inputs = node.inputs.slice(0, count)
    const outputs = node.outputs.map((_, i) => output(node as unknown as Node, i))
    const full = outputs.map((each, i) => cotangents[i] ?? fill(0, each.shape, each.dtype))
    const gives = backward(inputs, outputs, full)
    if (gives.length !== count) {
      throw new GradientError({
        operation: name,
        message: `the backward rule of ${name} gives ${gives.length} cotangents for ${count} inputs`
      })
    }
    gives.forEach((each, i) => {
      if (each !== undefined && !same(each, inputs[i])) {
        throw new GradientError({
          operation: name,
          message: `the backward rule of ${name} gives ${showSpec(each)} as cotangent of an input that is ${showSpec(inputs[i])}`
        })
      }
    })
    return gives
  }
}

export const custom = (
  inputs: ReadonlyArray<Tensor>,
  values: ReadonlyArray<Tensor>,
  rule: { readonly name: string; readonly backward: Attributes["custom"]["backward"] }
): ReadonlyArray<Tensor> => {
  const node = apply(customPrimitive, [...inputs, ...values.map(stopGradient)], {
    ...rule,
    arguments: inputs.length
  })
  return values.map((_, i) => output(node as unknown as Node, i))
}
