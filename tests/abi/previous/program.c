/*
 * A program of yesterday: compiled with the header beside it, run with the library of today. It
 * reads every member of every structure, and calls functions of each section.
 *
 * Its platform is a simulator, which cuts the first connection and then sends "finish".
 */

#define _POSIX_C_SOURCE 200809L

#include "aliot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            char why[512];                                                                         \
            aliot_last_error(why, sizeof why);                                                     \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, why);               \
            exit(EXIT_FAILURE);                                                                    \
        }                                                                                          \
    } while (0)

enum { PATIENCE_S = 90, POLL_MS = 1000 };

typedef struct seen {
    int connected;
    int disconnected;
    int stopped;
    int acknowledged;
    int released;
    aliot_token subscription;
    bool finished;
} seen;

static void on_record(const aliot_log_record *record, void *userdata)
{
    (void)userdata;
    CHECK(record->level >= ALIOT_LOG_LEVEL_ERROR && record->level <= ALIOT_LOG_LEVEL_DEBUG);
    CHECK(strlen(record->target) > 0);
    CHECK(strlen(record->text) > 0);
}

static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    seen *seen = userdata;
    (void)client;
    CHECK(event->text != NULL && strlen(event->text) < 4096);
    CHECK(event->messages_dropped == 0);
    switch (event->kind) {
    case ALIOT_EVENT_KIND_CONNECTED:
        CHECK(event->reason == ALIOT_RESULT_OK);
        CHECK(!event->session_present);
        seen->connected++;
        break;
    case ALIOT_EVENT_KIND_DISCONNECTED:
        if (event->will_retry) {
            CHECK(event->reason != ALIOT_RESULT_OK);
            CHECK(event->retry_in_ms > 0 && event->retry_in_ms <= 120000);
        }
        seen->disconnected++;
        break;
    case ALIOT_EVENT_KIND_STOPPED:
        CHECK(!event->will_retry);
        seen->stopped++;
        break;
    default:
        break;
    }
}

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    seen *seen = userdata;
    (void)client;
    CHECK(completion->token != 0);
    CHECK(completion->result == ALIOT_RESULT_OK);
    CHECK(completion->text != NULL && strlen(completion->text) < 4096);
    if (completion->token == seen->subscription) {
        CHECK(completion->granted_qos == ALIOT_QOS_AT_LEAST_ONCE);
    }
    seen->acknowledged++;
}

static void on_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    seen *seen = userdata;
    (void)client;
    CHECK(strcmp(message->topic, "/a1test/yesterday/user/get") == 0);
    CHECK(message->payload_len == 6 && memcmp(message->payload, "finish", 6) == 0);
    CHECK(message->qos == ALIOT_QOS_AT_LEAST_ONCE);
    CHECK(!message->duplicate);
    CHECK(!message->retained);
    seen->finished = true;
}

static void on_release(void *userdata)
{
    ((seen *)userdata)->released++;
}

static void pure_functions(const aliot_identity *identity)
{
    char digits[65];
    char topic[129];
    bool matches = false;

    CHECK(ALIOT_VERSION_MATCHES());
    CHECK(strlen(aliot_version_string()) >= 5);
    CHECK(strcmp(aliot_result_name(ALIOT_RESULT_TIMEOUT), "ALIOT_RESULT_TIMEOUT") == 0);
    CHECK(strlen(aliot_result_text(ALIOT_RESULT_NO_RESOURCES)) > 0);
    CHECK(aliot_result_is_retryable(ALIOT_RESULT_OUTBOX_FULL));
    CHECK(aliot_sign(ALIOT_SIGN_METHOD_HMAC_MD5, "key", 3, "content", 7, digits, sizeof digits) ==
          ALIOT_RESULT_OK);
    CHECK(strlen(digits) == 32);
    CHECK(aliot_topic_sys(identity, "thing/event/property/post", topic, sizeof topic) ==
          ALIOT_RESULT_OK);
    CHECK(aliot_topic_matches("/sys/+/yesterday/#", topic, &matches) == ALIOT_RESULT_OK && matches);
    CHECK(strcmp(aliot_identity_device_name(identity), "yesterday") == 0);
}

static void credentials(const aliot_config *config)
{
    aliot_credentials *credentials = NULL;

    CHECK(aliot_credentials_create(config, &credentials) == ALIOT_RESULT_OK);
    CHECK(strcmp(aliot_credentials_username(credentials), "yesterday&a1test") == 0);
    CHECK(strchr(aliot_credentials_client_id(credentials), '|') != NULL);
    CHECK(strlen(aliot_credentials_password(credentials)) == 64);
    aliot_credentials_destroy(credentials);
    CHECK(aliot_credentials_password(credentials) == NULL);
}

static void session(aliot_client *client, aliot_runtime *runtime, const aliot_identity *identity,
                    seen *seen)
{
    char updates[129];
    char commands[129];
    aliot_token token = 0;
    size_t ran = 0;

    CHECK(aliot_topic_user(identity, "update", updates, sizeof updates) == ALIOT_RESULT_OK);
    CHECK(aliot_topic_user(identity, "get", commands, sizeof commands) == ALIOT_RESULT_OK);
    CHECK(aliot_client_set_event_callback(client, on_event, seen, on_release) == ALIOT_RESULT_OK);
    CHECK(aliot_client_set_completion_callback(client, on_completion, seen, on_release) ==
          ALIOT_RESULT_OK);
    CHECK(aliot_client_subscribe(client, commands, ALIOT_QOS_AT_LEAST_ONCE, on_message, seen,
                                 on_release, &seen->subscription) == ALIOT_RESULT_OK);
    CHECK(aliot_client_publish(client, updates, "hello", 5, ALIOT_QOS_AT_LEAST_ONCE, &token) ==
          ALIOT_RESULT_OK);
    CHECK(token != seen->subscription);
    CHECK(aliot_client_start(client) == ALIOT_RESULT_OK);
    CHECK(aliot_runtime_fd(runtime) >= 0);
    while (!seen->finished) {
        CHECK(aliot_runtime_poll(runtime, POLL_MS, &ran) == ALIOT_RESULT_OK && ran < 100);
    }
    CHECK(aliot_client_state(client) == ALIOT_STATE_CONNECTED);
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_CONNECTS) == 2);
    CHECK(aliot_client_counter(client, ALIOT_COUNTER_MESSAGES_RECEIVED) == 1);
    CHECK(aliot_client_stop(client, 1000) == ALIOT_RESULT_OK);
    while (seen->stopped == 0) {
        CHECK(aliot_runtime_poll(runtime, POLL_MS, &ran) == ALIOT_RESULT_OK && ran < 100);
    }
}

int main(void)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_runtime *runtime = NULL;
    aliot_client *client = NULL;
    seen seen = {0};

    alarm(PATIENCE_S);
    CHECK(aliot_log_set_callback(ALIOT_LOG_LEVEL_DEBUG, on_record, NULL, NULL) == ALIOT_RESULT_OK);
    CHECK(aliot_identity_create("a1test", "yesterday", "canary-device-secret", &identity) ==
          ALIOT_RESULT_OK);
    CHECK(aliot_endpoint_create_for_host("localhost", (uint16_t)atoi(getenv("SIM_TLS_PORT")),
                                         &endpoint) == ALIOT_RESULT_OK);
    CHECK(aliot_endpoint_set_ca_file(endpoint, getenv("SIM_CA_FILE")) == ALIOT_RESULT_OK);
    CHECK(aliot_endpoint_set_connect_timeout_ms(endpoint, 20000) == ALIOT_RESULT_OK);
    CHECK(aliot_config_create(identity, endpoint, &config) == ALIOT_RESULT_OK);
    CHECK(aliot_config_set_keep_alive_s(config, 60) == ALIOT_RESULT_OK);
    CHECK(aliot_config_set_keep_alive_s(config, 1) == ALIOT_RESULT_INVALID_ARGUMENT);
    CHECK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime) == ALIOT_RESULT_OK);
    CHECK(aliot_client_create_on_runtime(config, runtime, &client) == ALIOT_RESULT_OK);

    pure_functions(identity);
    credentials(config);
    session(client, runtime, identity, &seen);

    aliot_client_destroy(client);
    CHECK(aliot_client_start(client) == ALIOT_RESULT_BAD_HANDLE);
    aliot_runtime_destroy(runtime);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    CHECK(seen.connected == 2 && seen.disconnected == 2 && seen.stopped == 1);
    CHECK(seen.acknowledged == 2 && seen.released == 3);
    puts("as yesterday");
    return EXIT_SUCCESS;
}
