"""Variables of MoRI and of engines that use it, each with its reason.

Facts: MoRI 624002c8 (2026-08-21), docs/MORI-EP-GUIDE.md, docs/MORI-SHMEM-GUIDE.md and src; vLLM
0.32, distributed/device_communicators/all2all.py; SGLang 0.5.23, environ.py and
arg_groups/moe_hook.py; ATOM ffdf3bb (2026-08-22), docs/distributed_guide.md; InferenceX 843c625
(2026-08-21), benchmarks/multi_node/amd_utils (env.sh, models.yaml); read 2026-12-01.
"""

from __future__ import annotations

ALL2ALL, A2A, MODE = "--all2all-backend", "--moe-a2a-backend", "--deepep-mode"
TRANSFER, CHUNK = "--disaggregation-transfer-backend", "--chunked-prefill-size"
DISPATCH_TOKENS = "SGLANG_MORI_NUM_MAX_DISPATCH_TOKENS_PER_RANK"
DISPATCH_DEFAULT = 4096
"""SGLang 0.5.23, environ.py."""
# gfx942 and gfx950: the only ones that vLLM 0.32 uses MoRI on (all2all.py).
VLLM_CHIPS = ("mi300x", "mi325x", "mi355x")
REASONS = {
    ALL2ALL: "vLLM's default gathers all tokens on all ranks (vLLM 0.32, config/parallel.py)",
    A2A: "SGLang's default is no all-to-all backend (SGLang 0.5.23; so in InferenceX's recipes "
    "for MI355X, models.yaml, commit 843c625, 2026-08-21)",
    MODE: "the kernels that were asked for; SGLang 0.5.23 takes normal for MoRI otherwise",
    TRANSFER: "SGLang's default is Mooncake (SGLang 0.5.23; mori in "
    "InferenceX's models.yaml, commit 843c625, 2026-08-21)",
    DISPATCH_TOKENS: "SGLang 0.5.23 refuses to start if a chunk of prefill is larger "
    "(arg_groups/moe_hook.py); its default is 4096",
    "MORI_EP_LAUNCH_CONFIG_MODE": "launch parameters tuned for chip and shape; MANUAL uses one "
    "set for all (MoRI 624002c8, docs/MORI-EP-GUIDE.md; AUTO in InferenceX's env.sh)",
    "MORI_SHMEM_HEAP_SIZE": "memory for communication, allocated before the first exchange (MoRI "
    "624002c8, docs/MORI-SHMEM-GUIDE.md)",
    "MORI_SHMEM_MODE": "how that memory is allocated (MoRI 624002c8, docs/MORI-SHMEM-GUIDE.md; "
    "isolation in InferenceX's env.sh)",
    "MORI_RDMA_DEVICES": "MoRI's default is all adapters (MoRI 624002c8, MORI-SHMEM-GUIDE.md)",
    "MORI_SOCKET_IFNAME": "MoRI's default is a guess (MoRI 624002c8, MORI-SHMEM-GUIDE.md)",
    "MORI_RDMA_TC": "traffic class of the lossless network, for experts (InferenceX env.sh, "
    "commit 843c625)",
    "MORI_RDMA_SL": "service level of the lossless network, for experts (InferenceX env.sh, "
    "commit 843c625)",
    "MORI_IO_TC": "traffic class of the lossless network, for KV cache (InferenceX env.sh, commit "
    "843c625)",
    "MORI_IO_SL": "service level of the lossless network, for KV cache (InferenceX env.sh, commit "
    "843c625)",
    "MORI_IO_QP_MAX_SEND_WR": "a full send queue delays transfers (MoRI 624002c8, "
    "src/io/rdma/common.cpp; 16384 in InferenceX's env.sh)",
    "TORCH_NCCL_BLOCKING_WAIT": "up to ROCm 7.2.0 RCCL's watchdog breaks the capture of graphs "
    "(hipErrorCapturedEvent; InferenceX env.sh, commit 843c625, 2026-08-21)",
}
WITHOUT = {
    "llamacpp": "llama.cpp does not spread experts over ranks",
    "transformers": "transformers serve does not spread experts over ranks",
    "trtllm": "TensorRT-LLM runs on NVIDIA GPUs",
}
