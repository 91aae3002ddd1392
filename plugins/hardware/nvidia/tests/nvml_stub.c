/* A stub of the driver's NVML, for tests without a GPU. Signatures and codes as in nvml.h.
 * Eight boards of 700 W; board 1 does not support the energy counter. Environment:
 *   NVML_STUB_RC      return code of nvmlInit         NVML_STUB_BOARDS  number of boards (8)
 *   NVML_STUB_LOST=I:FILE  board I is lost while FILE exists     NVML_STUB_MIG=I  MIG mode on
 * -DOLD_DRIVER omits functions, like a driver older than nvidia-ml-py. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef void *device_t;
typedef struct { u32 gpu, memory; } utilization_t;
typedef struct { u64 total, free, used; } memory_t;
enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, LOST = 15 };

int stub_energy_refusals = 0, stub_shutdowns = 0; /* read by the tests */

static int number(const char *name, int otherwise) { const char *v = getenv(name); return v ? atoi(v) : otherwise; }
static int id(device_t d) { return (int)(size_t)d - 1; }
static int gone(int board) {
    const char *lost = getenv("NVML_STUB_LOST");
    return lost && atoi(lost) == board && access(strchr(lost, ':') + 1, F_OK) == 0;
}
static int give(device_t d, u32 *place, u32 value) { if (gone(id(d))) return LOST; *place = value; return OK; }
static int mig(device_t d) { return number("NVML_STUB_MIG", -1) == id(d); }

int nvmlInitWithFlags(u32 flags) { (void)flags; return number("NVML_STUB_RC", OK); }
int nvmlInit_v2(void) { return number("NVML_STUB_RC", OK); }
int nvmlShutdown(void) { stub_shutdowns++; return OK; }
const char *nvmlErrorString(int code) { (void)code; return "message of the stub"; }
int nvmlSystemGetDriverVersion(char *text, u32 size) { strncpy(text, "580.95.05", size); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13020; return OK; }
int nvmlDeviceGetCount_v2(u32 *count) { *count = (u32)number("NVML_STUB_BOARDS", 8); return OK; }
int nvmlDeviceGetHandleByIndex_v2(u32 index, device_t *d) {
    if (index >= (u32)number("NVML_STUB_BOARDS", 8)) return INVALID_ARGUMENT;
    if (gone((int)index)) return LOST;
    *d = (device_t)(size_t)(index + 1);
    return OK;
}
int nvmlDeviceGetName(device_t d, char *text, u32 size) { (void)d; strncpy(text, "NVIDIA H200", size); return OK; }
int nvmlDeviceGetUUID(device_t d, char *text, u32 size) { strncpy(text, "GPU-stub-0", size); text[9] += id(d); return OK; }
int nvmlDeviceGetPowerUsage(device_t d, u32 *mw) { return give(d, mw, 700000); }
int nvmlDeviceGetTotalEnergyConsumption(device_t d, u64 *mj) {
    struct timespec now;
    if (gone(id(d))) return LOST;
    if (id(d) == 1) { stub_energy_refusals++; return NOT_SUPPORTED; }
    clock_gettime(CLOCK_MONOTONIC, &now);
    *mj = (u64)now.tv_sec * 700000 + (u64)now.tv_nsec * 7 / 10000;
    return OK;
}
int nvmlDeviceGetUtilizationRates(device_t d, utilization_t *u) { u->memory = 12; return mig(d) ? NOT_SUPPORTED : give(d, &u->gpu, 77); }
int nvmlDeviceGetMemoryInfo(device_t d, memory_t *m) {
    if (gone(id(d))) return LOST;
    m->total = 143771ull << 20; m->used = 5ull << 30; m->free = m->total - m->used;
    return OK;
}
int nvmlDeviceGetClockInfo(device_t d, int kind, u32 *mhz) { return give(d, mhz, kind == 1 ? 1980 : 1); }
int nvmlDeviceGetPowerManagementLimit(device_t d, u32 *mw) { return give(d, mw, id(d) == 2 ? 600000 : 700000); }
int nvmlDeviceGetPowerManagementDefaultLimit(device_t d, u32 *mw) { return give(d, mw, 700000); }
int nvmlDeviceGetMigMode(device_t d, u32 *now, u32 *next) { *next = 0; return give(d, now, (u32)mig(d)); }
int nvmlDeviceGetCurrentClocksThrottleReasons(device_t d, u64 *bits) { *bits = id(d) ? 0x4 : 0x44; return gone(id(d)) ? LOST : OK; }
#ifndef OLD_DRIVER
int nvmlDeviceGetCurrentClocksEventReasons(device_t d, u64 *bits) { return nvmlDeviceGetCurrentClocksThrottleReasons(d, bits); }
int nvmlDeviceGetTemperature(device_t d, int sensor, u32 *celsius) { return give(d, celsius, sensor == 0 ? 61 : 0); }
#endif
