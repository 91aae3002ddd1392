/* A module of ipmi_sim (OpenIPMI 2.0.33): DCMI's Get Power Reading, with the power from a file.

   DCMI specification 1.5, 6.6.1. A negative number in the file is a completion code. */

#include <stdio.h>
#include <string.h>
#include <OpenIPMI/mcserv.h>
#include <OpenIPMI/serv.h>

#define DCMI 0xdc
#define GET_POWER_READING 2

static char file[4096];

static void put(unsigned char *at, int watts)
{
    at[0] = watts & 0xff;
    at[1] = watts >> 8;
}

static void handle(lmc_data_t *mc, msg_t *msg, unsigned char *rdata, unsigned int *rdata_len,
                   void *data)
{
    int watts = -0xc1;
    FILE *in = fopen(file, "r");

    if (in) {
        if (fscanf(in, "%d", &watts) != 1)
            watts = -0xc1;
        fclose(in);
    }
    if (msg->cmd != GET_POWER_READING)
        watts = -0xc1;
    memset(rdata, 0, 19);
    rdata[1] = DCMI;
    if (watts < 0) {
        rdata[0] = -watts;
        *rdata_len = 2;
        return;
    }
    put(rdata + 2, watts);
    put(rdata + 4, 100);
    put(rdata + 6, 9000);
    put(rdata + 8, 777);
    rdata[14] = 0xe8; /* 1000 ms */
    rdata[15] = 0x03;
    rdata[18] = watts ? 0x40 : 0;
    *rdata_len = 19;
}

int ipmi_sim_module_print_version(sys_data_t *sys, char *options)
{
    return 0;
}

int ipmi_sim_module_init(sys_data_t *sys, const char *options)
{
    snprintf(file, sizeof(file), "%s", options ? options : "");
    ipmi_emu_register_group_extension_handler(DCMI, handle, NULL);
    return 0;
}
