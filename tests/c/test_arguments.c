/* Every bad argument is refused with its own result, by name, and nothing is stored. */
#include "fixture.h"

#include <stdint.h>

#define NULL_REFUSED(call, name) CHECK_FAILS(call, ALIOT_RESULT_NULL_POINTER, name " is NULL")
#define UTF8_REFUSED(call, name) CHECK_FAILS(call, ALIOT_RESULT_INVALID_UTF8, name " is not UTF-8")
#define REFUSED(call, text) CHECK_FAILS(call, ALIOT_RESULT_INVALID_ARGUMENT, text)

/* Valid up to byte 2. */
#define BAD "ab\xff"

static char too_long[65537];
static const char large_payload[262145];

static void on_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    (void)client;
    (void)message;
    (void)userdata;
}

static void must_not_be_released(void *userdata)
{
    (void)userdata;
    CHECK(!"released user data of a refused call");
}

static void identities_check_every_text(void)
{
    aliot_identity *out = NULL;
    NULL_REFUSED(aliot_identity_create(NULL, "d", "s", &out), "product_key");
    NULL_REFUSED(aliot_identity_create("p", NULL, "s", &out), "device_name");
    NULL_REFUSED(aliot_identity_create("p", "d", NULL, &out), "device_secret");
    NULL_REFUSED(aliot_identity_create("p", "d", "s", NULL), "identity_out");
    NULL_REFUSED(aliot_identity_create_with_token(NULL, "d", "c", "t", &out), "product_key");
    NULL_REFUSED(aliot_identity_create_with_token("p", NULL, "c", "t", &out), "device_name");
    NULL_REFUSED(aliot_identity_create_with_token("p", "d", NULL, "t", &out), "client_id");
    NULL_REFUSED(aliot_identity_create_with_token("p", "d", "c", NULL, &out), "device_token");
    NULL_REFUSED(aliot_identity_create_with_token("p", "d", "c", "t", NULL), "identity_out");
    NULL_REFUSED(aliot_identity_create_verbatim(NULL, "u", "p", &out), "client_id");
    NULL_REFUSED(aliot_identity_create_verbatim("c", NULL, "p", &out), "username");
    NULL_REFUSED(aliot_identity_create_verbatim("c", "u", NULL, &out), "password");
    NULL_REFUSED(aliot_identity_create_verbatim("c", "u", "p", NULL), "identity_out");

    UTF8_REFUSED(aliot_identity_create(BAD, "d", "s", &out), "product_key");
    UTF8_REFUSED(aliot_identity_create("p", BAD, "s", &out), "device_name");
    UTF8_REFUSED(aliot_identity_create("p", "d", BAD, &out), "device_secret");
    UTF8_REFUSED(aliot_identity_create_with_token("p", "d", BAD, "t", &out), "client_id");
    UTF8_REFUSED(aliot_identity_create_with_token("p", "d", "c", BAD, &out), "device_token");
    UTF8_REFUSED(aliot_identity_create_verbatim("c", BAD, "p", &out), "username");
    UTF8_REFUSED(aliot_identity_create_verbatim("c", "u", BAD, &out), "password");

    REFUSED(aliot_identity_create("", "d", "s", &out), "product_key");
    REFUSED(aliot_identity_create(too_long, "d", "s", &out), "product_key");
    REFUSED(aliot_identity_create("p", too_long, "s", &out), "device_name");
    REFUSED(aliot_identity_create("p", "d", too_long, &out), "device_secret");
    REFUSED(aliot_identity_create("p&q", "d", "s", &out), "product_key");
    REFUSED(aliot_identity_create_verbatim(too_long, "u", "p", &out), "client_id");
    CHECK(out == NULL);
}

static void an_identity_is_saved_to_a_path_that_names_a_file(void)
{
    const char *nameless[] = {"", "/", ".", ".."};
    aliot_identity *identity = fixture_identity();
    NULL_REFUSED(aliot_identity_save(NULL, "file"), "identity");
    NULL_REFUSED(aliot_identity_save(identity, NULL), "path");
    UTF8_REFUSED(aliot_identity_save(identity, BAD), "path");
    for (size_t i = 0; i < sizeof nameless / sizeof *nameless; i++)
        REFUSED(aliot_identity_save(identity, nameless[i]), "names no file");
    aliot_identity_destroy(identity);
}

static void a_refused_secret_is_not_repeated(void)
{
    aliot_identity *out = NULL;
    char text[512];
    REFUSED(aliot_identity_create("p", "d", "hunter\n2", &out), "device_secret");
    aliot_last_error(text, sizeof text);
    CHECK(strstr(text, "hunter") == NULL);
    UTF8_REFUSED(aliot_identity_create("p", "d", "hunter\xff", &out), "device_secret");
    aliot_last_error(text, sizeof text);
    CHECK(strstr(text, "hunter") == NULL);
}

static void endpoints_check_every_argument(void)
{
    aliot_endpoint *out = NULL;
    NULL_REFUSED(aliot_endpoint_create_for_region(NULL, &out), "region_id");
    NULL_REFUSED(aliot_endpoint_create_for_region("r", NULL), "endpoint_out");
    NULL_REFUSED(aliot_endpoint_create_for_instance(NULL, &out), "instance_id");
    NULL_REFUSED(aliot_endpoint_create_for_instance("i", NULL), "endpoint_out");
    NULL_REFUSED(aliot_endpoint_create_for_host(NULL, 1, &out), "host");
    NULL_REFUSED(aliot_endpoint_create_for_host("h", 1, NULL), "endpoint_out");
    UTF8_REFUSED(aliot_endpoint_create_for_region(BAD, &out), "region_id");
    UTF8_REFUSED(aliot_endpoint_create_for_instance(BAD, &out), "instance_id");
    UTF8_REFUSED(aliot_endpoint_create_for_host(BAD, 1, &out), "host");
    REFUSED(aliot_endpoint_create_for_region("a b", &out), "region_id");
    REFUSED(aliot_endpoint_create_for_region(too_long, &out), "region_id");
    REFUSED(aliot_endpoint_create_for_instance("", &out), "instance_id");
    REFUSED(aliot_endpoint_create_for_host("", 1, &out), "host");
    REFUSED(aliot_endpoint_create_for_host(too_long, 1, &out), "host");
    REFUSED(aliot_endpoint_create_for_host("h", 0, &out), "port is 0");
    CHECK(out == NULL);

    aliot_endpoint *endpoint = fixture_endpoint();
    NULL_REFUSED(aliot_endpoint_set_server_name(endpoint, NULL), "server_name");
    UTF8_REFUSED(aliot_endpoint_set_server_name(endpoint, BAD), "server_name");
    REFUSED(aliot_endpoint_set_server_name(endpoint, "a b"), "server_name");
    REFUSED(aliot_endpoint_set_port(endpoint, 0), "port is 0");
    REFUSED(aliot_endpoint_set_connect_timeout_ms(endpoint, 0), "connect_timeout");
    REFUSED(aliot_endpoint_set_connect_timeout_ms(endpoint, 60001), "connect_timeout");
    NULL_REFUSED(aliot_endpoint_set_ca_pem(endpoint, NULL, 1), "pem");
    NULL_REFUSED(aliot_endpoint_set_ca_file(endpoint, NULL), "path");
    UTF8_REFUSED(aliot_endpoint_set_ca_file(endpoint, BAD), "path");
    aliot_endpoint_destroy(endpoint);
}

/* The endpoint of one TLS setting that failed. */
#define DISABLED(setting, result) \
    do { \
        aliot_identity *identity = fixture_identity(); \
        aliot_endpoint *endpoint = NULL; \
        aliot_config *config = NULL; \
        CHECK_OK(aliot_endpoint_create_for_host("127.0.0.1", 1, &endpoint)); \
        CHECK_OK(aliot_config_create(identity, endpoint, &config)); \
        aliot_config_destroy(config); \
        config = NULL; \
        CHECK((setting) == (result)); \
        CHECK_FAILS(aliot_config_create(identity, endpoint, &config), ALIOT_RESULT_TLS_CONFIG, \
                    "TLS"); \
        CHECK(config == NULL); \
        aliot_endpoint_destroy(endpoint); \
        aliot_identity_destroy(identity); \
    } while (0)

static void a_tls_setting_that_fails_in_any_way_disables_the_endpoint(void)
{
    const aliot_result null = ALIOT_RESULT_NULL_POINTER;
    const aliot_result utf8 = ALIOT_RESULT_INVALID_UTF8;
    const aliot_result invalid = ALIOT_RESULT_INVALID_ARGUMENT;
    DISABLED(aliot_endpoint_set_server_name(endpoint, NULL), null);
    DISABLED(aliot_endpoint_set_server_name(endpoint, BAD), utf8);
    DISABLED(aliot_endpoint_set_server_name(endpoint, "a b"), invalid);
    DISABLED(aliot_endpoint_set_ca_pem(endpoint, NULL, 1), null);
    DISABLED(aliot_endpoint_set_ca_pem(endpoint, "x", SIZE_MAX), invalid);
    DISABLED(aliot_endpoint_add_ca_pem(endpoint, NULL, 1), null);
    DISABLED(aliot_endpoint_set_ca_file(endpoint, NULL), null);
    DISABLED(aliot_endpoint_set_ca_file(endpoint, BAD), utf8);
    DISABLED(aliot_endpoint_add_ca_file(endpoint, NULL), null);
    DISABLED(aliot_endpoint_add_ca_file(endpoint, BAD), utf8);
    DISABLED(aliot_endpoint_pin_server_key(endpoint, NULL), null);
    DISABLED(aliot_endpoint_pin_server_key(endpoint, BAD), utf8);
    DISABLED(aliot_endpoint_pin_server_key(endpoint, "12:34"), invalid);
    DISABLED(aliot_endpoint_set_tls_versions(endpoint, (aliot_tls_versions)3), invalid);
    DISABLED(aliot_endpoint_set_expiry_warning_days(endpoint, 3651), invalid);
    DISABLED(aliot_endpoint_set_client_certificate_pem(endpoint, NULL, 1, "x", 1), null);
    DISABLED(aliot_endpoint_set_client_certificate_pem(endpoint, "x", 1, NULL, 1), null);
    DISABLED(aliot_endpoint_set_client_certificate_files(endpoint, NULL, "x"), null);
    DISABLED(aliot_endpoint_set_client_certificate_files(endpoint, "x", BAD), utf8);
}

static void a_failed_tls_setting_refuses_the_endpoint(void)
{
    aliot_identity *identity = fixture_identity();
    aliot_endpoint *endpoint = fixture_endpoint();
    aliot_config *config = NULL;
    CHECK(aliot_endpoint_set_ca_pem(endpoint, "nonsense", 8) == ALIOT_RESULT_TLS_CONFIG);
    CHECK(aliot_config_create(identity, endpoint, &config) == ALIOT_RESULT_TLS_CONFIG);
    CHECK_FAILS(aliot_endpoint_set_ca_file(endpoint, "/no/such/file"), ALIOT_RESULT_TLS_CONFIG,
                "/no/such/file");
    CHECK(aliot_config_create(identity, endpoint, &config) == ALIOT_RESULT_TLS_CONFIG);
    CHECK(config == NULL);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
}

static void configs_check_every_argument(void)
{
    aliot_identity *identity = fixture_identity();
    aliot_endpoint *endpoint = fixture_endpoint();
    aliot_config *config = fixture_config();
    aliot_config *out = NULL;
    NULL_REFUSED(aliot_config_create(NULL, endpoint, &out), "identity");
    NULL_REFUSED(aliot_config_create(identity, NULL, &out), "endpoint");
    NULL_REFUSED(aliot_config_create(identity, endpoint, NULL), "config_out");
    NULL_REFUSED(aliot_config_set_client_id(config, NULL), "client_id");
    UTF8_REFUSED(aliot_config_set_client_id(config, BAD), "client_id");
    REFUSED(aliot_config_set_client_id(config, "a|b"), "client_id");
    REFUSED(aliot_config_set_client_id(config, too_long), "client_id");
    UTF8_REFUSED(aliot_config_set_timestamp(config, BAD), "timestamp");
    REFUSED(aliot_config_set_timestamp(config, "now"), "timestamp");
    NULL_REFUSED(aliot_config_add_client_param(config, NULL, "v"), "key");
    NULL_REFUSED(aliot_config_add_client_param(config, "k", NULL), "value");
    UTF8_REFUSED(aliot_config_add_client_param(config, BAD, "v"), "key");
    UTF8_REFUSED(aliot_config_add_client_param(config, "k", BAD), "value");
    REFUSED(aliot_config_add_client_param(config, "securemode", "3"), "key");
    REFUSED(aliot_config_add_client_param(config, "k", too_long), "client_id");

    REFUSED(aliot_config_set_sign_method(config, (aliot_sign_method)4), "method is 4");
    REFUSED(aliot_config_set_hex_case(config, (aliot_hex_case)2), "hex_case is 2");
    REFUSED(aliot_config_set_keep_alive_s(config, 29), "keep_alive_s is 29");
    REFUSED(aliot_config_set_keep_alive_s(config, 1201), "keep_alive_s is 1201");
    REFUSED(aliot_config_set_ping_timeout_ms(config, 99), "ping_timeout is 99ms");
    REFUSED(aliot_config_set_ack_timeout_ms(config, 999), "ack_timeout is 999ms");
    REFUSED(aliot_config_set_reconnect_ms(config, 999, 1000), "reconnect_min is 999ms");
    REFUSED(aliot_config_set_reconnect_ms(config, 3000, 2000), "reconnect_min is 3s");
    REFUSED(aliot_config_set_connects_per_minute(config, 6), "connects_per_minute is 6");
    REFUSED(aliot_config_set_connects_per_minute(config, 0), "connects_per_minute");
    REFUSED(aliot_config_set_outbox_limit(config, 0, 4194304), "outbox_operations is 0");
    REFUSED(aliot_config_set_outbox_limit(config, 1, 1000), "outbox_bytes is 1000");
    REFUSED(aliot_config_set_inbox_limit(config, 0, 4194304), "inbox_messages is 0");
    REFUSED(aliot_config_set_inbox_limit(config, 1, 1000), "inbox_bytes is 1000");
    REFUSED(aliot_config_set_window(config, 0), "window is 0");
    REFUSED(aliot_config_set_outbox_policy(config, (aliot_outbox_policy)2), "policy is 2");
    REFUSED(aliot_config_set_take_over_policy(config, (aliot_take_over_policy)3), "policy is 3");
    REFUSED(aliot_config_set_rates(config, 1000001, 1), "qos_0_per_second is 1000001");
    REFUSED(aliot_config_set_rates(config, 1, 1000001), "qos_1_per_second is 1000001");
    CHECK_OK(aliot_config_set_rates(config, 0, 1));
    CHECK_OK(aliot_config_use_platform_rates(config));
    NULL_REFUSED(aliot_credentials_create(config, NULL), "credentials_out");

    CHECK(out == NULL);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
}

static void limits_of_a_private_platform_need_its_profile(void)
{
    aliot_config *config = fixture_config();
    const aliot_result refused = ALIOT_RESULT_INVALID_STATE;
    CHECK_FAILS(aliot_config_set_payload_limit(config, 1), refused, "payload_limit");
    CHECK_FAILS(aliot_config_set_topic_limit(config, 1), refused, "topic_limit");
    CHECK_FAILS(aliot_config_set_subscription_limit(config, 1), refused, "subscription_limit");
    CHECK_FAILS(aliot_config_set_filters_per_packet(config, 1), refused, "filters_per_packet");
    CHECK_FAILS(aliot_config_set_stable_after_ms(config, 1), refused, "stable_after");
    CHECK_OK(aliot_config_use_private_profile(config));
    CHECK_OK(aliot_config_set_payload_limit(config, 1));
    CHECK_OK(aliot_config_set_topic_limit(config, 1));
    CHECK_OK(aliot_config_set_subscription_limit(config, 1));
    CHECK_OK(aliot_config_set_filters_per_packet(config, 1));
    CHECK_OK(aliot_config_set_stable_after_ms(config, 1));
    CHECK_OK(aliot_config_set_keep_alive_s(config, 0));
    CHECK_OK(aliot_config_set_connects_per_minute(config, 0));
    CHECK_OK(aliot_config_set_reconnect_ms(config, 1, 1));
    REFUSED(aliot_config_set_topic_limit(config, 65536), "topic_limit is 65536");
    aliot_config_destroy(config);
}

static void clients_check_every_argument(void)
{
    const aliot_qos qos = ALIOT_QOS_AT_LEAST_ONCE;
    const aliot_release_cb release = must_not_be_released;
    aliot_config *config = fixture_config();
    aliot_runtime *runtime = NULL;
    aliot_client *client = NULL;
    aliot_token token = 0;
    NULL_REFUSED(aliot_runtime_create(ALIOT_DISPATCH_THREAD, NULL), "runtime_out");
    REFUSED(aliot_runtime_create((aliot_dispatch)2, &runtime), "dispatch is 2");
    NULL_REFUSED(aliot_client_create(NULL, &client), "config");
    NULL_REFUSED(aliot_client_create(config, NULL), "client_out");
    NULL_REFUSED(aliot_client_create_on_runtime(config, NULL, &client), "runtime");
    CHECK(client == NULL);
    CHECK_OK(aliot_client_create(config, &client));

    NULL_REFUSED(aliot_client_publish(client, NULL, "x", 1, qos, &token), "topic");
    NULL_REFUSED(aliot_client_publish(client, "/t", NULL, 1, qos, &token), "payload");
    UTF8_REFUSED(aliot_client_publish(client, BAD, "x", 1, qos, &token), "topic");
    REFUSED(aliot_client_publish(client, "/t", "x", 1, (aliot_qos)2, &token), "qos is 2");
    REFUSED(aliot_client_publish(client, "/t", "x", SIZE_MAX, qos, &token), "payload_len is");
    REFUSED(aliot_client_publish(client, "", "x", 1, qos, &token), "topic is empty");
    REFUSED(aliot_client_publish(client, "/t/#", "x", 1, qos, &token), "topic is \"/t/#\"");
    REFUSED(aliot_client_publish(client, too_long, "x", 1, qos, &token), "topic");
    REFUSED(aliot_client_publish(client, "/t", large_payload, sizeof large_payload, qos, &token),
            "262145");

    NULL_REFUSED(aliot_client_subscribe(client, NULL, qos, on_message, NULL, release, &token),
                 "filter");
    NULL_REFUSED(aliot_client_subscribe(client, "/t", qos, NULL, NULL, release, &token),
                 "on_message");
    UTF8_REFUSED(aliot_client_subscribe(client, BAD, qos, on_message, NULL, release, &token),
                 "filter");
    REFUSED(aliot_client_subscribe(client, "/t", (aliot_qos)9, on_message, NULL, release, &token),
            "qos is 9");
    REFUSED(aliot_client_subscribe(client, "/#/t", qos, on_message, NULL, release, &token),
            "filter");
    REFUSED(aliot_client_subscribe(client, too_long, qos, on_message, NULL, release, &token),
            "filter");
    NULL_REFUSED(aliot_client_unsubscribe(client, NULL, &token), "filter");
    REFUSED(aliot_client_unsubscribe(client, "/#/t", &token), "filter");
    REFUSED(aliot_log_set_callback((aliot_log_level)5, NULL, NULL, release), "max_level is 5");
    CHECK(aliot_client_counter(client, (aliot_counter)0) == 0);
    CHECK(aliot_client_counter(client, (aliot_counter)99) == 0);
    CHECK(token == 0);
    aliot_client_destroy(client);
    aliot_config_destroy(config);
}

static void helpers_check_every_argument(void)
{
    aliot_identity *identity = fixture_identity();
    char buffer[200];
    bool matches = false;
    const aliot_sign_method method = ALIOT_SIGN_METHOD_HMAC_SHA256;
    NULL_REFUSED(aliot_sign(method, NULL, 1, "c", 1, buffer, sizeof buffer), "key");
    NULL_REFUSED(aliot_sign(method, "k", 1, NULL, 1, buffer, sizeof buffer), "content");
    NULL_REFUSED(aliot_sign(method, "k", 1, "c", 1, NULL, 65), "buffer");
    REFUSED(aliot_sign((aliot_sign_method)7, "k", 1, "c", 1, buffer, 65), "method is 7");
    CHECK_OK(aliot_sign(method, NULL, 0, NULL, 0, buffer, sizeof buffer));
    NULL_REFUSED(aliot_topic_user(NULL, "s", buffer, sizeof buffer), "identity");
    NULL_REFUSED(aliot_topic_user(identity, NULL, buffer, sizeof buffer), "suffix");
    NULL_REFUSED(aliot_topic_user(identity, "s", NULL, 10), "buffer");
    NULL_REFUSED(aliot_topic_sys(identity, NULL, buffer, sizeof buffer), "suffix");
    UTF8_REFUSED(aliot_topic_sys(identity, BAD, buffer, sizeof buffer), "suffix");
    REFUSED(aliot_topic_sys(identity, "", buffer, sizeof buffer), "suffix");
    CHECK_FAILS(aliot_topic_user(identity, "s", buffer, 5), ALIOT_RESULT_BUFFER_TOO_SMALL,
                "capacity is 5");
    NULL_REFUSED(aliot_topic_matches(NULL, "t", &matches), "filter");
    NULL_REFUSED(aliot_topic_matches("f", NULL, &matches), "topic");
    NULL_REFUSED(aliot_topic_matches("f", "t", NULL), "matches_out");
    UTF8_REFUSED(aliot_topic_matches(BAD, "t", &matches), "filter");
    REFUSED(aliot_topic_matches("a#", "t", &matches), "filter");
    aliot_identity_destroy(identity);
}

static void the_last_error_is_cut_between_characters_and_cleared_by_success(void)
{
    char text[64] = "unchanged";
    aliot_endpoint *endpoint = NULL;
    NULL_REFUSED(aliot_endpoint_create_for_region(NULL, &endpoint), "region_id");
    CHECK(aliot_last_error(NULL, 0) == strlen("region_id is NULL"));
    CHECK(aliot_last_error(text, 0) == strlen("region_id is NULL"));
    CHECK(strcmp(text, "unchanged") == 0);
    CHECK(aliot_last_error(text, 7) == strlen("region_id is NULL"));
    CHECK(strcmp(text, "region") == 0);
    CHECK_OK(aliot_endpoint_create_for_region("r", &endpoint));
    CHECK(aliot_last_error(text, sizeof text) == 0);
    CHECK(strcmp(text, "") == 0);
    aliot_endpoint_destroy(endpoint);
}

static void results_have_names_and_sentences(void)
{
    CHECK(strcmp(aliot_result_name(ALIOT_RESULT_OK), "ALIOT_RESULT_OK") == 0);
    CHECK(strcmp(aliot_result_name(ALIOT_RESULT_DNS), "ALIOT_RESULT_DNS") == 0);
    CHECK(strcmp(aliot_result_name((aliot_result)999), "ALIOT_RESULT_?") == 0);
    CHECK(strlen(aliot_result_text((aliot_result)999)) > 0);
    CHECK(aliot_result_is_retryable(ALIOT_RESULT_OUTBOX_FULL));
    CHECK(!aliot_result_is_retryable(ALIOT_RESULT_OK));
    CHECK(!aliot_result_is_retryable(ALIOT_RESULT_BAD_HANDLE));
    CHECK(!aliot_result_is_retryable((aliot_result)999));
    CHECK(strcmp(aliot_version_string(), "") != 0);
}

int main(void)
{
    memset(too_long, 'a', sizeof too_long - 1);
    RUN(identities_check_every_text);
    RUN(an_identity_is_saved_to_a_path_that_names_a_file);
    RUN(a_refused_secret_is_not_repeated);
    RUN(endpoints_check_every_argument);
    RUN(a_failed_tls_setting_refuses_the_endpoint);
    RUN(a_tls_setting_that_fails_in_any_way_disables_the_endpoint);
    RUN(configs_check_every_argument);
    RUN(limits_of_a_private_platform_need_its_profile);
    RUN(clients_check_every_argument);
    RUN(helpers_check_every_argument);
    RUN(the_last_error_is_cut_between_characters_and_cleared_by_success);
    RUN(results_have_names_and_sentences);
    return 0;
}
