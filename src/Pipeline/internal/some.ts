/** Which items of data are looked at where there are more. */
import { HostRandom } from "../../Tensor/index.ts"
import * as Dataset from "../Dataset.ts"

/**
 * Some items, no more than so many: the first ones of data without an end, else of all, in no order, the same ones each time. Files are often
 * in the order of their classes, or these alternate.
 */
export const some = (data: Dataset.Dataset, count: number): Dataset.Dataset =>
  data.size === Number.POSITIVE_INFINITY
    ? Dataset.take(data, count)
    : Dataset.subset(
        data,
        HostRandom.permutation(HostRandom.key(0), data.size).data.subarray(0, count)
      )
