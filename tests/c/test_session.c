/* A connection from start to end, against the simulator that the environment names: over TLS, or
 * in plain text where a checker cannot follow the cipher. */

#include "platform.h"

#include <pthread.h>

/* What the callbacks have seen. One lock for all: the counts are small. */
typedef struct probe {
    pthread_mutex_t lock;
    int events[16];
    int messages;
    int completions;
    int acknowledged;
    int released;
    size_t bytes;
    bool destroy_on_message;
    bool destroy_on_event;
    bool destroy_on_completion;
} probe;

static void probe_init(probe *p)
{
    memset(p, 0, sizeof *p);
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
}

static int probe_read(probe *p, const int *count)
{
    pthread_mutex_lock(&p->lock);
    int value = *count;
    pthread_mutex_unlock(&p->lock);
    return value;
}

static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    probe *p = userdata;
    CHECK(event->text != NULL);
    pthread_mutex_lock(&p->lock);
    p->events[event->kind]++;
    pthread_mutex_unlock(&p->lock);
    if (p->destroy_on_event && event->kind == ALIOT_EVENT_KIND_CONNECTED) {
        aliot_client_destroy(client);
        aliot_client_destroy(client);
    }
}

static void on_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    probe *p = userdata;
    CHECK(strcmp(message->topic, TOPIC) == 0);
    pthread_mutex_lock(&p->lock);
    CHECK(p->released == 0);
    p->messages++;
    p->bytes += message->payload_len;
    pthread_mutex_unlock(&p->lock);
    if (p->destroy_on_message) {
        aliot_client_destroy(client);
        CHECK(aliot_client_publish(client, TOPIC, "x", 1, ALIOT_QOS_AT_MOST_ONCE, NULL) ==
              ALIOT_RESULT_BAD_HANDLE);
    }
}

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    probe *p = userdata;
    pthread_mutex_lock(&p->lock);
    p->completions++;
    p->acknowledged += completion->result == ALIOT_RESULT_OK;
    pthread_mutex_unlock(&p->lock);
    if (p->destroy_on_completion) {
        aliot_client_destroy(client);
    }
}

static void on_release(void *userdata)
{
    probe *p = userdata;
    pthread_mutex_lock(&p->lock);
    p->released++;
    pthread_mutex_unlock(&p->lock);
}

static void watch(aliot_client *client, probe *p)
{
    CHECK_OK(aliot_client_set_event_callback(client, on_event, p, NULL));
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, p, NULL));
    CHECK_OK(aliot_client_subscribe(client, TOPIC, ALIOT_QOS_AT_LEAST_ONCE, on_message, p,
                                    on_release, NULL));
}

static void messages_go_there_and_back(void)
{
    probe p;
    aliot_client *client = platform_client();
    static char payload[262144];
    size_t sizes[] = {0, 1, 1000, 70000, sizeof payload};
    size_t total = 0;
    probe_init(&p);
    watch(client, &p);
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
    CHECK(aliot_client_state(client) == ALIOT_STATE_CONNECTED);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK_OK(aliot_client_publish(client, TOPIC, payload, sizes[i], ALIOT_QOS_AT_LEAST_ONCE,
                                      NULL));
        total += sizes[i];
    }
    CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
    CHECK_EVENTUALLY(probe_read(&p, &p.messages) == 5);
    CHECK(p.bytes == total);
    CHECK_EVENTUALLY(probe_read(&p, &p.acknowledged) == 6);
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_CONNECTS) == 1);
    CHECK_OK(aliot_client_stop(client, PATIENCE_MS));
    CHECK_OK(aliot_client_wait_stopped(client, PATIENCE_MS));
    CHECK_EVENTUALLY(probe_read(&p, &p.events[ALIOT_EVENT_KIND_STOPPED]) == 1);
    CHECK(p.events[ALIOT_EVENT_KIND_DISCONNECTED] == 1);
    aliot_client_destroy(client);
    CHECK(p.released == 1);
}

static void an_unsubscribed_handler_is_released_once(void)
{
    probe p;
    aliot_client *client = platform_client();
    probe_init(&p);
    watch(client, &p);
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_unsubscribe(client, TOPIC, NULL));
    CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
    CHECK_EVENTUALLY(probe_read(&p, &p.released) == 1);
    aliot_client_destroy(client);
    CHECK(p.released == 1);
}

static void a_message_callback_may_destroy_its_client(void)
{
    probe p;
    aliot_client *client = platform_client();
    probe_init(&p);
    p.destroy_on_message = true;
    watch(client, &p);
    CHECK_OK(aliot_client_start(client));
    for (int i = 0; i < 10; i++) {
        CHECK_OK(aliot_client_publish(client, TOPIC, "hello", 5, ALIOT_QOS_AT_LEAST_ONCE, NULL));
    }
    CHECK_EVENTUALLY(probe_read(&p, &p.released) == 1);
    CHECK(p.messages == 1);
    CHECK(p.completions == 11);
}

static void an_event_callback_may_destroy_its_client(void)
{
    probe p;
    aliot_client *client = platform_client();
    probe_init(&p);
    p.destroy_on_event = true;
    watch(client, &p);
    CHECK_OK(aliot_client_publish(client, TOPIC, "hello", 5, ALIOT_QOS_AT_LEAST_ONCE, NULL));
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(probe_read(&p, &p.released) == 1);
    CHECK(p.events[ALIOT_EVENT_KIND_DISCONNECTED] == 0);
    CHECK(p.completions == 2);
}

static void a_completion_callback_may_destroy_its_client(void)
{
    probe p;
    aliot_client *client = platform_client();
    probe_init(&p);
    p.destroy_on_completion = true;
    watch(client, &p);
    for (int i = 0; i < 10; i++) {
        CHECK_OK(aliot_client_publish(client, TOPIC, "hello", 5, ALIOT_QOS_AT_LEAST_ONCE, NULL));
    }
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(probe_read(&p, &p.released) == 1);
    CHECK(p.completions == 11);
}

static void nothing_runs_after_destroy_has_returned(void)
{
    const int rounds = check_is_long() ? 1000 : 20;
    for (int round = 0; round < rounds; round++) {
        probe *p = malloc(sizeof *p);
        aliot_client *client = platform_client();
        CHECK(p != NULL);
        probe_init(p);
        watch(client, p);
        CHECK_OK(aliot_client_start(client));
        if (round % 2 == 0) {
            CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
        }
        for (int i = 0; i < 20; i++) {
            CHECK_OK(aliot_client_publish(client, TOPIC, "x", 1, ALIOT_QOS_AT_LEAST_ONCE, NULL));
        }
        aliot_client_destroy(client);
        CHECK(p->completions == 21);
        CHECK(p->released == 1);
        /* A callback from here on would be a use after free, which valgrind sees. */
        memset(p, 0xEE, sizeof *p);
        free(p);
    }
    RAN(rounds);
}

/* Callbacks run only inside aliot_runtime_poll, on the thread that calls it. */
static pthread_t poller;
static int polled;

static void on_polled_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client;
    (void)event;
    (void)userdata;
    CHECK(pthread_equal(pthread_self(), poller));
    polled++;
}

static void a_poll_runtime_calls_back_only_inside_poll(void)
{
    aliot_runtime *runtime = NULL;
    aliot_config *config = platform_config();
    aliot_client *client = NULL;
    size_t count = 0;
    poller = pthread_self();
    polled = 0;
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    CHECK(aliot_runtime_fd(runtime) >= 0);
    CHECK_OK(aliot_client_create_on_runtime(config, runtime, &client));
    CHECK_OK(aliot_client_set_event_callback(client, on_polled_event, NULL, NULL));
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
    CHECK(polled == 0);
    while (polled < 2) {
        CHECK_OK(aliot_runtime_poll(runtime, PATIENCE_MS, &count));
        CHECK(count > 0);
    }
    aliot_client_destroy(client);
    aliot_config_destroy(config);
    aliot_runtime_destroy(runtime);
}

int main(void)
{
    RUN(messages_go_there_and_back);
    RUN(an_unsubscribed_handler_is_released_once);
    RUN(a_message_callback_may_destroy_its_client);
    RUN(an_event_callback_may_destroy_its_client);
    RUN(a_completion_callback_may_destroy_its_client);
    RUN(nothing_runs_after_destroy_has_returned);
    RUN(a_poll_runtime_calls_back_only_inside_poll);
    return 0;
}
