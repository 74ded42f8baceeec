/**
 * Element types of tensors and the typed arrays that hold them on the host.
 *
 * @since 0.1.0
 */

/**
 * What a tensor's elements are. Operations never promote silently: operands of different dtypes
 * are an error that says where a `Tensor.cast` is missing.
 *
 * @since 0.1.0
 * @category models
 */
export type DType = "float64" | "float32" | "float16" | "int32" | "int64" | "uint32" | "bool"

/**
 * The dtypes with fractions, the only ones that have derivatives.
 *
 * @since 0.1.0
 * @category models
 */
export type Float = "float64" | "float32" | "float16"

/**
 * The dtypes that may index another tensor.
 *
 * @since 0.1.0
 * @category models
 */
export type Integer = "int32" | "int64" | "uint32"

/**
 * Every dtype with arithmetic: all but `bool`.
 *
 * @since 0.1.0
 * @category models
 */
export type Numeric = Float | Integer

/**
 * The typed array that holds elements of a dtype on the host: `float16` as its raw bits, `bool` as
 * bytes 0 and 1.
 *
 * @since 0.1.0
 * @category models
 */
export interface Arrays {
  readonly float64: Float64Array
  readonly float32: Float32Array
  readonly float16: Uint16Array
  readonly int32: Int32Array
  readonly int64: BigInt64Array
  readonly uint32: Uint32Array
  readonly bool: Uint8Array
}

/**
 * Any of the typed arrays in {@link Arrays}.
 *
 * @since 0.1.0
 * @category models
 */
export type Data<D extends DType = DType> = Arrays[D]

/**
 * All dtypes, widest floats first.
 *
 * @since 0.1.0
 * @category constants
 */
export const all: ReadonlyArray<DType> = [
  "float64",
  "float32",
  "float16",
  "int32",
  "int64",
  "uint32",
  "bool"
]

const sizes: { readonly [D in DType]: number } = {
  float64: 8,
  float32: 4,
  float16: 2,
  int32: 4,
  int64: 8,
  uint32: 4,
  bool: 1
}

const constructors: { readonly [D in DType]: new (length: number) => Arrays[D] } = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint32: Uint32Array,
  bool: Uint8Array
}

/**
 * Bytes of one element.
 *
 * @since 0.1.0
 * @category getters
 */
export const bytes = (dtype: DType): number => sizes[dtype]

/**
 * @since 0.1.0
 * @category guards
 */
export const isFloat = (dtype: DType): dtype is Float =>
  dtype === "float32" || dtype === "float64" || dtype === "float16"

/**
 * @since 0.1.0
 * @category guards
 */
export const isInteger = (dtype: DType): dtype is Integer =>
  dtype === "int32" || dtype === "int64" || dtype === "uint32"

/**
 * A zeroed typed array for `length` elements.
 *
 * @since 0.1.0
 * @category constructors
 */
export const allocate = <D extends DType>(dtype: D, length: number): Arrays[D] =>
  new constructors[dtype](length) as Arrays[D]

/**
 * Whether a typed array is the one that holds elements of `dtype`.
 *
 * @since 0.1.0
 * @category guards
 */
export const holds = <D extends DType>(dtype: D, data: unknown): data is Arrays[D] =>
  data instanceof constructors[dtype]

/**
 * The bits of the `float16` nearest to a number (IEEE 754 binary16, ties to even).
 *
 * @since 0.1.0
 * @category conversions
 */
export const toFloat16Bits = (value: number): number => {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (Number.isNaN(magnitude)) return 0x7e00
  // 65520 is halfway between the largest half (65504) and the next power of two
  if (magnitude >= 65520) return sign | 0x7c00
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24)
  let exponent = Math.floor(Math.log2(magnitude))
  if (2 ** exponent > magnitude) exponent -= 1
  else if (2 ** (exponent + 1) <= magnitude) exponent += 1
  const mantissa = roundHalfEven((magnitude / 2 ** exponent - 1) * 1024)
  // a mantissa of 1024 carries into the exponent, which is what addition does
  return sign | (((exponent + 15) << 10) + mantissa)
}

const roundHalfEven = (value: number): number => {
  const floor = Math.floor(value)
  const fraction = value - floor
  if (fraction < 0.5) return floor
  if (fraction > 0.5) return floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}

/**
 * The number that `float16` bits stand for.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromFloat16Bits = (bits: number): number => {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const mantissa = bits & 0x3ff
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}
