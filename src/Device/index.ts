/**
 * @since 0.1.0
 */
export * as Backend from "./Backend.ts"
export * as Device from "./Device.ts"
export * as DeviceError from "./DeviceError.ts"
export * as Onnx from "./Onnx.ts"
export * as OnnxFile from "./OnnxFile.ts"
export * as Reference from "./Reference.ts"
