/* All create modes, sequence numbers, containers and TTL nodes (the server runs with extendedTypesEnabled). */
#include "common.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void create(zhandle_t *zh, const char *what, const char *path, int mode) {
    char made[128] = "";
    struct Stat stat;
    int rc = zoo_create2(zh, path, "x", 1, &ZOO_OPEN_ACL_UNSAFE, mode, made, sizeof made, &stat);
    printf("%s %s: %s %s\n", what, path, code_name(rc), made);
    if (rc == ZOK) say_stat(zh, &stat);
    memset(made, 0, sizeof made);
}

static void create_ttl(zhandle_t *zh, const char *path, int mode, int64_t ttl_ms) {
    char made[128] = "";
    struct Stat stat;
    int rc = zoo_create2_ttl(zh, path, "x", 1, &ZOO_OPEN_ACL_UNSAFE, mode, ttl_ms, made, sizeof made, &stat);
    printf("ttl %lld mode %d %s: %s %s\n", (long long)ttl_ms, mode, path, code_name(rc), made);
    if (rc == ZOK) {
        say_stat(zh, &stat);
        rc = zoo_exists(zh, made, 0, &stat);
        say_code("  exists", rc);
    }
}

static void wait_until_gone(zhandle_t *zh, const char *path) {
    for (int waited = 0; zoo_exists(zh, path, 0, NULL) == ZOK; waited += 50) {
        if (waited > 30000) fail("%s is still there after 30 s", path);
        usleep(50000);
    }
    printf("gone: %s\n", path);
}

void scenario_create_modes(void) {
    zhandle_t *zh = connect_client(10000, NULL);
    struct Stat stat;
    struct String_vector names;

    section("modes");
    create(zh, "persistent", "/p", ZOO_PERSISTENT);
    create(zh, "ephemeral", "/e", ZOO_EPHEMERAL);
    create(zh, "below an ephemeral", "/e/child", ZOO_PERSISTENT);
    create(zh, "container", "/c", ZOO_CONTAINER);
    create(zh, "in a container", "/c/child", ZOO_PERSISTENT);
    say_code("exists /c", zoo_exists(zh, "/c", 0, &stat));
    say_stat(zh, &stat);

    section("sequence numbers count creations");
    create(zh, "sequential", "/p/s-", ZOO_PERSISTENT_SEQUENTIAL);
    create(zh, "sequential", "/p/s-", ZOO_PERSISTENT_SEQUENTIAL);
    create(zh, "plain", "/p/plain", ZOO_PERSISTENT);
    create(zh, "ephemeral sequential", "/p/es-", ZOO_EPHEMERAL_SEQUENTIAL);
    say_code("delete", zoo_delete(zh, "/p/plain", -1));
    create(zh, "sequential", "/p/", ZOO_PERSISTENT_SEQUENTIAL);
    create(zh, "sequential at the root", "/s", ZOO_PERSISTENT_SEQUENTIAL);
    say_code("get_children /p", zoo_get_children2(zh, "/p", 0, &names, &stat));
    say_names(&names);
    say_stat(zh, &stat);
    deallocate_String_vector(&names);

    section("TTL");
    create_ttl(zh, "/ttl", ZOO_PERSISTENT_WITH_TTL, 300);
    create_ttl(zh, "/ttl-s-", ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL, 3600000);
    create_ttl(zh, "/ttl-max", ZOO_PERSISTENT_WITH_TTL, 0xffffffffffLL);
    create_ttl(zh, "/ttl-parent", ZOO_PERSISTENT_WITH_TTL, 1500);
    create(zh, "below a TTL node", "/ttl-parent/child", ZOO_PERSISTENT);
    create_ttl(zh, "/ttl-zero", ZOO_PERSISTENT_WITH_TTL, 0);
    create_ttl(zh, "/ttl-negative", ZOO_PERSISTENT_WITH_TTL, -1);
    create_ttl(zh, "/ttl-huge", ZOO_PERSISTENT_WITH_TTL, 0x10000000000LL);
    create_ttl(zh, "/ttl-plain", ZOO_PERSISTENT, 100);
    create(zh, "TTL mode without TTL", "/ttl-none", ZOO_PERSISTENT_WITH_TTL);
    char made[64];
    say_code("create_ttl", zoo_create_ttl(zh, "/ttl-old", "x", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL,
                                          3600000, made, sizeof made));

    section("the reaper");
    wait_until_gone(zh, "/ttl");
    say_code("a TTL node with a child stays", zoo_exists(zh, "/ttl-parent", 0, NULL));
    say_code("delete its child", zoo_delete(zh, "/ttl-parent/child", -1));
    wait_until_gone(zh, "/ttl-parent");
    say_code("a container with a child stays", zoo_exists(zh, "/c", 0, NULL));
    say_code("delete its child", zoo_delete(zh, "/c/child", -1));
    wait_until_gone(zh, "/c");
    say_code("a TTL of an hour stays", zoo_exists(zh, "/ttl-s-0000000005", 0, NULL));

    section("ephemerals go with their session");
    zhandle_t *other = connect_client(10000, NULL);
    say_code("exists /e for another", zoo_exists(other, "/e", 0, &stat));
    say_stat(other, &stat);
    close_client(zh);
    say_code("exists /e after close", zoo_exists(other, "/e", 0, &stat));
    say_code("get_children /", zoo_get_children(other, "/", 0, &names));
    say_names(&names);
    close_client(other);
}
