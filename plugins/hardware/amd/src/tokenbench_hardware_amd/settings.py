"""What processes on AMD GPUs need: variables of HIP and RCCL, device nodes, groups."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import DeviceSettings, FrozenMap

# ROCm documentation 10.2, "ROCm environment variables" and "GPU isolation techniques" (read
# 2026-11): ROCR_VISIBLE_DEVICES filters for all programs, HIP_VISIBLE_DEVICES for HIP, among what
# is left; CUDA_VISIBLE_DEVICES is another name of the latter. It recommends the first on Linux, but
# Ray refuses it without the second, and refuses different lists in the second and third
# (python/ray/_private/accelerators/amd_gpu.py, read 2026-11). Slurm sets the third.
_VISIBLE = DeviceSettings(
    reason="selects the GPUs. ROCR_VISIBLE_DEVICES must not be set as well: HIP would count within "
    "its list",
    environment=FrozenMap(
        {"HIP_VISIBLE_DEVICES": "{devices}", "CUDA_VISIBLE_DEVICES": "{devices}"}
    ),
)
# ROCm documentation, "Running ROCm Docker containers" (2026-01-20): /dev/kfd is the interface for
# compute, /dev/dri has a node for each GPU. "Prerequisites" of ROCm's installation on Linux (read
# 2026-11): users of the GPUs are in the groups video and render.
_ACCESS = DeviceSettings(
    reason="the compute interface shared by all GPUs, the node of each GPU, and the groups that "
    "may open them",
    devices=("/dev/kfd", "/dev/dri"),
    groups=("video", "render"),
)
# ROCm documentation, "vLLM V1 performance optimization" (2025-12-09 and of ROCm 10.2): for MI300X,
# MI325X, MI350X and MI355X; AMD's images of vLLM set it.
_KERNARG = DeviceSettings(
    reason="kernels start faster with their arguments in the GPU's memory; AMD's images set it",
    environment=FrozenMap({"HIP_FORCE_DEV_KERNARG": "1"}),
)
# The same page: RCCL takes 32 to 64 channels of an MI300X by default. Release notes of RCCL 2.26.6
# (ROCm 7.0.0, 2025-09-16): on eight GPUs of the MI350 series (gfx950), 112 are the default.
_CHANNELS = DeviceSettings(
    reason="more channels of RCCL between the GPUs of a host; has no effect on one GPU",
    environment=FrozenMap({"NCCL_MIN_NCHANNELS": "112"}),
)

_BY_SKU = {
    "mi300x": (_KERNARG, _CHANNELS),
    "mi325x": (_KERNARG,),
    "mi355x": (_KERNARG,),
}


def settings(sku: str | None) -> Sequence[DeviceSettings]:
    """The settings for GPUs of this SKU; for others, those of all AMD GPUs."""
    return (_VISIBLE, _ACCESS, *_BY_SKU.get(sku or "", ()))
