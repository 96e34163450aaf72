#include "common.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 30000
#define EVENTS_MAX 1024

struct event {
    int type;
    int state;
    char path[256];
    const char *watch;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct event events[EVENTS_MAX];
static int event_count;
static int barrier_done;

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

void section(const char *title) { printf("== %s\n", title); }

void order(const char *what) {
    char line[64];
    printf("!%s\n", what);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) fail("the test did not carry out: %s", what);
}

void wait_for_state(zhandle_t *zh, int state) {
    for (int waited = 0; zoo_state(zh) != state; waited += 10) {
        if (waited > PATIENCE_MS) fail("state is %d, not %d, after 30 s", zoo_state(zh), state);
        usleep(10000);
    }
}

zhandle_t *connect_client(int timeout_ms, const clientid_t *id) {
    zhandle_t *zh = zookeeper_init(server_address, NULL, timeout_ms, id, NULL, 0);
    if (!zh) fail("zookeeper_init failed");
    for (int waited = 0; zoo_state(zh) != ZOO_CONNECTED_STATE && !is_unrecoverable(zh); waited += 10) {
        if (waited > PATIENCE_MS) fail("not connected after 30 s");
        usleep(10000);
    }
    printf("connect: %s, timeout %d\n", state_name(zoo_state(zh)), zoo_recv_timeout(zh));
    return zh;
}

void close_client(zhandle_t *zh) { say_code("close", zookeeper_close(zh)); }

const char *code_name(int rc) {
    static char unknown[32];
    switch (rc) {
    case ZOK: return "ok";
    case ZSYSTEMERROR: return "SYSTEMERROR";
    case ZRUNTIMEINCONSISTENCY: return "RUNTIMEINCONSISTENCY";
    case ZDATAINCONSISTENCY: return "DATAINCONSISTENCY";
    case ZCONNECTIONLOSS: return "CONNECTIONLOSS";
    case ZMARSHALLINGERROR: return "MARSHALLINGERROR";
    case ZUNIMPLEMENTED: return "UNIMPLEMENTED";
    case ZOPERATIONTIMEOUT: return "OPERATIONTIMEOUT";
    case ZBADARGUMENTS: return "BADARGUMENTS";
    case ZINVALIDSTATE: return "INVALIDSTATE";
    case ZNONODE: return "NONODE";
    case ZNOAUTH: return "NOAUTH";
    case ZBADVERSION: return "BADVERSION";
    case ZNOCHILDRENFOREPHEMERALS: return "NOCHILDRENFOREPHEMERALS";
    case ZNODEEXISTS: return "NODEEXISTS";
    case ZNOTEMPTY: return "NOTEMPTY";
    case ZSESSIONEXPIRED: return "SESSIONEXPIRED";
    case ZINVALIDCALLBACK: return "INVALIDCALLBACK";
    case ZINVALIDACL: return "INVALIDACL";
    case ZAUTHFAILED: return "AUTHFAILED";
    case ZCLOSING: return "CLOSING";
    case ZNOTHING: return "NOTHING";
    case ZSESSIONMOVED: return "SESSIONMOVED";
    case ZNOWATCHER: return "NOWATCHER";
    case ZRECONFIGDISABLED: return "RECONFIGDISABLED";
    default: snprintf(unknown, sizeof unknown, "code %d", rc); return unknown;
    }
}

const char *state_name(int state) {
    if (state == ZOO_EXPIRED_SESSION_STATE) return "expired";
    if (state == ZOO_AUTH_FAILED_STATE) return "auth failed";
    if (state == ZOO_CONNECTING_STATE) return "connecting";
    if (state == ZOO_ASSOCIATING_STATE) return "associating";
    if (state == ZOO_CONNECTED_STATE) return "connected";
    if (state == ZOO_READONLY_STATE) return "read-only";
    if (state == ZOO_NOTCONNECTED_STATE) return "not connected";
    return "unknown state";
}

static const char *event_name(int type) {
    if (type == ZOO_CREATED_EVENT) return "created";
    if (type == ZOO_DELETED_EVENT) return "deleted";
    if (type == ZOO_CHANGED_EVENT) return "changed";
    if (type == ZOO_CHILD_EVENT) return "children";
    if (type == ZOO_SESSION_EVENT) return "session";
    if (type == ZOO_NOTWATCHING_EVENT) return "not watching";
    return "unknown event";
}

void say_code(const char *label, int rc) { printf("%s: %s\n", label, code_name(rc)); }

static const char *time_mask(int64_t ms) {
    struct timeval now;
    if (ms == 0) return "0";
    gettimeofday(&now, NULL);
    int64_t age = (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000 - ms;
    return age > -5000 && age < 120000 ? "recent" : "absurd";
}

void say_stat(zhandle_t *zh, const struct Stat *stat) {
    if (!stat) {
        printf("  stat: none\n");
        return;
    }
    const char *owner = stat->ephemeralOwner == 0 ? "0"
                        : stat->ephemeralOwner == zoo_client_id(zh)->client_id ? "own" : "other";
    printf("  stat: czxid=%lld mzxid=%lld pzxid=%lld ctime=%s mtime=%s%s version=%d cversion=%d aversion=%d"
           " owner=%s length=%d children=%d\n",
           (long long)stat->czxid, (long long)stat->mzxid, (long long)stat->pzxid, time_mask(stat->ctime),
           time_mask(stat->mtime), stat->mtime < stat->ctime ? " (earlier)" : "", stat->version, stat->cversion,
           stat->aversion, owner, stat->dataLength, stat->numChildren);
}

void say_data(const char *data, int length) {
    if (length < 0) {
        printf("  data: null\n");
        return;
    }
    printf("  data: %d \"", length);
    for (int i = 0; i < length; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c >= 32 && c < 127 && c != '"' && c != '\\') putchar(c);
        else printf("\\x%02x", c);
    }
    printf("\"\n");
}

static int by_name(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

void say_names(const struct String_vector *names) {
    if (!names) {
        printf("  names: none\n");
        return;
    }
    char **sorted = malloc(sizeof(char *) * (size_t)(names->count + 1));
    memcpy(sorted, names->data, sizeof(char *) * (size_t)names->count);
    qsort(sorted, (size_t)names->count, sizeof(char *), by_name);
    printf("  names: %d", names->count);
    for (int i = 0; i < names->count; i++) printf(" %s", sorted[i]);
    printf("\n");
    free(sorted);
}

void say_acl(const struct ACL_vector *acl) {
    if (!acl) {
        printf("  acl: none\n");
        return;
    }
    printf("  acl:");
    for (int i = 0; i < acl->count; i++)
        printf(" %d=%s:%s", acl->data[i].perms, acl->data[i].id.scheme, acl->data[i].id.id);
    printf("\n");
}

void queue_event(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh;
    /* How often a library notices that it is not connected is its own affair. */
    if (type == ZOO_SESSION_EVENT) return;
    pthread_mutex_lock(&lock);
    if (event_count == EVENTS_MAX) fail("more than %d events", EVENTS_MAX);
    struct event *event = &events[event_count++];
    event->type = type;
    event->state = state;
    event->watch = context;
    snprintf(event->path, sizeof event->path, "%s", path ? path : "");
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void deadline_in(struct timespec *deadline, int ms) {
    clock_gettime(CLOCK_REALTIME, deadline);
    deadline->tv_sec += ms / 1000;
    deadline->tv_nsec += (long)(ms % 1000) * 1000000;
    if (deadline->tv_nsec >= 1000000000) {
        deadline->tv_nsec -= 1000000000;
        deadline->tv_sec++;
    }
}

static void barrier_reached(int rc, const struct Stat *stat, const void *data) {
    (void)rc, (void)stat, (void)data;
    pthread_mutex_lock(&lock);
    barrier_done = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int by_watch(const void *left, const void *right) {
    const struct event *l = left, *r = right;
    return strcmp(l->watch ? l->watch : "", r->watch ? r->watch : "");
}

/* One notification of the server may serve several watches, which the library tells in the order of their
 * addresses: they are put in the order of their names. */
static void settle_order(void) {
    for (int from = 0, to; from < event_count; from = to) {
        for (to = from + 1; to < event_count; to++)
            if (events[to].type != events[from].type || strcmp(events[to].path, events[from].path) != 0) break;
        qsort(&events[from], (size_t)(to - from), sizeof events[0], by_watch);
    }
}

/* Prints and empties the queue; the lock is held. */
static void print_events(const char *label) {
    settle_order();
    printf("events %s: %d\n", label, event_count);
    for (int i = 0; i < event_count; i++) {
        struct event *event = &events[i];
        printf("  %s %s %s %s\n", event->watch ? event->watch : "-", event_name(event->type),
               state_name(event->state), event->path);
    }
    event_count = 0;
}

void say_events(zhandle_t *zh, const char *label) {
    struct timespec deadline;
    deadline_in(&deadline, PATIENCE_MS);
    barrier_done = 0;
    /* Completions and events leave the library in one order, so the answer to this comes after every event
     * that the server sent before it. */
    int rc = zoo_aexists(zh, "/", 0, barrier_reached, NULL);
    if (rc != ZOK) fail("cannot make a round trip: %s", code_name(rc));
    pthread_mutex_lock(&lock);
    while (!barrier_done)
        if (pthread_cond_timedwait(&changed, &lock, &deadline) != 0) fail("no round trip in 30 s");
    print_events(label);
    pthread_mutex_unlock(&lock);
}

void wait_for_events(zhandle_t *zh, const char *label, int count) {
    (void)zh;
    struct timespec deadline;
    deadline_in(&deadline, PATIENCE_MS);
    pthread_mutex_lock(&lock);
    while (event_count < count)
        if (pthread_cond_timedwait(&changed, &lock, &deadline) != 0) {
            print_events(label);
            fail("fewer than %d events in 30 s", count);
        }
    print_events(label);
    pthread_mutex_unlock(&lock);
}
