/* Transactions: answers, failures, what later operations see of earlier ones. */
#include "common.h"

#include <stdio.h>
#include <string.h>

#define OPS_MAX 16

static zoo_op_t ops[OPS_MAX];
static zoo_op_result_t results[OPS_MAX];
static char paths[OPS_MAX][64];
static struct Stat stats[OPS_MAX];
static int count;

static void begin(const char *title) {
    section(title);
    memset(ops, 0, sizeof ops);
    memset(results, 0, sizeof results);
    memset(paths, 0, sizeof paths);
    memset(stats, 0, sizeof stats);
    count = 0;
}

static void create(const char *path, const char *data, int mode) {
    zoo_create_op_init(&ops[count], path, data, (int)strlen(data), &ZOO_OPEN_ACL_UNSAFE, mode, paths[count],
                       sizeof paths[count]);
    count++;
}

static void set(const char *path, const char *data, int version) {
    zoo_set_op_init(&ops[count], path, data, (int)strlen(data), version, &stats[count]);
    count++;
}

static void delete(const char *path, int version) { zoo_delete_op_init(&ops[count++], path, version); }

static void check(const char *path, int version) { zoo_check_op_init(&ops[count++], path, version); }

static void commit(zhandle_t *zh) {
    say_code("multi", zoo_multi(zh, count, ops, results));
    for (int i = 0; i < count; i++) {
        printf("  %d: %s %s\n", i, code_name(results[i].err), paths[i]);
        if (results[i].err == ZOK && results[i].stat) say_stat(zh, results[i].stat);
    }
}

static void tree(zhandle_t *zh, const char *path) {
    struct String_vector names;
    struct Stat stat;
    int rc = zoo_get_children2(zh, path, 0, &names, &stat);
    printf("children of %s: %s\n", path, code_name(rc));
    if (rc != ZOK) return;
    say_names(&names);
    say_stat(zh, &stat);
    deallocate_String_vector(&names);
}

void scenario_multi(void) {
    zhandle_t *zh = connect_client(10000, NULL);

    begin("create, set, check and delete in one");
    create("/m", "1", ZOO_PERSISTENT);
    create("/m/a", "2", ZOO_PERSISTENT);
    set("/m/a", "3", 0);
    set("/m/a", "4", 1);
    check("/m/a", 2);
    create("/m/b", "5", ZOO_EPHEMERAL);
    delete("/m/a", 2);
    commit(zh);
    tree(zh, "/m");

    begin("sequence numbers inside one");
    create("/m/s-", "", ZOO_PERSISTENT_SEQUENTIAL);
    create("/m/s-", "", ZOO_PERSISTENT_SEQUENTIAL);
    create("/m/plain", "", ZOO_PERSISTENT);
    create("/m/es-", "", ZOO_EPHEMERAL_SEQUENTIAL);
    commit(zh);
    tree(zh, "/m");

    begin("a failure in the middle undoes everything");
    create("/m/x", "", ZOO_PERSISTENT);
    set("/m", "never", -1);
    check("/m/nothing", 0);
    create("/m/y", "", ZOO_PERSISTENT);
    commit(zh);
    tree(zh, "/m");

    begin("a failure at the first");
    delete("/nothing", -1);
    create("/m/x", "", ZOO_PERSISTENT);
    commit(zh);

    begin("a failure at the last");
    create("/m/x", "", ZOO_PERSISTENT);
    delete("/m/x", 5);
    commit(zh);

    begin("the same node twice");
    create("/m/twice", "", ZOO_PERSISTENT);
    create("/m/twice", "", ZOO_PERSISTENT);
    commit(zh);

    begin("delete a parent before its child");
    delete("/m", -1);
    delete("/m/plain", -1);
    commit(zh);

    begin("make and unmake");
    create("/m/brief", "", ZOO_PERSISTENT);
    create("/m/brief/child", "", ZOO_PERSISTENT);
    delete("/m/brief/child", -1);
    delete("/m/brief", -1);
    commit(zh);
    tree(zh, "/m");

    begin("a child of an ephemeral made in the same");
    create("/m/eph", "", ZOO_EPHEMERAL);
    create("/m/eph/child", "", ZOO_PERSISTENT);
    commit(zh);

    begin("version conflict");
    set("/m", "x", 99);
    commit(zh);

    begin("a bad path");
    create("/m//double", "", ZOO_PERSISTENT);
    commit(zh);

    begin("check alone");
    check("/m", 0);
    commit(zh);

    begin("none at all");
    commit(zh);

    /* No container here: this version of the library aborts on the answer. */

    begin("a sequence number after failures");
    create("/m/s-", "", ZOO_PERSISTENT_SEQUENTIAL);
    commit(zh);
    tree(zh, "/m");

    close_client(zh);
}
