/**
 * The table of all primitives: what each one means.
 *
 * @since 0.1.0
 */

import type { Name, Primitive } from "./Primitive.ts"
import * as control from "./primitive/control.ts"
import * as elementwise from "./primitive/elementwise.ts"
import * as linear from "./primitive/linear.ts"
import * as reduction from "./primitive/reduction.ts"
import * as structure from "./primitive/structure.ts"

/**
 * Every primitive by its name.
 *
 * @since 0.1.0
 * @category constants
 */
export const table: { readonly [N in Name]: Primitive<N> } = {
  input: structure.inputPrimitive,
  constant: structure.constantPrimitive,
  iota: structure.iotaPrimitive,
  neg: elementwise.negPrimitive,
  abs: elementwise.absPrimitive,
  sign: elementwise.signPrimitive,
  exp: elementwise.expPrimitive,
  log: elementwise.logPrimitive,
  sqrt: elementwise.sqrtPrimitive,
  sin: elementwise.sinPrimitive,
  cos: elementwise.cosPrimitive,
  tan: elementwise.tanPrimitive,
  asin: elementwise.asinPrimitive,
  acos: elementwise.acosPrimitive,
  atan: elementwise.atanPrimitive,
  tanh: elementwise.tanhPrimitive,
  sigmoid: elementwise.sigmoidPrimitive,
  erf: elementwise.erfPrimitive,
  floor: elementwise.floorPrimitive,
  round: elementwise.roundPrimitive,
  isNaN: elementwise.isNaNPrimitive,
  not: elementwise.notPrimitive,
  cast: elementwise.castPrimitive,
  add: elementwise.addPrimitive,
  sub: elementwise.subPrimitive,
  mul: elementwise.mulPrimitive,
  div: elementwise.divPrimitive,
  pow: elementwise.powPrimitive,
  remainder: elementwise.remainderPrimitive,
  minimum: elementwise.minimumPrimitive,
  maximum: elementwise.maximumPrimitive,
  equal: elementwise.equalPrimitive,
  less: elementwise.lessPrimitive,
  lessEqual: elementwise.lessEqualPrimitive,
  and: elementwise.andPrimitive,
  or: elementwise.orPrimitive,
  bitAnd: elementwise.bitAndPrimitive,
  bitOr: elementwise.bitOrPrimitive,
  bitXor: elementwise.bitXorPrimitive,
  shiftLeft: elementwise.shiftLeftPrimitive,
  shiftRight: elementwise.shiftRightPrimitive,
  select: elementwise.selectPrimitive,
  sum: structure.sumPrimitive,
  prod: reduction.prodPrimitive,
  min: reduction.minPrimitive,
  max: reduction.maxPrimitive,
  argMax: reduction.argMaxPrimitive,
  argSort: reduction.argSortPrimitive,
  cumSum: structure.cumSumPrimitive,
  standardize: reduction.standardizePrimitive,
  broadcast: structure.broadcastPrimitive,
  reshape: structure.reshapePrimitive,
  transpose: structure.transposePrimitive,
  slice: structure.slicePrimitive,
  pad: structure.padPrimitive,
  concat: structure.concatPrimitive,
  gather: structure.gatherPrimitive,
  scatterAdd: structure.scatterAddPrimitive,
  matmul: linear.matmulPrimitive,
  conv: linear.convPrimitive,
  convTranspose: linear.convTransposePrimitive,
  convKernel: linear.convKernelPrimitive,
  pool: linear.poolPrimitive,
  scan: control.scanPrimitive,
  whileLoop: control.whileLoopPrimitive,
  stopGradient: elementwise.stopGradientPrimitive,
  custom: control.customPrimitive
}
