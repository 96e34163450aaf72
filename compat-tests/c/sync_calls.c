/* Every synchronous call, with its ordinary and its refused answers. */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void create(zhandle_t *zh, const char *path, const char *data, int length) {
    char made[128] = "";
    int rc = zoo_create(zh, path, data, length, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, made, sizeof made);
    printf("create %s: %s %s\n", path, code_name(rc), made);
}

static void create2(zhandle_t *zh, const char *path, const char *data, int length) {
    char made[128] = "";
    struct Stat stat;
    int rc = zoo_create2(zh, path, data, length, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, made, sizeof made, &stat);
    printf("create2 %s: %s %s\n", path, code_name(rc), made);
    if (rc == ZOK) say_stat(zh, &stat);
}

static void get(zhandle_t *zh, const char *path, int room) {
    char *data = malloc((size_t)room + 1);
    int length = room;
    struct Stat stat;
    int rc = zoo_get(zh, path, 0, data, &length, &stat);
    printf("get %s: %s\n", path, code_name(rc));
    if (rc == ZOK) {
        say_data(data, length);
        say_stat(zh, &stat);
    }
    free(data);
}

static void set(zhandle_t *zh, const char *path, const char *data, int length, int version) {
    struct Stat stat;
    int rc = zoo_set2(zh, path, data, length, version, &stat);
    printf("set2 %s at %d: %s\n", path, version, code_name(rc));
    if (rc == ZOK) say_stat(zh, &stat);
}

static void exists(zhandle_t *zh, const char *path) {
    struct Stat stat;
    int rc = zoo_exists(zh, path, 0, &stat);
    printf("exists %s: %s\n", path, code_name(rc));
    if (rc == ZOK) say_stat(zh, &stat);
}

static void children(zhandle_t *zh, const char *path) {
    struct String_vector names = {0, NULL};
    struct Stat stat;
    int rc = zoo_get_children(zh, path, 0, &names);
    printf("get_children %s: %s\n", path, code_name(rc));
    if (rc == ZOK) {
        say_names(&names);
        deallocate_String_vector(&names);
    }
    rc = zoo_get_children2(zh, path, 0, &names, &stat);
    printf("get_children2 %s: %s\n", path, code_name(rc));
    if (rc == ZOK) {
        say_names(&names);
        say_stat(zh, &stat);
        deallocate_String_vector(&names);
    }
}

static void delete(zhandle_t *zh, const char *path, int version) {
    printf("delete %s at %d: %s\n", path, version, code_name(zoo_delete(zh, path, version)));
}

static void config(zhandle_t *zh) {
    char data[1024];
    int length = sizeof data;
    struct Stat stat;
    int rc = zoo_getconfig(zh, 0, data, &length, &stat);
    say_code("getconfig", rc);
    if (rc == ZOK) say_data(data, length);
    length = sizeof data;
    say_code("reconfig", zoo_reconfig(zh, "server.2=127.0.0.1:1:2;3", NULL, NULL, -1, data, &length, &stat));
}

void scenario_sync_calls(void) {
    zhandle_t *zh = connect_client(10000, NULL);
    char zeros[300000];

    section("a fresh tree");
    children(zh, "/");
    exists(zh, "/");
    exists(zh, "/zookeeper");
    children(zh, "/zookeeper");
    get(zh, "/zookeeper/quota", 100);

    section("create");
    create(zh, "/a", "one", 3);
    create(zh, "/a", "again", 5);
    create(zh, "/a/b", "", 0);
    create(zh, "/a/null", NULL, -1);
    create(zh, "/no/parent", "x", 1);
    create(zh, "/a/\xc3\xa4\xe2\x82\xac", "\x00\x01\xff", 3);
    create2(zh, "/two", "2", 1);
    create2(zh, "/two", "2", 1);
    create(zh, "/trailing/", "x", 1);
    create(zh, "//double", "x", 1);
    create(zh, "/a/./b", "x", 1);
    create(zh, "/a/../b", "x", 1);
    create(zh, "/a/con\ntrol", "x", 1);
    create(zh, "relative", "x", 1);
    create(zh, "", "x", 1);
    create(zh, "/", "x", 1);
    create(zh, "/zookeeper/own", "x", 1);
    struct ACL_vector no_acl = {0, NULL};
    say_code("create with an empty ACL", zoo_create(zh, "/acl", "x", 1, &no_acl, 0, NULL, 0));

    section("read");
    get(zh, "/a", 100);
    get(zh, "/a", 2);
    get(zh, "/a/b", 100);
    get(zh, "/a/null", 100);
    get(zh, "/a/\xc3\xa4\xe2\x82\xac", 100);
    get(zh, "/nothing", 100);
    get(zh, "/a/", 100);
    exists(zh, "/a");
    exists(zh, "/nothing");
    exists(zh, "/nothing/deep");
    children(zh, "/a");
    children(zh, "/a/b");
    children(zh, "/nothing");

    section("set");
    set(zh, "/a", "two", 3, 0);
    set(zh, "/a", "three", 5, 0);
    set(zh, "/a", "three", 5, 7);
    set(zh, "/a", "three", 5, -1);
    set(zh, "/a", "three", 5, -2);
    set(zh, "/a", NULL, -1, -1);
    set(zh, "/a", "", 0, -1);
    set(zh, "/nothing", "x", 1, -1);
    set(zh, "/", "root", 4, -1);
    get(zh, "/", 100);
    set(zh, "/zookeeper", "x", 1, -1);
    say_code("set", zoo_set(zh, "/a", "plain", 5, -1));
    get(zh, "/a", 100);

    section("large data");
    memset(zeros, 'z', sizeof zeros);
    create(zh, "/large", zeros, sizeof zeros);
    exists(zh, "/large");
    set(zh, "/large", zeros, 1000, -1);
    get(zh, "/large", 4);

    section("config");
    config(zh);

    section("delete");
    delete(zh, "/a", -1);
    delete(zh, "/a/b", 3);
    delete(zh, "/a/b", 0);
    delete(zh, "/a/b", 0);
    delete(zh, "/nothing/deep", -1);
    delete(zh, "/", -1);
    delete(zh, "/zookeeper", -1);
    delete(zh, "/zookeeper/quota", -1);
    delete(zh, "/zookeeper/config", -1);
    delete(zh, "/zookeeper/own", -1);
    exists(zh, "/a");
    children(zh, "/a");

    section("cversion counts creations and deletions");
    create(zh, "/c", "", 0);
    for (int i = 0; i < 3; i++) create(zh, "/c/x", "", 0), delete(zh, "/c/x", -1);
    exists(zh, "/c");

    close_client(zh);
}
