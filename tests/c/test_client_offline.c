/* What a client promises without a network: queueing, completions, ownership, no deadlock. */
#include "fixture.h"

#include <stdatomic.h>

/* Counts what the library does with one piece of user data. */
typedef struct probe {
    atomic_int events;
    atomic_int completions;
    atomic_int releases;
    atomic_int cancelled;
    aliot_token seen[64];
    aliot_result waits[4];
    aliot_client *other;
    atomic_bool destroyed;
} probe;

static void on_release(void *userdata)
{
    probe *p = userdata;
    p->releases++;
}

static void on_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    (void)client;
    (void)message;
    (void)userdata;
    CHECK(!"a message without a network");
}

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    probe *p = userdata;
    CHECK(client != NULL);
    CHECK(p->releases == 0);
    CHECK(completion->text != NULL);
    CHECK(completion->token != 0);
    for (int i = 0; i < p->completions; i++)
        CHECK(p->seen[i] != completion->token);
    p->seen[p->completions] = completion->token;
    if (completion->result == ALIOT_RESULT_CANCELLED)
        p->cancelled++;
    p->completions++;
}

static void on_event_wait(aliot_client *client, const aliot_event *event, void *userdata)
{
    probe *p = userdata;
    CHECK(event->text != NULL);
    if (p->events++ == 0) {
        CHECK(event->kind == ALIOT_EVENT_KIND_CONNECTING);
        CHECK(event->reason == ALIOT_RESULT_OK);
        p->waits[0] = aliot_client_wait_connected(client, 1000);
        p->waits[1] = aliot_client_wait_flushed(client, 1000);
        p->waits[2] = aliot_client_wait_stopped(client, 1000);
        p->waits[3] = aliot_client_wait_connected(p->other, 1000);
    }
}

static void on_event_destroy(aliot_client *client, const aliot_event *event, void *userdata)
{
    probe *p = userdata;
    (void)event;
    CHECK(!p->destroyed);
    p->events++;
    aliot_client_destroy(client);
    CHECK(aliot_client_start(client) == ALIOT_RESULT_BAD_HANDLE);
    CHECK(p->releases == 0);
    p->destroyed = true;
}

static void publish(aliot_client *client, aliot_qos qos, aliot_token *token)
{
    CHECK_OK(aliot_client_publish(client, "/pk/device/user/t", "hello", 5, qos, token));
}

static void a_new_client_is_stopped_and_empty(void)
{
    aliot_client *client = fixture_client();
    CHECK(aliot_client_state(client) == ALIOT_STATE_STOPPED);
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_OUTBOX_OPERATIONS) == 0);
    CHECK_OK(aliot_client_wait_stopped(client, 0));
    CHECK(aliot_client_wait_connected(client, 1) == ALIOT_RESULT_INVALID_STATE);
    aliot_client_destroy(client);
}

static void tokens_are_never_zero_and_never_repeated(void)
{
    aliot_client *client = fixture_client();
    aliot_token first = 0;
    aliot_token second = 0;
    publish(client, ALIOT_QOS_AT_LEAST_ONCE, &first);
    publish(client, ALIOT_QOS_AT_MOST_ONCE, &second);
    CHECK(first != 0);
    CHECK(second != 0);
    CHECK(first != second);
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_OUTBOX_OPERATIONS) == 2);
    aliot_client_destroy(client);
}

static void a_full_outbox_refuses_and_stores_nothing(void)
{
    aliot_config *config = fixture_config();
    aliot_client *client = NULL;
    aliot_token token = 0;
    CHECK_OK(aliot_config_set_outbox_limit(config, 3, 4194304));
    CHECK_OK(aliot_client_create(config, &client));
    aliot_config_destroy(config);
    for (int i = 0; i < 3; i++)
        publish(client, ALIOT_QOS_AT_LEAST_ONCE, &token);
    aliot_token refused = 0;
    CHECK(aliot_client_publish(client, "/t", "x", 1, ALIOT_QOS_AT_LEAST_ONCE, &refused) ==
          ALIOT_RESULT_OUTBOX_FULL);
    CHECK(refused == 0);
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_OUTBOX_OPERATIONS) == 3);
    aliot_client_destroy(client);
}

static void destroy_cancels_each_operation_exactly_once(void)
{
    probe p = {0};
    aliot_client *client = fixture_client();
    aliot_token token = 0;
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, &p, on_release));
    for (int i = 0; i < 50; i++)
        publish(client, i % 2 ? ALIOT_QOS_AT_LEAST_ONCE : ALIOT_QOS_AT_MOST_ONCE, &token);
    CHECK(p.completions == 0);
    aliot_client_destroy(client);
    CHECK(p.completions == 50);
    CHECK(p.cancelled == 50);
    CHECK(p.releases == 1);
}

static void user_data_is_released_once_when_replaced_or_removed(void)
{
    probe first = {0};
    probe second = {0};
    aliot_client *client = fixture_client();
    CHECK_OK(aliot_client_set_event_callback(client, on_event_wait, &first, on_release));
    CHECK_OK(aliot_client_set_event_callback(client, on_event_wait, &second, on_release));
    CHECK_EVENTUALLY(first.releases == 1);
    CHECK_OK(aliot_client_set_event_callback(client, NULL, NULL, NULL));
    CHECK_EVENTUALLY(second.releases == 1);
    CHECK_OK(aliot_client_set_message_callback(client, on_message, &first, on_release));
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, &second, NULL));
    aliot_client_destroy(client);
    CHECK(first.releases == 2);
    CHECK(second.releases == 1);
}

static void subscriptions_release_when_replaced_ended_or_destroyed(void)
{
    probe replaced = {0};
    probe ended = {0};
    probe destroyed = {0};
    aliot_client *client = fixture_client();
    const aliot_qos qos = ALIOT_QOS_AT_LEAST_ONCE;
    CHECK_OK(aliot_client_subscribe(client, "/a/#", qos, on_message, &replaced, on_release, NULL));
    CHECK_OK(aliot_client_subscribe(client, "/a/#", qos, on_message, &ended, on_release, NULL));
    CHECK_EVENTUALLY(replaced.releases == 1);
    CHECK(ended.releases == 0);
    CHECK_OK(aliot_client_unsubscribe(client, "/a/#", NULL));
    CHECK_EVENTUALLY(ended.releases == 1);
    CHECK_OK(aliot_client_subscribe(client, "/b", qos, on_message, &destroyed, on_release, NULL));
    CHECK(destroyed.releases == 0);
    aliot_client_destroy(client);
    CHECK(replaced.releases == 1);
    CHECK(ended.releases == 1);
    CHECK(destroyed.releases == 1);
}

static void a_started_client_refuses_new_callbacks_and_a_second_start(void)
{
    probe p = {0};
    aliot_client *client = fixture_client();
    CHECK_OK(aliot_client_start(client));
    CHECK(aliot_client_start(client) == ALIOT_RESULT_INVALID_STATE);
    CHECK(aliot_client_set_event_callback(client, on_event_wait, &p, on_release) ==
          ALIOT_RESULT_INVALID_STATE);
    CHECK(aliot_client_set_message_callback(client, on_message, &p, on_release) ==
          ALIOT_RESULT_INVALID_STATE);
    CHECK(aliot_client_set_completion_callback(client, on_completion, &p, on_release) ==
          ALIOT_RESULT_INVALID_STATE);
    aliot_client_destroy(client);
    CHECK(p.releases == 0);
}

static void waiting_inside_a_callback_would_deadlock(void)
{
    probe p = {0};
    aliot_client *client = fixture_client();
    p.other = fixture_client();
    CHECK_OK(aliot_client_set_event_callback(client, on_event_wait, &p, on_release));
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(p.events >= 2);
    aliot_client_destroy(client);
    aliot_client_destroy(p.other);
    for (int i = 0; i < 4; i++)
        CHECK(p.waits[i] == ALIOT_RESULT_WOULD_DEADLOCK);
    CHECK(p.releases == 1);
}

static void a_callback_may_destroy_its_client(void)
{
    probe p = {0};
    probe cancelled = {0};
    aliot_client *client = fixture_client();
    aliot_token token = 0;
    CHECK_OK(aliot_client_set_event_callback(client, on_event_destroy, &p, on_release));
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, &cancelled, on_release));
    publish(client, ALIOT_QOS_AT_LEAST_ONCE, &token);
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(p.releases == 1 && cancelled.releases == 1);
    CHECK(p.destroyed);
    CHECK(p.events == 1);
    CHECK(cancelled.completions == 1);
}

static void stop_ends_a_started_client(void)
{
    aliot_client *client = fixture_client();
    CHECK_OK(aliot_client_start(client));
    CHECK_OK(aliot_client_stop(client, 0));
    CHECK_OK(aliot_client_wait_stopped(client, 10000));
    CHECK(aliot_client_state(client) == ALIOT_STATE_STOPPED);
    CHECK_OK(aliot_client_start(client));
    aliot_client_destroy(client);
}

static void a_runtime_survives_its_handle(void)
{
    aliot_config *config = fixture_config();
    aliot_runtime *runtime = NULL;
    aliot_client *client = NULL;
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_THREAD, &runtime));
    CHECK(aliot_runtime_fd(runtime) == -1);
    CHECK(aliot_runtime_poll(runtime, 0, NULL) == ALIOT_RESULT_INVALID_STATE);
    CHECK_OK(aliot_client_create_on_runtime(config, runtime, &client));
    aliot_runtime_destroy(runtime);
    publish(client, ALIOT_QOS_AT_LEAST_ONCE, NULL);
    aliot_client_destroy(client);
    aliot_config_destroy(config);
}

static void an_idle_poll_runtime_has_nothing_to_run(void)
{
    aliot_runtime *runtime = NULL;
    size_t count = 99;
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
    CHECK_OK(aliot_runtime_poll(runtime, 0, &count));
    CHECK(count == 0);
    aliot_runtime_destroy(runtime);
}

int main(void)
{
    RUN(a_new_client_is_stopped_and_empty);
    RUN(tokens_are_never_zero_and_never_repeated);
    RUN(a_full_outbox_refuses_and_stores_nothing);
    RUN(destroy_cancels_each_operation_exactly_once);
    RUN(user_data_is_released_once_when_replaced_or_removed);
    RUN(subscriptions_release_when_replaced_ended_or_destroyed);
    RUN(a_started_client_refuses_new_callbacks_and_a_second_start);
    RUN(waiting_inside_a_callback_would_deadlock);
    RUN(a_callback_may_destroy_its_client);
    RUN(stop_ends_a_started_client);
    RUN(a_runtime_survives_its_handle);
    RUN(an_idle_poll_runtime_has_nothing_to_run);
    return 0;
}
