/* Sessions: negotiated timeouts, resuming, wrong passwords, moving to a newer connection, expiry. */
#include "common.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A second process, to be killed: the only way to make this library fall silent. */
struct doomed {
    pid_t pid;
    int go, ready;
};

static struct doomed fork_doomed(const char *path) {
    int go[2], ready[2];
    struct doomed doomed;
    fflush(stdout);
    if (pipe(go) != 0 || pipe(ready) != 0) fail("no pipe");
    doomed.pid = fork();
    if (doomed.pid < 0) fail("no fork");
    if (doomed.pid == 0) {
        char byte;
        /* Ends here when the parent ends before it says go. */
        close(go[1]);
        if (read(go[0], &byte, 1) != 1) _exit(0);
        zhandle_t *zh = zookeeper_init(server_address, NULL, 4000, NULL, NULL, 0);
        while (zoo_state(zh) != ZOO_CONNECTED_STATE) usleep(1000);
        byte = zoo_create(zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0) == ZOK ? 'y' : 'n';
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        /* Killed while it waits; the pipe's end is the parent's own end. */
        while (read(go[0], &byte, 1) == 1) {}
        _exit(0);
    }
    close(go[0]);
    close(ready[1]);
    doomed.go = go[1];
    doomed.ready = ready[0];
    return doomed;
}

static void let_connect(struct doomed doomed) {
    char byte = 'n';
    if (write(doomed.go, "g", 1) != 1 || read(doomed.ready, &byte, 1) != 1 || byte != 'y')
        fail("the second process could not make its node");
}

static void resume(const char *label, const clientid_t *id) {
    printf("%s: ", label);
    zhandle_t *zh = connect_client(10000, id);
    printf("  same session: %s\n", zoo_client_id(zh)->client_id == id->client_id ? "yes" : "no");
    if (zoo_state(zh) == ZOO_CONNECTED_STATE) say_code("  exists /e", zoo_exists(zh, "/e", 0, NULL));
    zookeeper_close(zh);
}

void scenario_sessions(void) {
    struct doomed doomed = fork_doomed("/doomed");

    section("timeouts are clamped");
    int timeouts_ms[] = {2000, 3999, 4000, 12345, 40000, 10000000};
    for (size_t i = 0; i < sizeof timeouts_ms / sizeof timeouts_ms[0]; i++) {
        printf("ask for %d: ", timeouts_ms[i]);
        close_client(connect_client(timeouts_ms[i], NULL));
    }

    section("a session outlives its connection");
    zhandle_t *first = connect_client(10000, NULL);
    say_code("create", zoo_create(first, "/e", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0));
    clientid_t id = *zoo_client_id(first);
    zhandle_t *watcher = connect_client(10000, NULL);

    section("resumed without its password");
    clientid_t unknown = id;
    unknown.client_id += 1000;
    resume("unknown session", &unknown);
    say_code("the session lives on", zoo_exists(watcher, "/e", 0, NULL));

    section("expired");
    let_connect(doomed);
    say_code("watch", zoo_wexists(watcher, "/doomed", queue_event, "exists", NULL));
    kill(doomed.pid, SIGKILL);
    waitpid(doomed.pid, NULL, 0);
    say_code("not at once", zoo_exists(watcher, "/doomed", 0, NULL));
    wait_for_events(watcher, "in time", 1);
    struct Stat stat;
    say_code("the root's new child list", zoo_exists(watcher, "/", 0, &stat));
    say_stat(watcher, &stat);

    section("closed");
    say_code("watch", zoo_wexists(watcher, "/e", queue_event, "exists", NULL));
    close_client(first);
    wait_for_events(watcher, "after close", 1);
    resume("resume the closed session", &id);
    close_client(watcher);
}
