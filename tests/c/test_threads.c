/* Many threads on one client, clients destroyed under them, and callbacks that block.
 *
 *   ALIOT_LONG=1   10,000 messages a thread and 1,000 clients instead of 250 and 30; the callback
 *                  blocks for 30 s instead of 3 */

#include "trap.h"

static const aliot_qos Q1 = ALIOT_QOS_AT_LEAST_ONCE;
static const char TOPIC[] = "/pk/device/user/t";

enum { THREADS = 16 };

static int each = 250, rounds = 30, seconds = 3;

/* ---- Sixteen threads, one client ----------------------------------------------------------- */

typedef struct worker {
    pthread_t thread;
    aliot_client *client;
    int number;
    int accepted;
} worker;

static atomic_int acknowledged;
static atomic_int cancelled;
static atomic_int completions;

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)client, (void)userdata;
    completions++;
    acknowledged += completion->result == ALIOT_RESULT_OK;
    cancelled += completion->result == ALIOT_RESULT_CANCELLED;
}

static void on_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    (void)client, (void)message, (void)userdata;
}

static void reset_counts(void)
{
    acknowledged = cancelled = completions = 0;
}

/* For every ten messages each thread subscribes to its own topic and gives it up again. */
enum { TURN = 12 };

static aliot_result use_once(worker *w)
{
    char filter[64];
    snprintf(filter, sizeof filter, "%s/%d", TOPIC, w->number);
    switch (w->accepted % TURN) {
    case 4:
        return aliot_client_subscribe(w->client, filter, Q1, on_message, NULL, NULL, NULL);
    case 9:
        return aliot_client_unsubscribe(w->client, filter, NULL);
    default:
        return aliot_client_publish(w->client, TOPIC, "x", 1, Q1, NULL);
    }
}

static void *use_much(void *argument)
{
    worker *w = argument;
    while (w->accepted < each / 10 * TURN) {
        aliot_result result = use_once(w);
        if (result == ALIOT_RESULT_OUTBOX_FULL) {
            CHECK_OK(aliot_client_wait_room(w->client, 30000));
            continue;
        }
        CHECK(result == ALIOT_RESULT_OK);
        w->accepted++;
        CHECK(aliot_client_state(w->client) == ALIOT_STATE_CONNECTED);
        CHECK(aliot_client_counter(w->client, ALIOT_COUNTER_CONNECTS) == 1);
    }
    return NULL;
}

static void sixteen_threads_use_a_client_and_all_is_acknowledged_once(void)
{
    trap t;
    aliot_client *client = NULL;
    worker workers[THREADS];
    reset_counts();
    trap_start(&t, TRAP_BROKER);
    aliot_config *config = trap_config("127.0.0.1", t.port, true);
    /* A machine that is busy besides does not end the connection. */
    CHECK_OK(aliot_config_set_ack_timeout_ms(config, 600000));
    CHECK_OK(aliot_config_set_keep_alive_s(config, 0));
    CHECK_OK(aliot_client_create(config, &client));
    aliot_config_destroy(config);
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, NULL, NULL));
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_wait_connected(client, 10000));
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.client = client, .number = i};
        CHECK(pthread_create(&workers[i].thread, NULL, use_much, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
    CHECK_OK(aliot_client_wait_flushed(client, 300000));
    const int operations = THREADS * (each / 10 * TURN);
    CHECK_EVENTUALLY(completions == operations);
    CHECK(acknowledged == operations);
    CHECK(t.packets[3] == THREADS * each);
    CHECK(t.packets[8] > 0 && t.packets[10] > 0);
    aliot_client_destroy(client);
    CHECK(completions == operations);
    printf("measured: %d threads: %d messages, %d subscriptions and as many given up, each completed "
           "once\n", THREADS, THREADS * each, THREADS * each / 10);
    trap_end(&t);
}

/* ---- Destroy at random --------------------------------------------------------------------- */

/* Any call on a client that may go at any moment. */
static void *use_until_gone(void *argument)
{
    worker *w = argument;
    for (unsigned step = 0;; step++) {
        aliot_result result = ALIOT_RESULT_OK;
        switch (step % 6) {
        case 0:
            result = aliot_client_publish(w->client, TOPIC, "x", 1, Q1, NULL);
            w->accepted += result == ALIOT_RESULT_OK;
            break;
        case 1:
            result = aliot_client_subscribe(w->client, TOPIC, Q1, on_message, NULL, NULL, NULL);
            w->accepted += result == ALIOT_RESULT_OK;
            break;
        case 2:
            result = aliot_client_unsubscribe(w->client, TOPIC, NULL);
            w->accepted += result == ALIOT_RESULT_OK;
            break;
        case 3:
            result = aliot_client_wait_flushed(w->client, 1);
            break;
        case 4:
            result = aliot_client_wait_connected(w->client, 1);
            break;
        default:
            result = aliot_client_retry_now(w->client);
            break;
        }
        if (result == ALIOT_RESULT_BAD_HANDLE || result == ALIOT_RESULT_CANCELLED)
            return NULL;
        CHECK(result == ALIOT_RESULT_OK || result == ALIOT_RESULT_OUTBOX_FULL ||
              result == ALIOT_RESULT_TIMEOUT);
    }
}

static void a_client_may_go_while_sixteen_threads_use_it(void)
{
    trap t;
    trap_start(&t, TRAP_BROKER);
    for (int round = 0; round < rounds; round++) {
        aliot_client *client = NULL;
        worker workers[THREADS];
        int accepted = 0;
        reset_counts();
        aliot_config *config = trap_config("127.0.0.1", t.port, true);
        CHECK_OK(aliot_client_create(config, &client));
        aliot_config_destroy(config);
        CHECK_OK(aliot_client_set_completion_callback(client, on_completion, NULL, NULL));
        CHECK_OK(aliot_client_start(client));
        for (int i = 0; i < THREADS; i++) {
            workers[i] = (worker){.client = client};
            CHECK(pthread_create(&workers[i].thread, NULL, use_until_gone, &workers[i]) == 0);
        }
        check_sleep_ms(round % 7);
        aliot_client_destroy(client);
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_join(workers[i].thread, NULL) == 0);
            accepted += workers[i].accepted;
        }
        CHECK_EVENTUALLY(completions == accepted);
        CHECK(acknowledged + cancelled == accepted);
    }
    trap_end(&t);
    RAN(rounds);
}

/* ---- A callback that blocks ---------------------------------------------------------------- */

static atomic_bool block;
static atomic_bool blocked;
static atomic_int disconnections;

static void on_event_block(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client, (void)userdata;
    disconnections += event->kind == ALIOT_EVENT_KIND_DISCONNECTED;
    if (event->kind == ALIOT_EVENT_KIND_CONNECTED) {
        while (block) {
            blocked = true;
            check_sleep_ms(1);
        }
    }
}

static aliot_client *started(uint16_t port, aliot_runtime *runtime, aliot_event_cb on_event)
{
    aliot_client *client = NULL;
    aliot_config *config = trap_config("127.0.0.1", port, true);
    CHECK_OK(aliot_config_set_keep_alive_s(config, 1));
    CHECK_OK(aliot_config_set_ping_timeout_ms(config, 2000));
    if (runtime != NULL)
        CHECK_OK(aliot_client_create_on_runtime(config, runtime, &client));
    else
        CHECK_OK(aliot_client_create(config, &client));
    aliot_config_destroy(config);
    CHECK_OK(aliot_client_set_event_callback(client, on_event, NULL, NULL));
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, NULL, NULL));
    CHECK_OK(aliot_client_start(client));
    return client;
}

static void on_event_count(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client, (void)userdata;
    disconnections += event->kind == ALIOT_EVENT_KIND_DISCONNECTED;
}

/* Pings of all clients go on, so does sending; another runtime's callbacks do not wait. */
static void a_callback_that_blocks_holds_up_nothing_but_callbacks(void)
{
    trap blocked_peer, neighbour_peer, stranger_peer;
    aliot_runtime *runtime = NULL;
    reset_counts();
    block = true;
    trap_start(&blocked_peer, TRAP_BROKER);
    trap_start(&neighbour_peer, TRAP_BROKER);
    trap_start(&stranger_peer, TRAP_BROKER);
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_THREAD, &runtime));
    aliot_client *client = started(blocked_peer.port, NULL, on_event_block);
    CHECK_EVENTUALLY(blocked);
    aliot_client *neighbour = started(neighbour_peer.port, NULL, on_event_count);
    aliot_client *stranger = started(stranger_peer.port, runtime, on_event_count);
    CHECK_OK(aliot_client_wait_connected(neighbour, 10000));
    CHECK_OK(aliot_client_wait_connected(stranger, 10000));
    CHECK_OK(aliot_client_publish(client, TOPIC, "x", 1, Q1, NULL));
    CHECK_OK(aliot_client_publish(neighbour, TOPIC, "x", 1, Q1, NULL));
    CHECK_OK(aliot_client_wait_flushed(client, 10000));
    CHECK_OK(aliot_client_wait_flushed(neighbour, 10000));
    CHECK(completions == 0);
    CHECK_OK(aliot_client_publish(stranger, TOPIC, "x", 1, Q1, NULL));
    CHECK_EVENTUALLY(completions == 1);
    check_sleep_ms(seconds * 1000);
    for (trap *t = &blocked_peer; t != NULL; t = t == &blocked_peer ? &neighbour_peer : NULL) {
        CHECK(t->packets[12] >= seconds - 1);
        CHECK(t->accepted == 1);
    }
    CHECK(aliot_client_state(client) == ALIOT_STATE_CONNECTED);
    CHECK(disconnections == 0);
    block = false;
    CHECK_EVENTUALLY(completions == 3);
    aliot_client_destroy(client);
    aliot_client_destroy(neighbour);
    aliot_client_destroy(stranger);
    aliot_runtime_destroy(runtime);
    trap_end(&blocked_peer);
    trap_end(&neighbour_peer);
    trap_end(&stranger_peer);
}

int main(void)
{
    if (check_is_long()) {
        each = 10000;
        rounds = 1000;
        seconds = 30;
    }
    RUN(sixteen_threads_use_a_client_and_all_is_acknowledged_once);
    RUN(a_client_may_go_while_sixteen_threads_use_it);
    RUN(a_callback_that_blocks_holds_up_nothing_but_callbacks);
    return 0;
}
