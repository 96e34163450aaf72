/* Every asynchronous call, many in flight at once: completions come in the order of the requests. */
#include "common.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_done = PTHREAD_COND_INITIALIZER;
static int started, done;
static zhandle_t *client;

/* One completion prints at a time: the library has one completion thread. */
static void finished(void) {
    pthread_mutex_lock(&lock);
    done++;
    pthread_cond_signal(&all_done);
    pthread_mutex_unlock(&lock);
}

static void on_void(int rc, const void *label) {
    say_code(label, rc);
    finished();
}

static void on_stat(int rc, const struct Stat *stat, const void *label) {
    say_code(label, rc);
    if (rc == ZOK) say_stat(client, stat);
    finished();
}

static void on_data(int rc, const char *value, int length, const struct Stat *stat, const void *label) {
    say_code(label, rc);
    if (rc == ZOK) {
        say_data(value, length);
        say_stat(client, stat);
    }
    finished();
}

static void on_strings(int rc, const struct String_vector *names, const void *label) {
    say_code(label, rc);
    if (rc == ZOK) say_names(names);
    finished();
}

static void on_strings_stat(int rc, const struct String_vector *names, const struct Stat *stat, const void *label) {
    on_strings(rc, names, label);
    if (rc == ZOK) say_stat(client, stat);
}

static void on_string(int rc, const char *value, const void *label) {
    say_code(label, rc);
    if (rc == ZOK) printf("  %s\n", value);
    finished();
}

static void on_string_stat(int rc, const char *value, const struct Stat *stat, const void *label) {
    on_string(rc, value, label);
    if (rc == ZOK) say_stat(client, stat);
}

static void on_acl(int rc, struct ACL_vector *acl, struct Stat *stat, const void *label) {
    say_code(label, rc);
    if (rc == ZOK) {
        say_acl(acl);
        say_stat(client, stat);
    }
    finished();
}

/* The answer of a call itself is ok unless the library refuses it before sending. */
static void start(const char *label, int rc) {
    if (rc == ZOK) started++;
    else printf("%s: refused by the library with %s\n", label, code_name(rc));
}

static void wait_for_all(void) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 30;
    pthread_mutex_lock(&lock);
    while (done < started)
        if (pthread_cond_timedwait(&all_done, &lock, &deadline) != 0) fail("%d of %d completions", done, started);
    pthread_mutex_unlock(&lock);
}

static void refused_calls(zhandle_t *zh) {
    const struct ACL_vector *open = &ZOO_OPEN_ACL_UNSAFE;
    start("acreate", zoo_acreate(zh, "/a", "", 0, open, 0, on_string, "acreate an existing /a"));
    start("acreate", zoo_acreate(zh, "/no/way", "", 0, open, 0, on_string, "acreate without a parent"));
    start("acreate2", zoo_acreate2(zh, "/a", "", 0, open, 0, on_string_stat, "acreate2 an existing /a"));
    start("aset", zoo_aset(zh, "/no", "", 0, -1, on_stat, "aset /no"));
    start("aset", zoo_aset(zh, "/a", "", 0, 77, on_stat, "aset /a at 77"));
    start("aget", zoo_aget(zh, "/no", 0, on_data, "aget /no"));
    start("aexists", zoo_aexists(zh, "/no", 0, on_stat, "aexists /no"));
    start("aget_children", zoo_aget_children(zh, "/no", 0, on_strings, "aget_children /no"));
    start("aget_children2", zoo_aget_children2(zh, "/no", 0, on_strings_stat, "aget_children2 /no"));
    start("aget_acl", zoo_aget_acl(zh, "/no", on_acl, "aget_acl /no"));
    start("aset_acl", zoo_aset_acl(zh, "/a", 5, (struct ACL_vector *)open, on_void, "aset_acl /a at 5"));
    start("async", zoo_async(zh, "/no", on_string, "async /no"));
    start("adelete", zoo_adelete(zh, "/no", -1, on_void, "adelete /no"));
    start("adelete", zoo_adelete(zh, "/a", 77, on_void, "adelete /a at 77"));
    start("areconfig", zoo_areconfig(zh, "server.2=h:1:2;3", NULL, NULL, -1, on_data, "areconfig"));
    start("aremove_watches",
          zoo_aremove_all_watches(zh, "/a", ZWATCHTYPE_ANY, 0, (void_completion_t *)on_void, "aremove_all_watches"));
}

/* Calls that set watches with functions of their own, and the rarer creations. */
static void watching_calls(zhandle_t *zh) {
    const struct ACL_vector *open = &ZOO_OPEN_ACL_UNSAFE;
    start("awget", zoo_awget(zh, "/a", queue_event, "awget", on_data, "awget /a"));
    start("awexists", zoo_awexists(zh, "/a/w", queue_event, "awexists", on_stat, "awexists /a/w"));
    start("awget_children",
          zoo_awget_children(zh, "/a", queue_event, "awget_children", on_strings, "awget_children /a"));
    start("awget_children2",
          zoo_awget_children2(zh, "/a/e", queue_event, "awget_children2", on_strings_stat, "awget_children2 /a/e"));
    start("awgetconfig", zoo_awgetconfig(zh, queue_event, "awgetconfig", on_data, "awgetconfig"));
    start("acreate_ttl", zoo_acreate_ttl(zh, "/a/w", "", 0, open, ZOO_PERSISTENT_WITH_TTL, 3600000, on_string,
                                         "acreate_ttl /a/w"));
    start("acreate2_ttl", zoo_acreate2_ttl(zh, "/a/ttl-", "", 0, open, ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL, 3600000,
                                           on_string_stat, "acreate2_ttl /a/ttl-"));
    start("aset", zoo_aset(zh, "/a", "seen", 4, -1, on_stat, "aset /a"));
    start("adelete", zoo_adelete(zh, "/a/e", -1, on_void, "adelete /a/e"));
}

/* The operations and results of a transaction live until its completion. */
static zoo_op_t ops[3];
static zoo_op_result_t results[3];
static char made[3][64];

static void transactions(zhandle_t *zh) {
    const struct ACL_vector *open = &ZOO_OPEN_ACL_UNSAFE;
    zoo_create_op_init(&ops[0], "/a/m-", "x", 1, open, ZOO_PERSISTENT_SEQUENTIAL, made[0], sizeof made[0]);
    zoo_set_op_init(&ops[1], "/a", "y", 1, -1, NULL);
    zoo_check_op_init(&ops[2], "/a", 99);
    start("amulti", zoo_amulti(zh, 2, ops, results, on_void, "amulti"));
    wait_for_all();
    printf("  %s %s %s\n", code_name(results[0].err), made[0], code_name(results[1].err));
    start("amulti", zoo_amulti(zh, 3, ops, results, on_void, "amulti that fails"));
    wait_for_all();
    for (int i = 0; i < 3; i++) printf("  %s\n", code_name(results[i].err));
}

void scenario_async_calls(void) {
    zhandle_t *zh = client = connect_client(10000, NULL);
    const struct ACL_vector *open = &ZOO_OPEN_ACL_UNSAFE;

    section("every call, all in flight at once");
    start("acreate", zoo_acreate(zh, "/a", "1", 1, open, 0, on_string, "acreate /a"));
    start("acreate2", zoo_acreate2(zh, "/a/b", "2", 1, open, 0, on_string_stat, "acreate2 /a/b"));
    start("acreate", zoo_acreate(zh, "/a/e", "3", 1, open, ZOO_EPHEMERAL, on_string, "acreate ephemeral /a/e"));
    start("acreate",
          zoo_acreate(zh, "/a/s-", NULL, -1, open, ZOO_PERSISTENT_SEQUENTIAL, on_string, "acreate sequential /a/s-"));
    start("aset", zoo_aset(zh, "/a", "changed", 7, 0, on_stat, "aset /a at 0"));
    start("aget", zoo_aget(zh, "/a", 0, on_data, "aget /a"));
    start("aget", zoo_aget(zh, "/a/s-0000000002", 0, on_data, "aget /a/s-0000000002"));
    start("aexists", zoo_aexists(zh, "/a/e", 0, on_stat, "aexists /a/e"));
    start("aget_children", zoo_aget_children(zh, "/a", 0, on_strings, "aget_children /a"));
    start("aget_children2", zoo_aget_children2(zh, "/a", 0, on_strings_stat, "aget_children2 /a"));
    start("aget_acl", zoo_aget_acl(zh, "/a", on_acl, "aget_acl /a"));
    start("aset_acl", zoo_aset_acl(zh, "/a/b", 0, (struct ACL_vector *)&ZOO_READ_ACL_UNSAFE, on_void, "aset_acl /a/b"));
    start("aget_acl", zoo_aget_acl(zh, "/a/b", on_acl, "aget_acl /a/b"));
    start("async", zoo_async(zh, "/a", on_string, "async /a"));
    start("agetconfig", zoo_agetconfig(zh, 0, on_data, "agetconfig"));
    start("adelete", zoo_adelete(zh, "/a/b", 0, on_void, "adelete /a/b"));
    start("aexists", zoo_aexists(zh, "/a/b", 0, on_stat, "aexists /a/b"));
    wait_for_all();

    section("every call, refused");
    refused_calls(zh);
    wait_for_all();

    section("with watches");
    watching_calls(zh);
    wait_for_all();
    say_events(zh, "of the watches");

    section("transactions");
    transactions(zh);

    section("a thousand writes and reads in flight");
    static char paths[500][32];
    for (int i = 0; i < 500; i++) {
        snprintf(paths[i], sizeof paths[i], "/a/n%03d", i);
        start("acreate", zoo_acreate(zh, paths[i], paths[i], (int)strlen(paths[i]), open, 0, on_string, paths[i]));
        start("aget", zoo_aget(zh, paths[i], 0, on_data, paths[i]));
    }
    wait_for_all();
    start("aget_children2", zoo_aget_children2(zh, "/a", 0, on_strings_stat, "aget_children2 /a"));
    wait_for_all();

    close_client(zh);
}
