/* A stub of AMD SMI's library, for tests without a GPU. Symbols, structs and status codes as amdsmi
 * 7.0.2 declares them (amdsmi_wrapper.py); a test compares the sizes. Eight GPUs of 750 W; board 2
 * does not know its power cap, board 1 counts no energy. Environment:
 *   AMD_STUB_INIT          status of amdsmi_init       AMD_STUB_BOARDS      number of GPUs (8)
 *   AMD_STUB_FAIL          FUNCTION=STATUS[@BOARD],...: these functions fail (names without amdsmi_)
 *   AMD_STUB_LOST          BOARD:STATUS:FILE: all functions fail for it while FILE exists
 *   AMD_STUB_BLANK         gpu_metrics has no values, like on a GPU without that table
 *   AMD_STUB_PARTITIONS    partitions of each GPU (1)  AMD_STUB_NAME        the market name
 *   AMD_STUB_PID           a process on each GPU       AMD_STUB_PERF        performance level
 *   AMD_STUB_HIP           what is added to the index for HIP's number */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef void *handle_t;
typedef char text_t[256];

enum { OK = 0, INVALID = 1, NOT_SUPPORTED = 2, NOT_FOUND = 31 };

typedef struct { u32 major, minor, release; const char *build; } version_t;
typedef struct {
    text_t market_name; u32 vendor_id; text_t vendor_name; u32 subvendor_id; u64 device_id; u32 rev_id;
    text_t asic_serial; u32 oam_id, num_of_compute_units; u64 target_graphics_version;
    u32 subsystem_id, reserved[21];
} asic_info_t;
typedef struct {
    text_t model_number, product_serial, fru_id, product_name, manufacturer_name; u64 reserved[64];
} board_info_t;
typedef struct { text_t driver_version, driver_date, driver_name; } driver_info_t;
typedef struct { text_t name, build_date, part_number, version; u64 reserved[68]; } vbios_info_t;
typedef struct {
    u64 socket_power; u32 current_socket_power, average_socket_power;
    u64 gfx_voltage, soc_voltage, mem_voltage; u32 power_limit; u64 reserved[18];
} power_info_t;
typedef struct { u64 power_cap, default_power_cap, dpm_cap, min_power_cap, max_power_cap, reserved[3]; } power_cap_info_t;
typedef struct { u32 gfx_activity, umc_activity, mm_activity, reserved[13]; } engine_usage_t;
typedef struct { u32 vram_total, vram_used, reserved[2]; } vram_usage_t;
typedef struct { u32 clk, min_clk, max_clk; u8 clk_locked, clk_deep_sleep; u32 reserved[4]; } clk_info_t;
typedef struct { u64 kfd_id; u32 node_id, current_partition_id, reserved[12]; } kfd_info_t;
typedef struct { u32 drm_render, drm_card, hsa_id, hip_id; text_t hip_uuid; } enumeration_info_t;
typedef struct { u8 xgmi_lanes; u64 xgmi_hive_id, xgmi_node_id; u32 index, reserved[9]; } xgmi_info_t;
typedef struct { u32 total_links, status[8]; u64 reserved[7]; } xgmi_link_status_t;
typedef struct { u64 correctable_count, uncorrectable_count, deferred_count, reserved[5]; } error_count_t;
typedef struct {
    text_t name; u32 pid; u64 mem;
    struct { u64 gfx, enc; u32 reserved[12]; } engine_usage;
    struct { u64 gtt_mem, cpu_mem, vram_mem; u32 reserved[10]; } memory_usage;
    text_t container_name; u32 cu_occupancy, reserved[11];
} proc_info_t;
typedef struct {
    struct {
        u16 max_pcie_width; u32 max_pcie_speed, pcie_interface_version, slot_type, max_pcie_interface_version;
        u64 reserved[9];
    } pcie_static;
    struct {
        u16 pcie_width; u32 pcie_speed, pcie_bandwidth;
        u64 pcie_replay_count, pcie_l0_to_recovery_count, pcie_replay_roll_over_count;
        u64 pcie_nak_sent_count, pcie_nak_received_count;
        u32 pcie_lc_perf_other_end_recovery_count; u64 reserved[12];
    } pcie_metric;
    u64 reserved[32];
} pcie_info_t;
typedef struct {
    u32 gfx_busy_inst[8]; u16 jpeg_busy[40], vcn_busy[4];
    u64 gfx_busy_acc[8], gfx_below_host_limit_acc[8], gfx_below_host_limit_ppt_acc[8];
    u64 gfx_below_host_limit_thm_acc[8], gfx_low_utilization_acc[8], gfx_below_host_limit_total_acc[8];
} xcp_metrics_t;
typedef struct {
    u16 structure_size; u8 format_revision, content_revision;
    u16 temperature_edge, temperature_hotspot, temperature_mem, temperature_vrgfx, temperature_vrsoc, temperature_vrmem;
    u16 average_gfx_activity, average_umc_activity, average_mm_activity, average_socket_power;
    u64 energy_accumulator, system_clock_counter;
    u16 average_gfxclk, average_socclk, average_uclk, average_vclk0, average_dclk0, average_vclk1, average_dclk1;
    u16 current_gfxclk, current_socclk, current_uclk, current_vclk0, current_dclk0, current_vclk1, current_dclk1;
    u32 throttle_status; u16 current_fan_speed, pcie_link_width, pcie_link_speed;
    u32 gfx_activity_acc, mem_activity_acc; u16 temperature_hbm[4]; u64 firmware_timestamp;
    u16 voltage_soc, voltage_gfx, voltage_mem; u64 indep_throttle_status;
    u16 current_socket_power, vcn_activity[4]; u32 gfxclk_lock_status; u16 xgmi_link_width, xgmi_link_speed;
    u64 pcie_bandwidth_acc, pcie_bandwidth_inst, pcie_l0_to_recov_count_acc, pcie_replay_count_acc;
    u64 pcie_replay_rover_count_acc, xgmi_read_data_acc[8], xgmi_write_data_acc[8];
    u16 current_gfxclks[8], current_socclks[4], current_vclk0s[4], current_dclk0s[4], jpeg_activity[32];
    u32 pcie_nak_sent_count_acc, pcie_nak_rcvd_count_acc;
    u64 accumulation_counter, prochot_residency_acc, ppt_residency_acc, socket_thm_residency_acc;
    u64 vr_thm_residency_acc, hbm_thm_residency_acc;
    u16 num_partition; xcp_metrics_t xcp_stats[8]; u32 pcie_lc_perf_other_end_recovery;
    u64 vram_max_bandwidth; u16 xgmi_link_status[8];
} gpu_metrics_t;

/* Read by a test: sizes in the order of its list. */
u32 stub_sizes[] = {
    sizeof(version_t), sizeof(asic_info_t), sizeof(board_info_t), sizeof(driver_info_t), sizeof(vbios_info_t),
    sizeof(power_info_t), sizeof(power_cap_info_t), sizeof(engine_usage_t), sizeof(vram_usage_t),
    sizeof(clk_info_t), sizeof(kfd_info_t), sizeof(enumeration_info_t), sizeof(xgmi_info_t),
    sizeof(xgmi_link_status_t), sizeof(error_count_t), sizeof(proc_info_t), sizeof(pcie_info_t),
    sizeof(xcp_metrics_t), sizeof(gpu_metrics_t),
};
int stub_shutdowns = 0, stub_violation_queries = 0;

static int number(const char *name, int otherwise) { const char *v = getenv(name); return v ? atoi(v) : otherwise; }
static int partitions(void) { return number("AMD_STUB_PARTITIONS", 1); }
/* A handle is 1 + 16 * board + partition. */
static int board(handle_t h) { return (int)((size_t)h - 1) / 16; }
static int part(handle_t h) { return (int)((size_t)h - 1) % 16; }

/* The status that the environment wants of this function for this GPU. */
static int status(const char *function, handle_t h) {
    const char *lost = getenv("AMD_STUB_LOST"), *item = getenv("AMD_STUB_FAIL");
    if (lost && atoi(lost) == board(h)) {
        const char *code = strchr(lost, ':') + 1;
        if (access(strchr(code, ':') + 1, F_OK) == 0) return atoi(code);
    }
    while (item && *item) {
        size_t length = strcspn(item, "=");
        const char *end = item + strcspn(item, ","), *at = memchr(item, '@', (size_t)(end - item));
        if (length == strlen(function) && strncmp(item, function, length) == 0 && (!at || atoi(at + 1) == board(h)))
            return atoi(item + length + 1);
        item = *end ? end + 1 : end;
    }
    return OK;
}
#define CHECK(function) do { int code = status(function, h); if (code != OK) return code; } while (0)
static void put(char *place, const char *value) { snprintf(place, sizeof(text_t), "%s", value); }
static u64 ms(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000; }
static u64 energy(int index) { return index == 1 ? UINT64_MAX : ms() * 750 * 65536 / 1000; }

int amdsmi_init(u64 flags) { (void)flags; return number("AMD_STUB_INIT", OK); }
int amdsmi_shut_down(void) { stub_shutdowns++; return OK; }
void amdsmi_free_name_value_pairs(void *pairs) { (void)pairs; }
int amdsmi_get_lib_version(version_t *v) { v->major = 26; v->minor = 0; v->release = 2; v->build = "stub"; return OK; }
int amdsmi_get_socket_handles(u32 *count, handle_t *sockets) {
    handle_t h = NULL;
    CHECK("get_socket_handles");
    *count = (u32)number("AMD_STUB_BOARDS", 8);
    for (u32 i = 0; sockets && i < *count; i++) sockets[i] = (handle_t)(size_t)(1 + 16 * i);
    return OK;
}
int amdsmi_get_processor_handles(handle_t socket, u32 *count, handle_t *found) {
    *count = (u32)partitions();
    for (u32 i = 0; found && i < *count; i++) found[i] = (handle_t)((size_t)socket + i);
    return OK;
}

int amdsmi_get_gpu_asic_info(handle_t h, asic_info_t *a) {
    CHECK("get_gpu_asic_info");
    const char *name = getenv("AMD_STUB_NAME");
    put(a->market_name, name ? name : "AMD Instinct MI300X");
    put(a->vendor_name, "Advanced Micro Devices Inc. [AMD/ATI]");
    snprintf(a->asic_serial, sizeof(text_t), "0x%X", 0xA0 + board(h));
    a->vendor_id = a->subvendor_id = 0x1002; a->device_id = a->subsystem_id = 0x74a1;
    a->oam_id = (u32)board(h); a->num_of_compute_units = 304; a->target_graphics_version = 0x942;
    return OK;
}
int amdsmi_get_gpu_board_info(handle_t h, board_info_t *b) {
    CHECK("get_gpu_board_info");
    put(b->product_name, "AMD Instinct MI300X OAM"); put(b->manufacturer_name, "AMD");
    return OK;
}
int amdsmi_get_gpu_driver_info(handle_t h, driver_info_t *d) {
    CHECK("get_gpu_driver_info");
    put(d->driver_name, "amdgpu"); put(d->driver_version, "6.14.14"); put(d->driver_date, "2015/01/01 00:00");
    return OK;
}
int amdsmi_get_gpu_vbios_info(handle_t h, vbios_info_t *v) {
    CHECK("get_gpu_vbios_info");
    put(v->part_number, "113-M3000100-103"); put(v->version, "022.040.003.043.000001");
    return OK;
}
int amdsmi_get_gpu_device_bdf(handle_t h, u64 *bdf) { /* function: 3 bits, device: 5, bus: 8, domain: 48 */
    CHECK("get_gpu_device_bdf");
    *bdf = (u64)part(h) | (u64)(0x0c + 16 * board(h)) << 8;
    return OK;
}
int amdsmi_get_gpu_device_uuid(handle_t h, u32 *length, char *uuid) {
    CHECK("get_gpu_device_uuid");
    snprintf(uuid, *length, "%02xff74a1-0000-1000-8000-000000000000", 0xa0 + board(h));
    return OK;
}
int amdsmi_get_gpu_kfd_info(handle_t h, kfd_info_t *k) {
    CHECK("get_gpu_kfd_info");
    k->kfd_id = 1000 + (u64)(size_t)h; k->node_id = (u32)(size_t)h; k->current_partition_id = (u32)part(h);
    return OK;
}
int amdsmi_get_gpu_enumeration_info(handle_t h, enumeration_info_t *e) {
    CHECK("get_gpu_enumeration_info");
    e->hip_id = (u32)(board(h) * partitions() + part(h) + number("AMD_STUB_HIP", 0));
    put(e->hip_uuid, "GPU-00000000000000a0");
    return OK;
}
int amdsmi_get_gpu_compute_partition(handle_t h, char *mode, u32 length) {
    CHECK("get_gpu_compute_partition");
    snprintf(mode, length, "%s", partitions() > 1 ? "CPX" : "SPX");
    return OK;
}
int amdsmi_get_gpu_memory_partition(handle_t h, char *mode, u32 length) {
    CHECK("get_gpu_memory_partition");
    snprintf(mode, length, "%s", partitions() > 1 ? "NPS4" : "NPS1");
    return OK;
}
int amdsmi_get_gpu_ecc_enabled(handle_t h, u64 *blocks) { CHECK("get_gpu_ecc_enabled"); *blocks = 0x1 | 0x4; return OK; }
int amdsmi_get_gpu_total_ecc_count(handle_t h, error_count_t *e) {
    CHECK("get_gpu_total_ecc_count");
    e->correctable_count = 5; e->uncorrectable_count = board(h) == 6 ? 2 : 0;
    return OK;
}
int amdsmi_get_gpu_topo_numa_affinity(handle_t h, int32_t *node) { CHECK("get_gpu_topo_numa_affinity"); *node = board(h) / 4; return OK; }
int amdsmi_get_gpu_perf_level(handle_t h, u32 *level) { CHECK("get_gpu_perf_level"); *level = (u32)number("AMD_STUB_PERF", 0); return OK; }
int amdsmi_get_xgmi_info(handle_t h, xgmi_info_t *x) { CHECK("get_xgmi_info"); x->xgmi_hive_id = 0xbeef; x->index = (u32)board(h); return OK; }
int amdsmi_get_gpu_xgmi_link_status(handle_t h, xgmi_link_status_t *x) { /* 0: down, 1: up, 2: disabled */
    CHECK("get_gpu_xgmi_link_status");
    x->total_links = 8;
    for (int i = 0; i < 8; i++) x->status[i] = i == board(h) ? 2 : 1;
    if (board(h) == 7) x->status[0] = 0;
    return OK;
}
int amdsmi_get_pcie_info(handle_t h, pcie_info_t *p) { /* MT/s */
    CHECK("get_pcie_info");
    p->pcie_static.max_pcie_width = 16; p->pcie_static.max_pcie_speed = 32000;
    p->pcie_metric.pcie_width = board(h) == 3 ? 8 : 16; p->pcie_metric.pcie_speed = board(h) == 3 ? 16000 : 32000;
    return OK;
}
int amdsmi_get_gpu_process_list(handle_t h, u32 *count, proc_info_t *found) {
    CHECK("get_gpu_process_list");
    *count = getenv("AMD_STUB_PID") ? 1 : 0;
    if (*count) { found->pid = (u32)number("AMD_STUB_PID", 0); put(found->name, "python3"); }
    return OK;
}

int amdsmi_get_power_cap_info(handle_t h, u32 sensor, power_cap_info_t *p) { /* uW */
    (void)sensor;
    CHECK("get_power_cap_info");
    p->power_cap = board(h) == 5 ? 600000000 : 750000000; p->default_power_cap = p->max_power_cap = 750000000;
    return board(h) == 2 ? NOT_SUPPORTED : OK;
}
int amdsmi_get_power_info(handle_t h, power_info_t *p) {
    CHECK("get_power_info");
    p->current_socket_power = 740; p->average_socket_power = 0xFFFF; p->socket_power = 740;
    return OK;
}
int amdsmi_get_energy_count(handle_t h, u64 *count, float *unit_uj, u64 *timestamp) {
    CHECK("get_energy_count");
    *count = energy(board(h)); *unit_uj = 15.3F; *timestamp = ms() * 1000000;
    return board(h) == 1 ? NOT_SUPPORTED : OK;
}
int amdsmi_get_gpu_activity(handle_t h, engine_usage_t *e) {
    CHECK("get_gpu_activity");
    e->gfx_activity = 66; e->umc_activity = 30; e->mm_activity = 0xFFFF;
    return OK;
}
int amdsmi_get_gpu_vram_usage(handle_t h, vram_usage_t *v) { /* MiB */
    CHECK("get_gpu_vram_usage");
    v->vram_total = (u32)(196592 / (partitions() > 1 ? 4 : 1)); v->vram_used = 5120;
    return OK;
}
int amdsmi_get_gpu_memory_total(handle_t h, u32 kind, u64 *bytes) { (void)kind; CHECK("get_gpu_memory_total"); *bytes = 196592ull << 20; return OK; }
int amdsmi_get_gpu_memory_usage(handle_t h, u32 kind, u64 *bytes) { (void)kind; CHECK("get_gpu_memory_usage"); *bytes = 6ull << 30; return OK; }
int amdsmi_get_temp_metric(handle_t h, u32 sensor, u32 metric, int64_t *celsius) { /* sensor 1: hot spot, 2: memory */
    CHECK("get_temp_metric");
    if (metric != 0) return INVALID;
    *celsius = sensor == 1 ? 71 : sensor == 2 ? 61 : 0;
    return OK;
}
int amdsmi_get_clock_info(handle_t h, u32 kind, clk_info_t *c) { /* MHz; kind 0: GFX, 4: memory */
    CHECK("get_clock_info");
    c->clk = kind == 0 ? 2000 : 1250; c->max_clk = kind == 0 ? 2100 : 1300;
    return OK;
}
/* Like the library: it waits 100 ms. */
int amdsmi_get_violation_status(handle_t h, void *place) { (void)place; stub_violation_queries++; CHECK("get_violation_status"); usleep(100000); return NOT_SUPPORTED; }
int amdsmi_get_gpu_metrics_info(handle_t h, gpu_metrics_t *m) {
    CHECK("get_gpu_metrics_info");
    memset(m, 0xFF, sizeof *m);
    if (getenv("AMD_STUB_BLANK")) return OK;
    m->current_socket_power = 750; m->energy_accumulator = energy(board(h));
    m->average_gfx_activity = 77; m->temperature_hotspot = 70; m->temperature_mem = 60;
    m->current_gfxclk = 2100; m->current_uclk = 1300;
    m->accumulation_counter = ms(); /* counts ms; board 0 is at its cap for half of the time, 4 is hot */
    m->prochot_residency_acc = board(h) == 3 ? ms() : 7; m->ppt_residency_acc = board(h) == 0 ? ms() / 2 : 7;
    m->socket_thm_residency_acc = board(h) == 4 ? ms() / 10 : 7; m->vr_thm_residency_acc = 7;
    m->hbm_thm_residency_acc = board(h) == 4 ? ms() / 1000 : 7;
    return OK;
}

/* All other symbols that amdsmi wants. */
#define X(name) int amdsmi_##name(void) { return NOT_SUPPORTED; }
#define REST \
    X(clean_gpu_local_data) X(cpu_apb_disable) X(cpu_apb_enable) X(first_online_core_on_cpu_socket) \
    X(get_afids_from_cper) X(get_clk_freq) X(get_cpu_affinity_with_scope) X(get_cpu_cclk_limit) \
    X(get_cpu_core_boostlimit) X(get_cpu_core_current_freq_limit) X(get_cpu_core_energy) \
    X(get_cpu_cores_per_socket) X(get_cpu_current_io_bandwidth) X(get_cpu_current_xgmi_bw) \
    X(get_cpu_ddr_bw) X(get_cpu_dimm_power_consumption) X(get_cpu_dimm_temp_range_and_refresh_rate) \
    X(get_cpu_dimm_thermal_sensor) X(get_cpu_family) X(get_cpu_fclk_mclk) X(get_cpu_handles) \
    X(get_cpu_hsmp_driver_version) X(get_cpu_hsmp_proto_ver) X(get_cpu_model) X(get_cpu_model_name) \
    X(get_cpu_prochot_status) X(get_cpu_pwr_svi_telemetry_all_rails) X(get_cpu_smu_fw_version) \
    X(get_cpu_socket_c0_residency) X(get_cpu_socket_count) \
    X(get_cpu_socket_current_active_freq_limit) X(get_cpu_socket_energy) \
    X(get_cpu_socket_freq_range) X(get_cpu_socket_lclk_dpm_level) X(get_cpu_socket_power) \
    X(get_cpu_socket_power_cap) X(get_cpu_socket_power_cap_max) X(get_cpu_socket_temperature) \
    X(get_cpucore_handles) X(get_esmi_err_msg) X(get_fw_info) \
    X(get_gpu_accelerator_partition_profile) X(get_gpu_accelerator_partition_profile_config) \
    X(get_gpu_available_counters) X(get_gpu_bad_page_info) X(get_gpu_bad_page_threshold) \
    X(get_gpu_bdf_id) X(get_gpu_busy_percent) X(get_gpu_cache_info) X(get_gpu_compute_process_gpus) \
    X(get_gpu_compute_process_info) X(get_gpu_compute_process_info_by_pid) X(get_gpu_cper_entries) \
    X(get_gpu_ecc_count) X(get_gpu_ecc_status) X(get_gpu_event_notification) X(get_gpu_fan_rpms) \
    X(get_gpu_fan_speed) X(get_gpu_fan_speed_max) X(get_gpu_id) X(get_gpu_mem_overdrive_level) \
    X(get_gpu_memory_partition_config) X(get_gpu_memory_reserved_pages) \
    X(get_gpu_metrics_header_info) X(get_gpu_od_volt_curve_regions) X(get_gpu_od_volt_info) \
    X(get_gpu_overdrive_level) X(get_gpu_pci_bandwidth) X(get_gpu_pci_replay_counter) \
    X(get_gpu_pci_throughput) X(get_gpu_pm_metrics_info) X(get_gpu_power_profile_presets) \
    X(get_gpu_process_isolation) X(get_gpu_ras_block_features_enabled) X(get_gpu_ras_feature_info) \
    X(get_gpu_reg_table_info) X(get_gpu_revision) X(get_gpu_subsystem_id) X(get_gpu_subsystem_name) \
    X(get_gpu_vendor_name) X(get_gpu_virtualization_mode) X(get_gpu_volt_metric) \
    X(get_gpu_vram_info) X(get_gpu_vram_vendor) X(get_gpu_xcd_counter) X(get_hsmp_metrics_table) \
    X(get_hsmp_metrics_table_version) X(get_link_metrics) X(get_link_topology_nearest) \
    X(get_minmax_bandwidth_between_processors) X(get_processor_count_from_handles) \
    X(get_processor_handle_from_bdf) X(get_processor_handles_by_type) X(get_processor_info) \
    X(get_processor_type) X(get_soc_pstate) X(get_socket_info) X(get_threads_per_core) \
    X(get_utilization_count) X(get_xgmi_plpd) X(gpu_control_counter) X(gpu_counter_group_supported) \
    X(gpu_create_counter) X(gpu_destroy_counter) X(gpu_driver_reload) X(gpu_read_counter) \
    X(gpu_validate_ras_eeprom) X(gpu_xgmi_error_status) X(init_gpu_event_notification) \
    X(is_P2P_accessible) X(is_gpu_power_management_enabled) X(reset_gpu) X(reset_gpu_fan) \
    X(reset_gpu_xgmi_error) X(set_clk_freq) X(set_cpu_core_boostlimit) X(set_cpu_df_pstate_range) \
    X(set_cpu_gmi3_link_width_range) X(set_cpu_pcie_link_rate) X(set_cpu_pwr_efficiency_mode) \
    X(set_cpu_socket_boostlimit) X(set_cpu_socket_lclk_dpm_level) X(set_cpu_socket_power_cap) \
    X(set_cpu_xgmi_width) X(set_gpu_accelerator_partition_profile) X(set_gpu_clk_limit) \
    X(set_gpu_clk_range) X(set_gpu_compute_partition) X(set_gpu_event_notification_mask) \
    X(set_gpu_fan_speed) X(set_gpu_memory_partition) X(set_gpu_memory_partition_mode) \
    X(set_gpu_od_clk_info) X(set_gpu_od_volt_info) X(set_gpu_overdrive_level) \
    X(set_gpu_pci_bandwidth) X(set_gpu_perf_determinism_mode) X(set_gpu_perf_level) \
    X(set_gpu_power_profile) X(set_gpu_process_isolation) X(set_power_cap) X(set_soc_pstate) \
    X(set_xgmi_plpd) X(status_code_to_string) X(stop_gpu_event_notification) X(topo_get_link_type) \
    X(topo_get_link_weight) X(topo_get_numa_node_number) X(topo_get_p2p_status)
REST
