/* Watches of every kind, in the order their events come, and their removal. */
#include "common.h"

#include <stdio.h>

static void make(zhandle_t *zh, const char *path) {
    say_code("create", zoo_create(zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
}

static void watch_data(zhandle_t *zh, const char *path, char *name) {
    char data[16];
    int length = sizeof data;
    say_code(name, zoo_wget(zh, path, queue_event, name, data, &length, NULL));
}

static void watch_exists(zhandle_t *zh, const char *path, char *name) {
    say_code(name, zoo_wexists(zh, path, queue_event, name, NULL));
}

static void watch_children(zhandle_t *zh, const char *path, char *name) {
    struct String_vector names;
    int rc = zoo_wget_children(zh, path, queue_event, name, &names);
    say_code(name, rc);
    if (rc == ZOK) deallocate_String_vector(&names);
}

static void watch_children2(zhandle_t *zh, const char *path, char *name) {
    struct String_vector names;
    struct Stat stat;
    int rc = zoo_wget_children2(zh, path, queue_event, name, &names, &stat);
    say_code(name, rc);
    if (rc == ZOK) deallocate_String_vector(&names);
}

static void from_another_session(zhandle_t *zh) {
    zhandle_t *other = connect_client(10000, NULL);
    section("changes by another session");
    watch_data(zh, "/w", "data");
    watch_children(zh, "/w", "children");
    watch_exists(zh, "/w/soon", "exists");
    say_code("set", zoo_set(other, "/w", "o", 1, -1));
    make(other, "/w/soon");
    wait_for_events(zh, "from another session", 3);

    section("an ephemeral's end is seen");
    say_code("create", zoo_create(other, "/w/eph", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0));
    watch_exists(zh, "/w/eph", "exists");
    watch_children(zh, "/w", "children");
    close_client(other);
    wait_for_events(zh, "after its session closed", 2);
    say_code("delete", zoo_delete(zh, "/w/soon", -1));
    say_events(zh, "all watches are used up");
}

static void removal(zhandle_t *zh) {
    section("removal");
    make(zh, "/w/r");
    watch_data(zh, "/w/r", "first");
    watch_data(zh, "/w/r", "second");
    watch_children(zh, "/w/r", "children");
    say_code("remove the first data watch",
             zoo_remove_watches(zh, "/w/r", ZWATCHTYPE_DATA, queue_event, "first", 0));
    say_code("remove it again", zoo_remove_watches(zh, "/w/r", ZWATCHTYPE_DATA, queue_event, "first", 0));
    say_events(zh, "after removal");
    say_code("set", zoo_set(zh, "/w/r", "x", 1, -1));
    say_events(zh, "after a change");
    say_code("remove all of the children kind", zoo_remove_all_watches(zh, "/w/r", ZWATCHTYPE_CHILD, 0));
    say_code("remove all of any kind", zoo_remove_all_watches(zh, "/w/r", ZWATCHTYPE_ANY, 0));
    watch_data(zh, "/w/r", "data");
    watch_children(zh, "/w/r", "children");
    say_code("remove all of any kind", zoo_remove_all_watches(zh, "/w/r", ZWATCHTYPE_ANY, 0));
    say_events(zh, "after removal");
    make(zh, "/w/r/child");
    say_code("set", zoo_set(zh, "/w/r", "y", 1, -1));
    say_events(zh, "after a change");
}

void scenario_watches(void) {
    zhandle_t *zh = connect_client(10000, NULL);

    section("one shot");
    watch_exists(zh, "/w", "exists");
    make(zh, "/w");
    say_events(zh, "after creation");
    watch_exists(zh, "/w", "exists");
    watch_data(zh, "/w", "data");
    say_code("set", zoo_set(zh, "/w", "1", 1, -1));
    say_code("set", zoo_set(zh, "/w", "2", 1, -1));
    say_events(zh, "after two changes");
    watch_children(zh, "/w", "children");
    make(zh, "/w/a");
    make(zh, "/w/b");
    say_events(zh, "after two children");
    watch_children2(zh, "/w", "children");
    say_code("set a child", zoo_set(zh, "/w/a", "1", 1, -1));
    say_events(zh, "after a child's data changed");
    say_code("delete", zoo_delete(zh, "/w/a", -1));
    say_events(zh, "after a child's end");
    watch_data(zh, "/nothing", "data of nothing");
    watch_children(zh, "/nothing", "children of nothing");

    section("the end of a watched node");
    watch_data(zh, "/w/b", "data");
    watch_exists(zh, "/w/b", "exists");
    watch_children(zh, "/w/b", "its children");
    watch_children(zh, "/w", "parent's children");
    say_code("delete", zoo_delete(zh, "/w/b", -1));
    say_events(zh, "after deletion");

    section("the ACL's change is no event");
    watch_data(zh, "/w", "data");
    watch_children(zh, "/w", "children");
    say_code("set_acl", zoo_set_acl(zh, "/w", -1, &ZOO_OPEN_ACL_UNSAFE));
    say_events(zh, "after set_acl");

    section("a failed multi fires nothing, a good one all");
    zoo_op_t ops[3];
    zoo_op_result_t results[3];
    zoo_set_op_init(&ops[0], "/w", "m", 1, -1, NULL);
    zoo_create_op_init(&ops[1], "/w/m", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    zoo_check_op_init(&ops[2], "/w", 999);
    say_code("multi", zoo_multi(zh, 3, ops, results));
    say_events(zh, "after failure");
    say_code("multi", zoo_multi(zh, 2, ops, results));
    say_events(zh, "after success");

    section("config");
    char data[256];
    int length = sizeof data;
    say_code("wgetconfig", zoo_wgetconfig(zh, queue_event, "config", data, &length, NULL));

    from_another_session(zh);
    removal(zh);
    close_client(zh);
}
