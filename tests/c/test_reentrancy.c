/* Every function in every callback: it answers at once, and the client goes on. */

#include "every_call.h"
#include "platform.h"

#include <pthread.h>
#include <stdatomic.h>

/* What waits for the callback that it is made from waits for ever: a busy machine has its time. */
enum { LIMIT_MS = 20000 };

#define OK(function) CALL(function, ALIOT_RESULT_OK)
#define STATE(function) CALL(function, ALIOT_RESULT_INVALID_STATE)
#define DEADLOCK(function) CALL(function, ALIOT_RESULT_WOULD_DEADLOCK)

static const call calls[] = {
    OK(aliot_client_publish), OK(aliot_client_publish_expiring), OK(aliot_client_subscribe),
    OK(aliot_client_unsubscribe), STATE(aliot_client_set_event_callback),
    STATE(aliot_client_set_completion_callback), STATE(aliot_client_set_message_callback),
    DEADLOCK(aliot_client_wait_connected), DEADLOCK(aliot_client_wait_flushed),
    DEADLOCK(aliot_client_wait_room), DEADLOCK(aliot_client_wait_stopped),
    STATE(aliot_client_start), OK(aliot_client_retry_now),
    OK(aliot_client_state), OK(aliot_client_counter), OK(aliot_client_stop),
    OK(aliot_client_create), OK(aliot_client_destroy), OK(aliot_client_create_on_runtime),
    OK(aliot_runtime_create), OK(aliot_runtime_fd), DEADLOCK(aliot_runtime_poll),
    OK(aliot_runtime_destroy), OK(aliot_config_set_sign_method), OK(aliot_config_set_hex_case),
    OK(aliot_config_set_client_id), OK(aliot_config_set_sign_client_id),
    OK(aliot_config_set_timestamp), OK(aliot_config_add_client_param),
    OK(aliot_config_set_kick_notice), OK(aliot_config_set_clean_session),
    OK(aliot_config_set_keep_alive_s), OK(aliot_config_set_ping_timeout_ms),
    OK(aliot_config_set_ack_timeout_ms), OK(aliot_config_set_reconnect_ms),
    OK(aliot_config_set_connects_per_minute), OK(aliot_config_set_outbox_limit),
    OK(aliot_config_set_window), OK(aliot_config_set_inbox_limit),
    OK(aliot_config_set_outbox_policy), OK(aliot_config_set_take_over_policy),
    OK(aliot_config_set_rates), OK(aliot_config_set_payload_limit),
    OK(aliot_config_set_topic_limit), OK(aliot_config_set_subscription_limit),
    OK(aliot_config_set_filters_per_packet), OK(aliot_config_set_stable_after_ms),
    OK(aliot_config_create), OK(aliot_config_destroy), OK(aliot_config_use_platform_rates),
    OK(aliot_config_use_private_profile), OK(aliot_endpoint_set_port),
    OK(aliot_endpoint_set_server_name), OK(aliot_endpoint_set_connect_timeout_ms),
    CALL(aliot_endpoint_set_ca_pem, ALIOT_RESULT_TLS_CONFIG),
    CALL(aliot_endpoint_set_ca_file, ALIOT_RESULT_TLS_CONFIG),
    OK(aliot_endpoint_set_dangerous_plaintext), OK(aliot_endpoint_create_for_host),
    OK(aliot_endpoint_destroy), OK(aliot_endpoint_create_for_region),
    OK(aliot_endpoint_create_for_instance), OK(aliot_identity_create), OK(aliot_sign_check),
    OK(aliot_log_set_callback),
    OK(aliot_registration_create), OK(aliot_registration_set_sign_method),
    OK(aliot_registration_set_client_id), OK(aliot_registration_set_instance_id),
    OK(aliot_registration_set_mode), OK(aliot_registration_set_connects_per_minute),
    OK(aliot_registration_start), DEADLOCK(aliot_registration_run),
    DEADLOCK(aliot_identity_register),
    CALL(aliot_identity_load, ALIOT_RESULT_FILE_NOT_FOUND),
    CALL(aliot_endpoint_add_ca_pem, ALIOT_RESULT_TLS_CONFIG),
    CALL(aliot_endpoint_add_ca_file, ALIOT_RESULT_TLS_CONFIG), OK(aliot_endpoint_pin_server_key),
    OK(aliot_endpoint_set_tls_versions), OK(aliot_endpoint_set_expiry_warning_days),
    CALL(aliot_endpoint_set_client_certificate_pem, ALIOT_RESULT_TLS_CONFIG),
    CALL(aliot_endpoint_set_client_certificate_files, ALIOT_RESULT_TLS_CONFIG),
    OK(aliot_endpoint_set_http_proxy), OK(aliot_endpoint_set_socks5_proxy),
    OK(aliot_endpoint_set_websocket), OK(aliot_endpoint_set_local_address),
    OK(aliot_endpoint_set_interface),
    OK(aliot_endpoint_set_address_family), OK(aliot_endpoint_create_for_x509),
    OK(aliot_clock_set_callback),
};

static const size_t CALLS = sizeof calls / sizeof *calls;

/* The kinds of callbacks, each of which makes every call once. */
enum kind { EVENT, MESSAGE, UNROUTED, COMPLETION, RELEASE, STORE, END, KINDS };

static const char *const KIND_NAMES[KINDS] = {"event",   "message", "unrouted message", "completion",
                                              "release", "store",   "end"};
static atomic_size_t made[KINDS];
static atomic_bool busy;

static long long now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void make_each_call(enum kind kind, aliot_client *client)
{
    for (size_t i = 0; i < CALLS; i++) {
        long long before = now_ms();
        aliot_result result = calls[i].run(client);
        long long took = now_ms() - before;
        if (result != calls[i].expected || took > LIMIT_MS) {
            fprintf(stderr, "%s in the %s callback: %s after %lld ms\n", calls[i].name,
                    KIND_NAMES[kind], aliot_result_name(result), took);
            CHECK(!"a call in a callback answers as it should, and soon");
        }
    }
    atomic_store(&made[kind], CALLS);
}

/* Makes every call, the first time this kind of callback runs. Callbacks of one client come one at
 * a time, whatever they do. */
static void make_calls(enum kind kind, aliot_client *client)
{
    CHECK(!atomic_exchange(&busy, true));
    if (atomic_load(&made[kind]) == 0)
        make_each_call(kind, client);
    atomic_store(&busy, false);
}

static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)userdata;
    if (event->kind == ALIOT_EVENT_KIND_CONNECTED) {
        make_calls(EVENT, client);
    }
}

static void on_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    (void)message;
    (void)userdata;
    make_calls(MESSAGE, client);
}

static void on_unrouted(aliot_client *client, const aliot_message *message, void *userdata)
{
    (void)message;
    (void)userdata;
    make_calls(UNROUTED, client);
}

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)userdata;
    if (completion->result == ALIOT_RESULT_OK) {
        make_calls(COMPLETION, client);
    }
}

static void on_release(void *userdata)
{
    make_calls(RELEASE, *(aliot_client **)userdata);
}

/* Those of registrations are no client's: they need not wait for its callbacks. */
static bool on_store(const aliot_identity *identity, void *client)
{
    CHECK(aliot_identity_has_token(identity));
    make_each_call(STORE, client);
    return true;
}

static bool on_end(const aliot_registration_end *end, void *client)
{
    CHECK(end->result == ALIOT_RESULT_NETWORK);
    make_each_call(END, client);
    return false;
}

/* Succeeds on this thread. */
static void register_and_store(aliot_client *client)
{
    aliot_endpoint *endpoint = platform_endpoint();
    aliot_registration *registration = NULL;
    aliot_identity *identity = NULL;
    CHECK_OK(aliot_registration_create(endpoint, "a1test", "new", "canary-product-secret",
                                       ALIOT_REGISTRATION_KIND_CREATE_DEVICE, &registration));
    CHECK_OK(aliot_registration_run(registration, PATIENCE_MS, on_store, client, &identity));
    aliot_identity_destroy(identity);
    aliot_registration_destroy(registration);
    aliot_endpoint_destroy(endpoint);
}

/* Fails where callbacks run. */
static void register_in_vain(aliot_client *client)
{
    aliot_registration *registration = fixture_registration();
    CHECK_OK(aliot_registration_set_connects_per_minute(registration, 0));
    CHECK_OK(aliot_registration_start(registration, NULL, PATIENCE_MS, on_end, client, NULL));
    aliot_registration_destroy(registration);
}

static void every_function_answers_in_every_callback(void)
{
    aliot_client *client = platform_client();
    aliot_client *named = client;
    CHECK_OK(aliot_client_set_event_callback(client, on_event, NULL, NULL));
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, NULL, NULL));
    CHECK_OK(aliot_client_set_message_callback(client, on_unrouted, NULL, NULL));
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
    CHECK_OK(aliot_client_subscribe(client, TOPIC, Q1, on_message, &named, on_release, NULL));
    CHECK_OK(aliot_client_publish(client, TOPIC, "x", 1, Q1, NULL));
    CHECK_EVENTUALLY(made[MESSAGE] == CALLS);
    CHECK_OK(aliot_client_unsubscribe(client, TOPIC, NULL));
    control("push a1test device /a1test/device/user/unasked hello");
    register_in_vain(client);
    if (uses_tls())
        register_and_store(client);
    else
        made[STORE] = CALLS; /* there is no registration in plain text */
    for (int kind = 0; kind < KINDS; kind++) {
        CHECK_EVENTUALLY(made[kind] == CALLS);
    }
    CHECK_OK(aliot_client_wait_flushed(client, PATIENCE_MS));
    CHECK(aliot_client_state(client) == ALIOT_STATE_CONNECTED);
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_CONNECTS) == 1);
    aliot_client_destroy(client);
}

static void *make_calls_once(void *client)
{
    for (size_t i = 0; i < CALLS; i++) {
        (void)calls[i].run(client);
    }
    return NULL;
}

/* What it does is other tests' business: here the thread has no more stack than is promised. */
static void every_function_gets_along_with_a_small_stack(void)
{
    aliot_client *client = platform_client();
    pthread_t thread;
    pthread_attr_t attributes;
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_wait_connected(client, PATIENCE_MS));
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 128 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, make_calls_once, client) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
    aliot_client_destroy(client);
}

/* The matrix leaves the client running, these do not. */
static atomic_int stops;

static void on_event_stop(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)userdata;
    if (event->kind == ALIOT_EVENT_KIND_CONNECTED) {
        CHECK_OK(aliot_client_stop(client, 1000));
        /* Stopping, it takes nothing; the network thread may have stopped it by now. */
        aliot_result published = aliot_client_publish(client, TOPIC, "x", 1, Q1, NULL);
        CHECK(published == ALIOT_RESULT_CLOSING || published == ALIOT_RESULT_OK);
    } else if (event->kind == ALIOT_EVENT_KIND_STOPPED && ++stops < 3) {
        CHECK_OK(aliot_client_start(client));
    }
}

static void an_event_callback_may_stop_and_start_its_client(void)
{
    aliot_client *client = platform_client();
    CHECK_OK(aliot_client_set_event_callback(client, on_event_stop, NULL, NULL));
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(stops == 3);
    CHECK_OK(aliot_client_wait_stopped(client, PATIENCE_MS));
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_CONNECTS) == 3);
    aliot_client_destroy(client);
}

static void on_event_destroy_all(aliot_client *client, const aliot_event *event, void *userdata)
{
    aliot_client **pair = userdata;
    (void)client;
    if (event->kind == ALIOT_EVENT_KIND_CONNECTED) {
        aliot_client_destroy(pair[0]);
        aliot_client_destroy(pair[1]);
    }
}

static void on_release_count(void *userdata)
{
    (void)userdata;
    stops++;
}

/* Two clients of one runtime, each of which would wait for the other's callback. */
static void a_callback_may_destroy_other_clients(void)
{
    aliot_client *pair[2] = {platform_client(), NULL};
    pair[1] = client_of(config_to(platform_endpoint(), "other", "canary-device-secret"));
    stops = 0;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(aliot_client_set_event_callback(pair[i], on_event_destroy_all, pair,
                                                 on_release_count));
    }
    for (int i = 0; i < 2; i++) {
        aliot_result result = aliot_client_start(pair[i]);
        CHECK(result == ALIOT_RESULT_OK || result == ALIOT_RESULT_BAD_HANDLE);
    }
    CHECK_EVENTUALLY(stops == 2);
}

int main(void)
{
    RUN(every_function_answers_in_every_callback);
    RUN(every_function_gets_along_with_a_small_stack);
    RUN(an_event_callback_may_stop_and_start_its_client);
    RUN(a_callback_may_destroy_other_clients);
    return 0;
}
