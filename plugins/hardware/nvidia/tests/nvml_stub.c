/* A stub of the driver's NVML, for tests without a GPU. Signatures, structs and codes as in nvml.h.
 * Eight boards of 700 W. Environment:
 *   NVML_STUB_RC      return code of nvmlInit         NVML_STUB_BOARDS  number of boards (8)
 *   NVML_STUB_FAIL=FUNCTION:BOARD:CODE[:FILE],...     these functions (by the start of their names)
 *                     fail for a board (* for all), while FILE exists (!FILE: until it exists)
 *   NVML_STUB_MIG=I   board I is in MIG mode with two instances (NVML_STUB_MIG_EMPTY: with none)
 *   NVML_STUB_RACK    GB200 NVL72: a fabric           NVML_STUB_BROKEN=I  board I has all faults
 *   NVML_STUB_PIDS=P,P,...  compute, graphics and MPS process of board 0
 * -DOLD_DRIVER omits functions, as driver 450 does on a V100. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef void *device_t;
typedef struct { u32 gpu, memory; } utilization_t;
typedef struct { u64 total, free, used; } memory_t;
typedef struct { u32 version; u64 total, reserved, free, used; } memory_v2_t;
typedef struct { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; } pci_t;
typedef struct { u32 pid; u64 memory; u32 instance, compute; } process_t;
typedef struct { u32 version, sensor; int celsius; } temperature_t;
typedef struct { u32 slices[8]; u64 mib; } attributes_t;
typedef struct { unsigned char uuid[16]; int status; u32 clique; unsigned char state; } fabric_t;
typedef struct { u32 version; unsigned char uuid[16]; int status; u32 clique; unsigned char state; u32 mask; unsigned char summary; } fabric_v3_t;
typedef struct { u32 field, scope; long long time, latency; u32 type; int rc; union { double d; u32 u; u64 ull; } value; } field_t;
enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

int stub_energy_calls = 0, stub_pid_calls = 0, stub_shutdowns = 0; /* read by the tests */

static int number(const char *name, int otherwise) { const char *v = getenv(name); return v ? atoi(v) : otherwise; }
static int slot(device_t d) { size_t n = (size_t)d; return n >= 0x1000 ? (int)(n & 0xf) : -1; }
static int id(device_t d) { size_t n = (size_t)d; return n >= 0x1000 ? (int)((n - 0x1000) >> 4) : (int)n - 1; }
static int mig(device_t d) { return number("NVML_STUB_MIG", -1) == id(d); }
static int broken(device_t d) { return number("NVML_STUB_BROKEN", -1) == id(d); }
static int fail(const char *function, int board) {
    char all[2048], *entry, *rest = all;
    const char *wanted = getenv("NVML_STUB_FAIL");
    if (!wanted) return OK;
    snprintf(all, sizeof all, "%s", wanted);
    while ((entry = strsep(&rest, ","))) {
        char *name = strsep(&entry, ":"), *which = strsep(&entry, ":"), *code = strsep(&entry, ":");
        if (strncmp(function, name, strlen(name)) || (*which != '*' && atoi(which) != board)) continue;
        if (entry && (*entry == '!' ? !access(entry + 1, F_OK) : access(entry, F_OK))) continue;
        return atoi(code);
    }
    return OK;
}
#define TRY(d) do { int rc = fail(__func__, id(d)); if (rc) return rc; } while (0)
#define GIVE(name, type, value) int name(device_t d, type *place) { TRY(d); *place = (value); return OK; }
#define GIVE_OF(name, kind, type, value) int name(device_t d, kind which, type *place) { TRY(d); (void)which; *place = (value); return OK; }
#define TEXT(name, ...) int name(device_t d, char *text, u32 size) { TRY(d); snprintf(text, size, __VA_ARGS__); return OK; }

int nvmlInitWithFlags(u32 flags) { (void)flags; return number("NVML_STUB_RC", OK); }
int nvmlInit_v2(void) { return number("NVML_STUB_RC", OK); }
int nvmlShutdown(void) { stub_shutdowns++; return OK; }
const char *nvmlErrorString(int code) { (void)code; return "message of the stub"; }
int nvmlSystemGetDriverVersion(char *text, u32 size) { TRY(0); snprintf(text, size, "580.95.05"); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { TRY(0); *version = 13020; return OK; }
int nvmlDeviceGetCount_v2(u32 *count) { TRY(0); *count = (u32)number("NVML_STUB_BOARDS", 8); return OK; }
int nvmlDeviceGetHandleByIndex_v2(u32 index, device_t *d) {
    device_t found = (device_t)(size_t)(index + 1);
    if (index >= (u32)number("NVML_STUB_BOARDS", 8)) return INVALID_ARGUMENT;
    TRY(found);
    *d = found;
    return OK;
}
TEXT(nvmlDeviceGetName, slot(d) == 1 ? "NVIDIA H200" : slot(d) == 0 ? "NVIDIA H200 MIG 3g.71gb" : "NVIDIA H200")
TEXT(nvmlDeviceGetUUID, slot(d) < 0 ? "GPU-stub-%d" : "MIG-stub-%d-%d", id(d), slot(d))
TEXT(nvmlDeviceGetVbiosVersion, "96.00.A5.00.01")
int nvmlDeviceGetPciInfo_v3(device_t d, pci_t *pci) {
    TRY(d);
    memset(pci, 0, sizeof *pci);
    pci->bus = 0x1a + (u32)id(d) * 16;
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", pci->bus);
    return OK;
}
GIVE(nvmlDeviceGetPowerManagementLimit, u32, id(d) == 2 ? 600000 : 700000)
GIVE(nvmlDeviceGetPowerManagementDefaultLimit, u32, 700000)
GIVE(nvmlDeviceGetEnforcedPowerLimit, u32, id(d) == 3 ? 500000 : 700000)
GIVE_OF(nvmlDeviceGetMaxClockInfo, int, u32, which == 1 ? 1980 : 3201)
GIVE_OF(nvmlDeviceGetClockInfo, int, u32, which == 1 ? 1755 : 3200)
GIVE_OF(nvmlDeviceGetApplicationsClock, int, u32, id(d) == 4 ? 1500 : 1980)
GIVE_OF(nvmlDeviceGetDefaultApplicationsClock, int, u32, 1980)
int nvmlDeviceGetEccMode(device_t d, u32 *now, u32 *next) { TRY(d); *now = *next = 1; return OK; }
GIVE(nvmlDeviceGetPersistenceMode, u32, 1)
GIVE(nvmlDeviceGetCurrPcieLinkGeneration, u32, id(d) == 5 ? 1 : 5)
GIVE(nvmlDeviceGetMaxPcieLinkGeneration, u32, 5)
GIVE(nvmlDeviceGetCurrPcieLinkWidth, u32, 16)
GIVE(nvmlDeviceGetMaxPcieLinkWidth, u32, 16)
int nvmlDeviceGetNvLinkState(device_t d, u32 link, u32 *up) {
    TRY(d);
    if (link >= 18) return INVALID_ARGUMENT;
    *up = !(id(d) == 6 && link == 0);
    return OK;
}
int nvmlDeviceGetTotalEccErrors(device_t d, int kind, int counter, u64 *n) { TRY(d); *n = broken(d) && kind == 1 && counter == 0 ? 2 : 0; return OK; }
GIVE(nvmlDeviceGetRetiredPagesPendingStatus, u32, (u32)broken(d))

GIVE(nvmlDeviceGetPowerUsage, u32, 700000)
int nvmlDeviceGetTotalEnergyConsumption(device_t d, u64 *mj) {
    struct timespec now;
    stub_energy_calls += id(d) == 1;
    TRY(d);
    clock_gettime(CLOCK_MONOTONIC, &now);
    *mj = (u64)now.tv_sec * 700000 + (u64)now.tv_nsec * 7 / 10000;
    return OK;
}
int nvmlDeviceGetUtilizationRates(device_t d, utilization_t *u) { TRY(d); u->gpu = 77; u->memory = 12; return slot(d) < 0 ? OK : NOT_SUPPORTED; }
int nvmlDeviceGetMemoryInfo(device_t d, memory_t *m) {
    TRY(d);
    m->total = (slot(d) < 0 ? 143771ull : 70144ull) << 20;
    m->used = 5ull << 30;
    m->free = m->total - m->used;
    return OK;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(device_t d, u64 *bits) { TRY(d); *bits = id(d) == 7 ? 0x2 : id(d) ? 0x4 : 0x44; return OK; }
int nvmlDeviceGetTemperature(device_t d, int sensor, u32 *celsius) { TRY(d); *celsius = sensor == 0 ? 61 : 0; return OK; }
int nvmlDeviceGetFieldValues(device_t d, int count, field_t *fields) {
    TRY(d);
    for (int i = 0; i < count; i++) {
        fields[i].type = 1;
        fields[i].rc = OK;
        if (fields[i].field == 82) { fields[i].value.u = id(d) == 1 ? 0 : 72; fields[i].rc = fail("field82", id(d)); }
        else if (fields[i].field == 230) { fields[i].value.u = broken(d) ? 2 : 0; fields[i].rc = fail("field230", id(d)); }
        else fields[i].rc = NOT_SUPPORTED;
    }
    return OK;
}
static int processes(device_t d, int which, u32 *count, process_t *list) {
    char all[256], *rest = all, *entry = NULL;
    u32 room = *count;
    snprintf(all, sizeof all, "%s", getenv("NVML_STUB_PIDS") ? getenv("NVML_STUB_PIDS") : "");
    for (int i = 0; i <= which; i++) entry = strsep(&rest, ",");
    *count = id(d) == 0 && entry && *entry;
    if (!*count) return OK;
    if (room < 1) return INSUFFICIENT_SIZE;
    list[0] = (process_t){(u32)atoi(entry), 1ull << 30, 0xffffffff, 0xffffffff};
    return OK;
}
#ifdef OLD_DRIVER
#define LIST(kind, which) int nvmlDeviceGet##kind##RunningProcesses_v2(device_t d, u32 *count, process_t *list) { TRY(d); return processes(d, which, count, list); }
#else
#define LIST(kind, which) int nvmlDeviceGet##kind##RunningProcesses_v3(device_t d, u32 *count, process_t *list) { stub_pid_calls++; TRY(d); return processes(d, which, count, list); }
#endif
LIST(Compute, 0) LIST(Graphics, 1) LIST(MPSCompute, 2)

#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(device_t d, memory_v2_t *m) {
    TRY(d);
    if (m->version != 0x02000028) return 25;
    m->total = (slot(d) < 0 ? 143771ull : 70144ull) << 20;
    m->reserved = 600ull << 20;
    m->used = (5ull << 30) - m->reserved;
    return OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(device_t d, u64 *bits) { TRY(d); return nvmlDeviceGetCurrentClocksThrottleReasons(d, bits); }
int nvmlDeviceGetTemperatureV(device_t d, temperature_t *t) { TRY(d); if (t->version != 0x100000C) return 25; t->celsius = t->sensor == 0 ? 62 : 0; return OK; }
int nvmlDeviceGetMigMode(device_t d, u32 *now, u32 *next) { TRY(d); *now = *next = (u32)mig(d); return OK; }
GIVE(nvmlDeviceGetMaxMigDeviceCount, u32, mig(d) ? 7 : 0)
int nvmlDeviceGetMigDeviceHandleByIndex(device_t d, u32 index, device_t *found) {
    TRY(d);
    if (index != 0 && index != 3) return NOT_FOUND;
    if (getenv("NVML_STUB_MIG_EMPTY")) return NOT_FOUND;
    *found = (device_t)(size_t)(0x1000 + id(d) * 16 + (index ? 1 : 0));
    return OK;
}
GIVE(nvmlDeviceGetGpuInstanceId, u32, slot(d) ? 13 : 2)
int nvmlDeviceGetAttributes_v2(device_t d, attributes_t *a) { TRY(d); memset(a, 0, sizeof *a); a->slices[6] = 1; a->mib = 18000; return OK; }
int nvmlDeviceGetRemappedRows(device_t d, u32 *corrected, u32 *uncorrected, u32 *pending, u32 *failed) {
    TRY(d);
    *corrected = *uncorrected = *pending = *failed = (u32)broken(d);
    return OK;
}
static void fabric(device_t d, unsigned char *uuid, u32 *clique, unsigned char *state) {
    if (getenv("NVML_STUB_RACK")) { for (int i = 0; i < 16; i++) uuid[i] = (unsigned char)i; *clique = 7; }
    *state = (unsigned char)(id(d) == 0 || getenv("NVML_STUB_RACK") || broken(d) ? 3 : 0);
}
int nvmlDeviceGetGpuFabricInfoV(device_t d, fabric_v3_t *f) {
    TRY(d);
    if (f->version != 0x03000028 || sizeof *f != 0x28) return 25;
    fabric(d, f->uuid, &f->clique, &f->state);
    f->mask = broken(d) ? 0x1 | 0x2 << 2 | 5 << 8 : 0x2 | 0x1 << 8;
    return OK;
}
int nvmlDeviceGetGpuFabricInfo(device_t d, fabric_t *f) { TRY(d); fabric(d, f->uuid, &f->clique, &f->state); return OK; }
#endif
