/* The server is killed, stopped and started again under a client with watches, ephemerals and credentials. */
#include "common.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void watch_everything(zhandle_t *zh) {
    char data[16];
    int length = sizeof data;
    struct String_vector names;
    say_code("watch data", zoo_wget(zh, "/r", queue_event, "data", data, &length, NULL));
    say_code("watch existence", zoo_wexists(zh, "/r/soon", queue_event, "exists", NULL));
    say_code("watch children", zoo_wget_children(zh, "/r", queue_event, "children", &names));
    deallocate_String_vector(&names);
}

static void restart(zhandle_t *zh, const char *how) {
    int64_t before = zoo_client_id(zh)->client_id;
    order(how);
    /* Lost for sure before the server is back, so that the library has to set its watches again. */
    for (int waited = 0; zoo_state(zh) == ZOO_CONNECTED_STATE; waited += 10) {
        if (waited > 30000) fail("the library does not notice that the server is gone");
        usleep(10000);
    }
    int rc = zoo_exists(zh, "/", 0, NULL);
    printf("meanwhile: %s\n", rc == ZOK ? "ok" : "an error");
    order("start");
    wait_for_state(zh, ZOO_CONNECTED_STATE);
    printf("connected again, same session: %s\n", zoo_client_id(zh)->client_id == before ? "yes" : "no");
}

static void use_up_watches(zhandle_t *zh) {
    say_code("set", zoo_set(zh, "/r", "new", 3, -1));
    say_code("create", zoo_create(zh, "/r/soon", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    say_events(zh, "of the watches set before");
    say_code("delete", zoo_delete(zh, "/r/soon", -1));
}

static void look(zhandle_t *zh) {
    struct Stat stat;
    char data[16];
    int length = sizeof data;
    say_code("the ephemeral", zoo_exists(zh, "/r/e", 0, &stat));
    say_stat(zh, &stat);
    say_code("what needs the credentials", zoo_get(zh, "/r/secret", 0, data, &length, &stat));
    say_stat(zh, &stat);
    say_code("the root", zoo_exists(zh, "/", 0, &stat));
    say_stat(zh, &stat);
}

void scenario_reconnect(void) {
    zhandle_t *zh = connect_client(10000, NULL);
    say_code("auth", zoo_add_auth(zh, "digest", "bob:builds", 10, NULL, NULL));
    say_code("create", zoo_create(zh, "/r", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    say_code("create", zoo_create(zh, "/r/e", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0));
    say_code("create", zoo_create(zh, "/r/secret", "s", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));

    section("killed");
    watch_everything(zh);
    restart(zh, "kill");
    look(zh);
    use_up_watches(zh);

    section("stopped");
    watch_everything(zh);
    restart(zh, "stop");
    look(zh);
    use_up_watches(zh);

    section("killed again at once");
    restart(zh, "kill");
    restart(zh, "kill");
    look(zh);
    close_client(zh);
}
