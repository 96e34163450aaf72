/* ACLs of every scheme and authentication, refused ones included. */
#include "common.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static int auth_rc, auth_done;

static void on_auth(int rc, const void *data) {
    (void)data;
    pthread_mutex_lock(&lock);
    auth_rc = rc;
    auth_done = 1;
    pthread_cond_signal(&answered);
    pthread_mutex_unlock(&lock);
}

static void auth(zhandle_t *zh, const char *scheme, const char *id) {
    auth_done = 0;
    int rc = zoo_add_auth(zh, scheme, id, (int)strlen(id), on_auth, NULL);
    if (rc == ZOK) {
        pthread_mutex_lock(&lock);
        while (!auth_done) pthread_cond_wait(&answered, &lock);
        rc = auth_rc;
        pthread_mutex_unlock(&lock);
    }
    printf("auth %s %s: %s\n", scheme, id, code_name(rc));
}

static void create_with(zhandle_t *zh, const char *path, struct ACL *entries, int count) {
    struct ACL_vector acl = {count, entries};
    printf("create %s: %s\n", path, code_name(zoo_create(zh, path, "x", 1, &acl, 0, NULL, 0)));
}

static void create_one(zhandle_t *zh, const char *path, int perms, char *scheme, char *id) {
    struct ACL entry = {perms, {scheme, id}};
    printf("%d=%s:%s ", perms, scheme, id);
    create_with(zh, path, &entry, 1);
}

static void acl_of(zhandle_t *zh, const char *path) {
    struct ACL_vector acl;
    struct Stat stat;
    int rc = zoo_get_acl(zh, path, &acl, &stat);
    printf("get_acl %s: %s\n", path, code_name(rc));
    if (rc != ZOK) return;
    say_acl(&acl);
    say_stat(zh, &stat);
    deallocate_ACL_vector(&acl);
}

/* Tries everything on a node. */
static void try_all(zhandle_t *zh, const char *who, const char *path) {
    char data[16], child[64];
    int length = sizeof data;
    struct String_vector names = {0, NULL};
    printf("%s on %s\n", who, path);
    say_code("  exists", zoo_exists(zh, path, 0, NULL));
    say_code("  get", zoo_get(zh, path, 0, data, &length, NULL));
    say_code("  get_children", zoo_get_children(zh, path, 0, &names));
    deallocate_String_vector(&names);
    say_code("  set", zoo_set(zh, path, "y", 1, -1));
    snprintf(child, sizeof child, "%s/child", path);
    say_code("  create a child", zoo_create(zh, child, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    say_code("  delete the child", zoo_delete(zh, child, -1));
    say_code("  set_acl", zoo_set_acl(zh, path, 999, &ZOO_OPEN_ACL_UNSAFE));
    acl_of(zh, path);
    zoo_op_t check;
    zoo_op_result_t result = {0};
    zoo_check_op_init(&check, path, -1);
    say_code("  check", zoo_multi(zh, 1, &check, &result));
}

void scenario_acl_and_auth(void) {
    zhandle_t *zh = connect_client(10000, NULL);
    zhandle_t *other = connect_client(10000, NULL);

    section("valid and invalid entries");
    create_one(zh, "/world", ZOO_PERM_ALL, "world", "anyone");
    create_one(zh, "/bad1", ZOO_PERM_ALL, "world", "someone");
    create_one(zh, "/bad2", ZOO_PERM_ALL, "nonsense", "x");
    create_one(zh, "/bad3", ZOO_PERM_ALL, "digest", "nocolon");
    create_one(zh, "/bad4", ZOO_PERM_ALL, "digest", "two:co:lons");
    create_one(zh, "/bad5", ZOO_PERM_ALL, "ip", "999.1.1.1");
    create_one(zh, "/bad6", ZOO_PERM_ALL, "ip", "127.0.0.1/33");
    create_one(zh, "/bad7", ZOO_PERM_ALL, "super", "x");
    create_one(zh, "/bad8", ZOO_PERM_ALL, "auth", "");
    create_one(zh, "/ip", ZOO_PERM_ALL, "ip", "127.0.0.1");
    create_one(zh, "/ip-net", ZOO_PERM_ALL, "ip", "127.0.0.0/8");
    create_one(zh, "/ip-else", ZOO_PERM_ALL, "ip", "10.0.0.0/8");
    create_one(zh, "/ip6", ZOO_PERM_ALL, "ip", "::1");
    create_one(zh, "/none", 0, "world", "anyone");
    create_one(zh, "/odd", 0x60, "world", "anyone");
    acl_of(zh, "/odd");
    struct ACL doubled[] = {{ZOO_PERM_READ, {"world", "anyone"}}, {ZOO_PERM_READ, {"world", "anyone"}},
                            {ZOO_PERM_WRITE, {"ip", "127.0.0.1"}}};
    create_with(zh, "/doubled", doubled, 3);
    acl_of(zh, "/doubled");
    try_all(zh, "anyone", "/ip");
    try_all(zh, "anyone", "/ip-net");
    try_all(zh, "anyone", "/ip-else");
    try_all(zh, "anyone", "/ip6");
    try_all(zh, "anyone", "/none");
    try_all(zh, "anyone", "/doubled");

    section("each permission alone");
    create_one(zh, "/read", ZOO_PERM_READ, "world", "anyone");
    create_one(zh, "/write", ZOO_PERM_WRITE, "world", "anyone");
    create_one(zh, "/create", ZOO_PERM_CREATE, "world", "anyone");
    create_one(zh, "/delete", ZOO_PERM_DELETE, "world", "anyone");
    create_one(zh, "/admin", ZOO_PERM_ADMIN, "world", "anyone");
    try_all(zh, "anyone", "/read");
    try_all(zh, "anyone", "/write");
    try_all(zh, "anyone", "/create");
    try_all(zh, "anyone", "/delete");
    try_all(zh, "anyone", "/admin");
    say_code("delete asks the parent", zoo_delete(zh, "/none", -1));

    section("digest");
    auth(zh, "digest", "bob:builds");
    create_one(zh, "/bob", ZOO_PERM_ALL, "auth", "");
    acl_of(zh, "/bob");
    acl_of(other, "/bob");
    try_all(zh, "bob", "/bob");
    try_all(other, "another", "/bob");
    auth(zh, "digest", "alice:finds");
    create_one(zh, "/both", ZOO_PERM_ALL, "auth", "ignored");
    acl_of(zh, "/both");
    auth(other, "digest", "alice:finds");
    try_all(other, "alice", "/both");
    try_all(other, "alice", "/bob");
    create_one(zh, "/masked", ZOO_PERM_READ, "digest", "carol:c2VjcmV0");
    acl_of(zh, "/masked");
    struct ACL readable[] = {{ZOO_PERM_READ, {"world", "anyone"}}, {ZOO_PERM_ALL, {"digest", "carol:c2VjcmV0"}}};
    create_with(zh, "/masked2", readable, 2);
    acl_of(zh, "/masked2");

    section("set_acl");
    say_code("open it", zoo_set_acl(zh, "/bob", 0, &ZOO_OPEN_ACL_UNSAFE));
    acl_of(other, "/bob");
    say_code("old version", zoo_set_acl(zh, "/bob", 0, &ZOO_OPEN_ACL_UNSAFE));
    say_code("any version", zoo_set_acl(zh, "/bob", -1, &ZOO_CREATOR_ALL_ACL));
    acl_of(zh, "/bob");
    say_code("nothing there", zoo_set_acl(zh, "/nothing", -1, &ZOO_OPEN_ACL_UNSAFE));
    say_code("set data", zoo_set(zh, "/bob", "z", 1, -1));
    acl_of(zh, "/bob");

    section("an event needs the right to read");
    char data[16];
    int length = sizeof data;
    say_code("alice may read", zoo_set_acl(zh, "/both", -1, &ZOO_OPEN_ACL_UNSAFE));
    zhandle_t *nobody = connect_client(10000, NULL);
    say_code("watch", zoo_wget(nobody, "/both", queue_event, "data", data, &length, NULL));
    say_code("close it", zoo_set_acl(zh, "/both", -1, &ZOO_CREATOR_ALL_ACL));
    say_code("set", zoo_set(zh, "/both", "secret", 6, -1));
    say_code("open it", zoo_set_acl(zh, "/both", -1, &ZOO_OPEN_ACL_UNSAFE));
    say_code("set", zoo_set(zh, "/both", "public", 6, -1));
    say_events(nobody, "suppressed, and the watch used up");

    section("refused authentication ends the connection");
    auth(nobody, "nonsense", "x");
    wait_for_state(nobody, ZOO_AUTH_FAILED_STATE);
    say_code("exists afterwards", zoo_exists(nobody, "/", 0, NULL));
    zookeeper_close(nobody);

    section("super");
    zhandle_t *super = connect_client(10000, NULL);
    auth(super, "digest", "super:wrong");
    try_all(super, "not super", "/ip-else");
    auth(super, "digest", "super:secret");
    try_all(super, "super", "/ip-else");
    try_all(super, "super", "/none");
    acl_of(super, "/masked");
    create_one(super, "/by-super", ZOO_PERM_ALL, "auth", "");
    acl_of(super, "/by-super");
    close_client(super);

    close_client(zh);
    close_client(other);
}
