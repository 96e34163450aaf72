/* c_client SCENARIO HOST:PORT: drives Debian's C client library through one scenario and prints what it saw. */
#include "common.h"

#include <stdio.h>
#include <string.h>

const char *server_address;

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"sync_calls", scenario_sync_calls}, {"async_calls", scenario_async_calls},
    {"create_modes", scenario_create_modes}, {"multi", scenario_multi},
    {"watches", scenario_watches}, {"acl_and_auth", scenario_acl_and_auth},
    {"sessions", scenario_sessions}, {"reconnect", scenario_reconnect},
};

int main(int argc, char **argv) {
    if (argc != 3) fail("usage: c_client SCENARIO HOST:PORT");
    server_address = argv[2];
    /* A crash must not swallow what was seen before it. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        if (strcmp(scenarios[i].name, argv[1]) == 0) {
            scenarios[i].run();
            printf("end\n");
            return 0;
        }
    fail("no scenario called %s", argv[1]);
}
