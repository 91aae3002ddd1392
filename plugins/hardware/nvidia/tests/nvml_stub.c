/* A stand-in for the driver's NVML, for tests without a GPU: two boards, a growing energy counter,
 * and one function (temperature) left out, as old drivers do. Signatures as in nvml.h. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void *device_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;

static int fail(void) { const char *rc = getenv("NVML_STUB_RC"); return rc ? atoi(rc) : 0; }

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return fail(); }
int nvmlInit_v2(void) { return fail(); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == 9 ? "Driver Not Loaded" : "stub error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned int size) { strncpy(text, "580.1", size); return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t *device) {
    if (index > 1) return 2;
    *device = (device_t)(size_t)(index + 1);
    return 0;
}
int nvmlDeviceGetName(device_t d, char *text, unsigned int size) { (void)d; strncpy(text, "NVIDIA H200", size); return 0; }
int nvmlDeviceGetUUID(device_t d, char *text, unsigned int size) { (void)d; strncpy(text, "GPU-stub", size); return 0; }
int nvmlDeviceGetPowerUsage(device_t d, unsigned int *mw) { *mw = 500000 + 100000 * (unsigned)(size_t)d; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(device_t d, unsigned long long *mj) {
    struct timespec now;
    if ((size_t)d == 2) return 3; /* the second board does not support it */
    clock_gettime(CLOCK_MONOTONIC, &now);
    *mj = (unsigned long long)now.tv_sec * 600000ull + (unsigned long long)now.tv_nsec / 1667ull;
    return 0;
}
int nvmlDeviceGetUtilizationRates(device_t d, utilization_t *u) { (void)d; u->gpu = 77; u->memory = 12; return 0; }
int nvmlDeviceGetMemoryInfo(device_t d, memory_t *m) { (void)d; m->total = 150ull << 30; m->used = 5ull << 30; m->free = m->total - m->used; return 0; }
int nvmlDeviceGetClockInfo(device_t d, int kind, unsigned int *mhz) { (void)d; (void)kind; *mhz = 1980; return 0; }
int nvmlDeviceGetPowerManagementLimit(device_t d, unsigned int *mw) { (void)d; *mw = 600000; return 0; }
int nvmlDeviceGetPowerManagementDefaultLimit(device_t d, unsigned int *mw) { (void)d; *mw = 700000; return 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(device_t d, unsigned long long *bits) { (void)d; *bits = 0x44; return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(device_t d, unsigned long long *bits) { (void)d; *bits = 0x44; return 0; }
