/* One call of each function of the header, on a client that is connected, or on objects made for
 * it. A test in Rust checks that none is missing. */
#ifndef EVERY_CALL_H
#define EVERY_CALL_H

#include "fixture.h"

/* What the call answers inside a callback of a connected client. */
typedef struct call {
    const char *name;
    aliot_result (*run)(aliot_client *client);
    aliot_result expected;
} call;

static void ignore_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    (void)client;
    (void)message;
    (void)userdata;
}

static void ignore_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client;
    (void)event;
    (void)userdata;
}

static void ignore_completion(aliot_client *client, const aliot_completion *completion,
                              void *userdata)
{
    (void)client;
    (void)completion;
    (void)userdata;
}

#define CALL(function, expected) {#function, call_##function, expected}
#define ON_CLIENT(function, ...) \
    static aliot_result call_##function(aliot_client *client) \
    { \
        return function(client, __VA_ARGS__); \
    }
#define ON_CONFIG(function, ...) \
    static aliot_result call_##function(aliot_client *client) \
    { \
        aliot_config *config = fixture_config(); \
        (void)client; \
        CHECK_OK(aliot_config_use_private_profile(config)); \
        aliot_result result = function(config, __VA_ARGS__); \
        aliot_config_destroy(config); \
        return result; \
    }
#define ON_ENDPOINT(function, ...) \
    static aliot_result call_##function(aliot_client *client) \
    { \
        aliot_endpoint *endpoint = fixture_endpoint(); \
        (void)client; \
        aliot_result result = function(endpoint, __VA_ARGS__); \
        aliot_endpoint_destroy(endpoint); \
        return result; \
    }
#define AS_TEST(function, body) \
    static aliot_result call_##function(aliot_client *client) \
    { \
        (void)client; \
        body; \
        return ALIOT_RESULT_OK; \
    }

static const aliot_qos Q1 = ALIOT_QOS_AT_LEAST_ONCE;
static const char EVERY_TOPIC[] = "/a1test/device/user/every";

ON_CLIENT(aliot_client_publish, EVERY_TOPIC, "x", 1, Q1, NULL)
ON_CLIENT(aliot_client_publish_expiring, EVERY_TOPIC, "x", 1, 60000, NULL)
ON_CLIENT(aliot_client_subscribe, EVERY_TOPIC, Q1, ignore_message, NULL, NULL, NULL)
ON_CLIENT(aliot_client_unsubscribe, EVERY_TOPIC, NULL)
ON_CLIENT(aliot_client_set_event_callback, ignore_event, NULL, NULL)
ON_CLIENT(aliot_client_set_completion_callback, ignore_completion, NULL, NULL)
ON_CLIENT(aliot_client_set_message_callback, ignore_message, NULL, NULL)
ON_CLIENT(aliot_client_wait_connected, 1000)
ON_CLIENT(aliot_client_wait_flushed, 1000)
ON_CLIENT(aliot_client_wait_room, 1000)
ON_CLIENT(aliot_client_wait_stopped, 1000)
AS_TEST(aliot_client_start, return aliot_client_start(client))
AS_TEST(aliot_client_retry_now, return aliot_client_retry_now(client))
AS_TEST(aliot_client_state, CHECK(aliot_client_state(client) != ALIOT_STATE_STOPPED))
AS_TEST(aliot_client_counter, CHECK(aliot_client_counter(client, ALIOT_COUNTER_CONNECTS) == 1))
/* Of another client, for this one is still needed. */
static aliot_result call_aliot_client_stop(aliot_client *client)
{
    aliot_client *other = fixture_client();
    (void)client;
    CHECK_OK(aliot_client_start(other));
    aliot_result result = aliot_client_stop(other, 1000);
    aliot_client_destroy(other);
    return result;
}
AS_TEST(aliot_client_create, aliot_client_destroy(fixture_client()))
AS_TEST(aliot_client_destroy, aliot_client_destroy(fixture_client()))
static aliot_result call_aliot_client_create_on_runtime(aliot_client *client)
{
    aliot_runtime *runtime = NULL;
    aliot_config *config = fixture_config();
    aliot_client *other = NULL;
    (void)client;
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_THREAD, &runtime));
    aliot_result result = aliot_client_create_on_runtime(config, runtime, &other);
    aliot_runtime_destroy(runtime);
    aliot_client_destroy(other);
    aliot_config_destroy(config);
    return result;
}
static aliot_result call_on_runtime(aliot_dispatch dispatch, aliot_result (*body)(aliot_runtime *))
{
    aliot_runtime *runtime = NULL;
    CHECK_OK(aliot_runtime_create(dispatch, &runtime));
    aliot_result result = body(runtime);
    aliot_runtime_destroy(runtime);
    return result;
}
static aliot_result poll_runtime(aliot_runtime *runtime)
{
    return aliot_runtime_poll(runtime, 1000, NULL);
}
static aliot_result fd_runtime(aliot_runtime *runtime)
{
    CHECK(aliot_runtime_fd(runtime) >= 0);
    return ALIOT_RESULT_OK;
}
AS_TEST(aliot_runtime_create, return call_on_runtime(ALIOT_DISPATCH_POLL, fd_runtime))
AS_TEST(aliot_runtime_fd, return call_on_runtime(ALIOT_DISPATCH_POLL, fd_runtime))
AS_TEST(aliot_runtime_poll, return call_on_runtime(ALIOT_DISPATCH_POLL, poll_runtime))
AS_TEST(aliot_runtime_destroy, aliot_runtime_destroy(NULL))

ON_CONFIG(aliot_config_set_sign_method, ALIOT_SIGN_METHOD_HMAC_SHA1)
ON_CONFIG(aliot_config_set_hex_case, ALIOT_HEX_CASE_LOWER)
ON_CONFIG(aliot_config_set_client_id, "id")
ON_CONFIG(aliot_config_set_sign_client_id, false)
ON_CONFIG(aliot_config_set_timestamp, NULL)
ON_CONFIG(aliot_config_add_client_param, "key", "value")
ON_CONFIG(aliot_config_set_kick_notice, false)
ON_CONFIG(aliot_config_set_clean_session, false)
ON_CONFIG(aliot_config_set_keep_alive_s, 60)
ON_CONFIG(aliot_config_set_ping_timeout_ms, 5000)
ON_CONFIG(aliot_config_set_ack_timeout_ms, 5000)
ON_CONFIG(aliot_config_set_reconnect_ms, 1000, 2000)
ON_CONFIG(aliot_config_set_connects_per_minute, 0)
ON_CONFIG(aliot_config_set_outbox_limit, 10, 4194304)
ON_CONFIG(aliot_config_set_window, 5)
ON_CONFIG(aliot_config_set_inbox_limit, 10, 4194304)
ON_CONFIG(aliot_config_set_outbox_policy, ALIOT_OUTBOX_POLICY_DROP_OLDEST)
ON_CONFIG(aliot_config_set_take_over_policy, ALIOT_TAKE_OVER_POLICY_STOP)
ON_CONFIG(aliot_config_set_rates, 10, 10)
ON_CONFIG(aliot_config_set_payload_limit, 1000)
ON_CONFIG(aliot_config_set_topic_limit, 100)
ON_CONFIG(aliot_config_set_subscription_limit, 10)
ON_CONFIG(aliot_config_set_filters_per_packet, 4)
ON_CONFIG(aliot_config_set_stable_after_ms, 10)
AS_TEST(aliot_config_create, aliot_config_destroy(fixture_config()))
AS_TEST(aliot_config_destroy, aliot_config_destroy(fixture_config()))
static aliot_result call_aliot_config_use_platform_rates(aliot_client *client)
{
    aliot_config *config = fixture_config();
    (void)client;
    CHECK_OK(aliot_config_use_platform_rates(config));
    aliot_result result = aliot_config_use_private_profile(config);
    aliot_config_destroy(config);
    return result;
}
#define call_aliot_config_use_private_profile call_aliot_config_use_platform_rates

ON_ENDPOINT(aliot_endpoint_set_port, 1883)
ON_ENDPOINT(aliot_endpoint_set_server_name, "name")
ON_ENDPOINT(aliot_endpoint_set_connect_timeout_ms, 1000)
ON_ENDPOINT(aliot_endpoint_set_ca_pem, "x", 1)
ON_ENDPOINT(aliot_endpoint_set_ca_file, "/no/such/file")
AS_TEST(aliot_endpoint_set_dangerous_plaintext, aliot_endpoint_destroy(fixture_endpoint()))
AS_TEST(aliot_endpoint_create_for_host, aliot_endpoint_destroy(fixture_endpoint()))
AS_TEST(aliot_endpoint_destroy, aliot_endpoint_destroy(fixture_endpoint()))
static aliot_result call_aliot_endpoint_create_for_region(aliot_client *client)
{
    aliot_endpoint *region = NULL;
    aliot_endpoint *instance = NULL;
    (void)client;
    CHECK_OK(aliot_endpoint_create_for_instance("iot-instance", &instance));
    aliot_result result = aliot_endpoint_create_for_region("cn-shanghai", &region);
    aliot_endpoint_destroy(region);
    aliot_endpoint_destroy(instance);
    return result;
}
#define call_aliot_endpoint_create_for_instance call_aliot_endpoint_create_for_region

/* Everything about identities and credentials, which touch no client. */
static aliot_result call_aliot_identity_create(aliot_client *client)
{
    aliot_identity *identity = fixture_identity();
    aliot_identity *token = NULL;
    aliot_identity *verbatim = NULL;
    aliot_config *config = fixture_config();
    aliot_credentials *credentials = NULL;
    char buffer[128];
    (void)client;
    CHECK_OK(aliot_identity_create_with_token("pk", "device", "id", "token", &token));
    CHECK_OK(aliot_identity_create_verbatim("id", "user", "pass", &verbatim));
    CHECK(aliot_identity_has_token(token));
    CHECK(strcmp(aliot_identity_product_key(identity), "pk") == 0);
    CHECK(strcmp(aliot_identity_device_name(identity), "device") == 0);
    CHECK(strcmp(aliot_identity_secret(identity), "secret") == 0);
    CHECK(strcmp(aliot_identity_client_id(token), "id") == 0);
    CHECK(strcmp(aliot_identity_username(verbatim), "user") == 0);
    CHECK_OK(aliot_credentials_create(config, &credentials));
    CHECK(aliot_credentials_client_id(credentials) != NULL);
    CHECK(aliot_credentials_username(credentials) != NULL);
    CHECK(aliot_credentials_password(credentials) != NULL);
    CHECK_OK(aliot_topic_user(identity, "x", buffer, sizeof buffer));
    CHECK_OK(aliot_topic_sys(identity, "x", buffer, sizeof buffer));
    aliot_credentials_destroy(credentials);
    aliot_config_destroy(config);
    aliot_identity_destroy(verbatim);
    aliot_identity_destroy(token);
    aliot_identity_destroy(identity);
    return ALIOT_RESULT_OK;
}

static aliot_result call_aliot_sign_check(aliot_client *client)
{
    aliot_identity *identity = fixture_identity();
    aliot_sign_finding finding = ALIOT_SIGN_FINDING_MATCHES;
    (void)client;
    aliot_result result =
        aliot_sign_check(identity, NULL, NULL, "id", "user", "pass", &finding, NULL, 0);
    CHECK(finding == ALIOT_SIGN_FINDING_CLIENT_ID_FORM);
    aliot_identity_destroy(identity);
    return result;
}

#include "every_door.h"

/* Everything that has no object. */
static aliot_result call_aliot_log_set_callback(aliot_client *client)
{
    char buffer[128];
    bool matches = false;
    (void)client;
    CHECK(aliot_client_start(NULL) == ALIOT_RESULT_NULL_POINTER);
    CHECK(aliot_last_error(buffer, sizeof buffer) > 0);
    CHECK(aliot_last_error_hint(buffer, sizeof buffer) == 0);
    CHECK(aliot_last_error_stage() == ALIOT_STAGE_ARGUMENT);
    CHECK(aliot_last_error_os_error() == 0);
    CHECK(aliot_last_error_connack_code() == 0);
    CHECK(aliot_stage_name(ALIOT_STAGE_TLS) != NULL);
    CHECK(aliot_result_name(ALIOT_RESULT_OK) != NULL);
    CHECK(aliot_result_text(ALIOT_RESULT_OK) != NULL);
    CHECK(!aliot_result_is_retryable(ALIOT_RESULT_OK));
    CHECK(aliot_version_number() != 0);
    CHECK(aliot_version_string() != NULL);
    CHECK_OK(aliot_sign(ALIOT_SIGN_METHOD_HMAC_MD5, "k", 1, "c", 1, buffer, sizeof buffer));
    CHECK_OK(aliot_topic_matches("a/#", "a/b", &matches));
    CHECK(matches);
    return aliot_log_set_callback(ALIOT_LOG_LEVEL_OFF, NULL, NULL, NULL);
}

#endif
