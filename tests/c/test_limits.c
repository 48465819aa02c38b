/* A system that has no descriptor, no thread or no clock to give, and a defect inside: results,
 * never the end of the program, and the client goes on when the system does. */
#define _GNU_SOURCE

#include "platform.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

static const aliot_qos Q1 = ALIOT_QOS_AT_LEAST_ONCE;

/* ---- The system's functions, which fail when told to; for the library too ------------------- */

static atomic_int threads_left = 1000000;
static _Thread_local bool clock_is_broken;
static atomic_bool reads_lie;

static void *system_function(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    CHECK(function != NULL);
    return function;
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
                   void *(*body)(void *), void *restrict argument)
{
    static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&create = system_function("pthread_create");
    return atomic_fetch_sub(&threads_left, 1) > 0 ? create(thread, attributes, body, argument)
                                                  : EAGAIN;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*system_clock)(clockid_t, struct timespec *);
    if (system_clock == NULL)
        *(void **)&system_clock = system_function("clock_gettime");
    if (clock_is_broken) {
        errno = EINVAL;
        return -1;
    }
    return system_clock(clock, time);
}

ssize_t recv(int descriptor, void *buffer, size_t length, int flags)
{
    static ssize_t (*receive)(int, void *, size_t, int);
    *(void **)&receive = system_function("recv");
    ssize_t got = receive(descriptor, buffer, length, flags);
    return got > 0 && reads_lie ? got + 1000000 : got;
}

/* ---- What the callbacks see ---------------------------------------------------------------- */

typedef struct probe {
    atomic_int connected;
    atomic_int failed;
    atomic_int without_resources;
    atomic_int completions;
    atomic_int releases;
} probe;

static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    probe *p = userdata;
    (void)client;
    p->connected += event->kind == ALIOT_EVENT_KIND_CONNECTED;
    p->failed += event->kind == ALIOT_EVENT_KIND_CONNECT_FAILED;
    p->without_resources += event->reason == ALIOT_RESULT_NO_RESOURCES;
}

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    probe *p = userdata;
    (void)client, (void)completion;
    p->completions++;
}

static void on_release(void *userdata)
{
    probe *p = userdata;
    p->releases++;
}

static void watch(aliot_client *client, probe *p)
{
    CHECK_OK(aliot_client_set_event_callback(client, on_event, p, on_release));
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, p, NULL));
}

/* ---- Descriptors --------------------------------------------------------------------------- */

static void limit_descriptors(rlim_t limit)
{
    struct rlimit limits;
    CHECK(getrlimit(RLIMIT_NOFILE, &limits) == 0);
    limits.rlim_cur = limit;
    CHECK(setrlimit(RLIMIT_NOFILE, &limits) == 0);
}

static void without_descriptors_a_client_waits_until_there_are_some(void)
{
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    int refused = 0, delayed = 0;
    for (rlim_t limit = 3; limit <= 32; limit += limit < 16 ? 1 : 4) {
        probe p = {0};
        aliot_client *client = NULL;
        aliot_runtime *runtime = NULL;
        aliot_config *config = platform_config();
        limit_descriptors(limit);
        aliot_result result = aliot_runtime_create(ALIOT_DISPATCH_THREAD, &runtime);
        if (result == ALIOT_RESULT_OK)
            result = aliot_client_create_on_runtime(config, runtime, &client);
        if (result == ALIOT_RESULT_OK) {
            watch(client, &p);
            if (limit >= 16)
                limit_descriptors(3); /* from now on there is none at all */
            CHECK_OK(aliot_client_start(client));
            CHECK_EVENTUALLY(p.connected > 0 || p.failed > 2);
            CHECK(p.failed <= 100);
            CHECK(p.without_resources == p.failed);
            delayed += p.connected == 0;
        } else {
            /* The CA file cannot be read, or there is no epoll. */
            CHECK(result == ALIOT_RESULT_NO_RESOURCES || result == ALIOT_RESULT_TLS_CONFIG);
            CHECK(aliot_last_error_os_error() == EMFILE);
            refused++;
        }
        limit_descriptors(before.rlim_cur);
        if (client != NULL) {
            CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
            aliot_client_destroy(client);
            CHECK(p.releases == 1);
        }
        aliot_runtime_destroy(runtime);
        aliot_config_destroy(config);
    }
    CHECK(refused > 0);
    CHECK(delayed > 0);
}

/* ---- Threads ------------------------------------------------------------------------------- */

static void without_threads_a_call_or_an_event_says_so(void)
{
    int refused = 0, delayed = 0;
    for (int available = 0; available <= 8; available++) {
        probe p = {0};
        aliot_client *client = NULL;
        aliot_runtime *runtime = NULL;
        aliot_config *config = platform_config();
        threads_left = available;
        aliot_result result = aliot_runtime_create(ALIOT_DISPATCH_THREAD, &runtime);
        if (result == ALIOT_RESULT_OK)
            result = aliot_client_create_on_runtime(config, runtime, &client);
        if (result == ALIOT_RESULT_OK) {
            watch(client, &p);
            CHECK_OK(aliot_client_start(client));
            CHECK_EVENTUALLY(p.connected > 0 || p.without_resources > 1);
            CHECK(p.without_resources == p.failed);
            delayed += p.connected == 0;
        } else {
            CHECK(result == ALIOT_RESULT_NO_RESOURCES);
            CHECK(aliot_last_error_stage() == ALIOT_STAGE_LIBRARY);
            CHECK(aliot_last_error_os_error() == EAGAIN);
            CHECK(client == NULL);
            refused++;
        }
        threads_left = 1000000;
        if (client == NULL) {
            CHECK_OK(aliot_client_create(config, &client));
            CHECK_OK(aliot_client_start(client));
        }
        CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
        aliot_client_destroy(client);
        aliot_runtime_destroy(runtime);
        aliot_config_destroy(config);
    }
    CHECK(refused == 2);
    CHECK(delayed > 0);
}

/* ---- Defects ------------------------------------------------------------------------------- */

/* The standard library panics when the clock fails: so does whatever reads it. */
#define CHECK_PANICS(call) \
    do { \
        clock_is_broken = true; \
        aliot_result check_panic = call; \
        clock_is_broken = false; \
        check_result(__FILE__, __LINE__, #call, check_panic, ALIOT_RESULT_INTERNAL); \
        check_last_error(__FILE__, __LINE__, #call, "library: panic:"); \
        CHECK(aliot_last_error_stage() == ALIOT_STAGE_LIBRARY); \
    } while (0)

static void on_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    (void)client, (void)message, (void)userdata;
}

static void a_panic_in_a_call_is_a_result_and_the_client_goes_on(void)
{
    probe p = {0};
    aliot_client *client = platform_client();
    watch(client, &p);
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
    for (int round = 0; round < 3; round++) {
        CHECK_PANICS(aliot_client_publish(client, TOPIC, "x", 1, Q1, NULL));
        CHECK_PANICS(aliot_client_publish_expiring(client, TOPIC, "x", 1, 1000, NULL));
        CHECK_PANICS(aliot_client_subscribe(client, TOPIC, Q1, on_message, NULL, NULL, NULL));
        CHECK_PANICS(aliot_client_unsubscribe(client, TOPIC, NULL));
        CHECK_PANICS(aliot_client_start(client));
        CHECK_PANICS(aliot_client_stop(client, 0));
        CHECK_PANICS(aliot_client_retry_now(client));
        CHECK_PANICS(aliot_client_wait_connected(client, 1000));
        CHECK_PANICS(aliot_client_wait_flushed(client, 1000));
        CHECK_PANICS(aliot_client_wait_stopped(client, 1000));
        CHECK_PANICS(aliot_client_set_event_callback(client, NULL, NULL, NULL));
        CHECK(aliot_client_state(client) == ALIOT_STATE_CONNECTED);
        CHECK_OK(aliot_client_publish(client, TOPIC, "x", 1, Q1, NULL));
        CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
    }
    CHECK_EVENTUALLY(p.completions == 3);
    CHECK(p.connected == 1);
    aliot_client_destroy(client);
    CHECK(p.releases == 1);
}

/* A destroy that panics has ended the handle all the same. */
static void a_panic_in_destroy_does_not_reach_the_program(void)
{
    aliot_client *client = platform_client();
    CHECK_OK(aliot_client_start(client));
    clock_is_broken = true;
    aliot_client_destroy(client);
    clock_is_broken = false;
    CHECK(aliot_client_start(client) == ALIOT_RESULT_BAD_HANDLE);
}

/* More bytes than there was room for: the standard library notices and panics. */
static void a_panic_on_the_network_thread_ends_one_client_and_says_so(void)
{
    probe p = {0};
    probe other = {0};
    aliot_client *client = platform_client();
    aliot_client *neighbour =
        client_of(config_to(platform_endpoint(), "other", "canary-device-secret"));
    watch(client, &p);
    watch(neighbour, &other);
    CHECK_OK(aliot_client_start(neighbour));
    CHECK_OK(aliot_client_wait_connected(neighbour, PATIENCE_MS));
    CHECK_OK(aliot_client_publish(client, TOPIC, "x", 1, Q1, NULL));
    reads_lie = true;
    CHECK_OK(aliot_client_start(client));
    CHECK(aliot_client_wait_connected(client, PATIENCE_MS) == ALIOT_RESULT_INTERNAL);
    reads_lie = false;
    CHECK(aliot_client_publish(client, TOPIC, "x", 1, Q1, NULL) == ALIOT_RESULT_INTERNAL);
    CHECK_EVENTUALLY(p.completions == 1);
    CHECK_EVENTUALLY(p.failed == 1);
    CHECK_OK(aliot_client_publish(neighbour, TOPIC, "x", 1, Q1, NULL));
    CHECK_OK(aliot_client_wait_flushed(neighbour, PATIENCE_MS));
    CHECK(other.connected == 1);
    aliot_client_destroy(client);
    CHECK(p.releases == 1);
    aliot_client_destroy(neighbour);
}

int main(void)
{
    RUN(without_descriptors_a_client_waits_until_there_are_some);
    RUN(without_threads_a_call_or_an_event_says_so);
    RUN(a_panic_in_a_call_is_a_result_and_the_client_goes_on);
    RUN(a_panic_in_destroy_does_not_reach_the_program);
    RUN(a_panic_on_the_network_thread_ends_one_client_and_says_so);
    return 0;
}
