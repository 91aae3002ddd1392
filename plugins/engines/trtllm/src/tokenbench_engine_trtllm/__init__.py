"""The engine `trtllm`: TensorRT-LLM's server, `trtllm-serve`."""
