/*
 * What every scenario shares: printing of answers with times and session ids masked, a queue of watch events,
 * and orders to the test that runs the program (see src/client.rs).
 *
 * zxids are printed as they are: a scenario runs alone on a fresh server, so both servers count alike.
 */
#ifndef COMPAT_COMMON_H
#define COMPAT_COMMON_H

#include <zookeeper/zookeeper.h>

/* The server's host:port, from the command line. */
extern const char *server_address;

/* Opens a session and waits until it is connected; with `id` an earlier session is resumed. */
zhandle_t *connect_client(int timeout_ms, const clientid_t *id);
/* Closes the session and prints the answer. */
void close_client(zhandle_t *zh);
/* Waits until zoo_state is `state`; ends the program after 30 s. */
void wait_for_state(zhandle_t *zh, int state);

/* The name of a return code. */
const char *code_name(int rc);
const char *state_name(int state);
/* Prints `label: code`. */
void say_code(const char *label, int rc);
/* Prints all fields of a Stat, times and session ids masked. */
void say_stat(zhandle_t *zh, const struct Stat *stat);
/* Prints `data`, escaped; a length of -1 is null. */
void say_data(const char *data, int length);
/* Prints names sorted, since upstream leaves their order open. */
void say_names(const struct String_vector *names);
void say_acl(const struct ACL_vector *acl);

/* A watcher that queues its events of znodes; `context` names the watch. */
void queue_event(zhandle_t *zh, int type, int state, const char *path, void *context);
/* Prints all events queued up to now, after a round trip that every earlier event precedes. */
void say_events(zhandle_t *zh, const char *label);
/* Waits until `count` events are queued, then prints them. */
void wait_for_events(zhandle_t *zh, const char *label, int count);

/* An order to the test: kill, stop, start, suspend, resume. */
void order(const char *what);

void section(const char *title);
void fail(const char *format, ...);

/* The scenarios, one file each. */
void scenario_sync_calls(void);
void scenario_async_calls(void);
void scenario_create_modes(void);
void scenario_multi(void);
void scenario_watches(void);
void scenario_acl_and_auth(void);
void scenario_sessions(void);
void scenario_reconnect(void);

#endif
