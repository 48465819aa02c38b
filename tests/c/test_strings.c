/* Nasty texts for every text of the interface: a result, a clean sentence, no accident. */
#include "fixture.h"

static char texts_64k[2][65537];
static char text_1m[1 << 20];

static const char *const INVALID_UTF8[] = {
    "ab\xff",             /* no such byte */
    "\xc0\xaf",           /* overlong '/' */
    "\xe0\x80\xaf",       /* and longer */
    "\xed\xa0\x80",       /* half of a surrogate pair */
    "\xf4\x90\x80\x80",   /* beyond Unicode */
    "\xe4\xb8",           /* cut off */
};

static const char *const NASTY[] = {
    "",     "%s%n%s%n",       "a\nb",   "\x01\x1b[31m", "\x7f",       "../../etc/passwd",
    "a|b",  "a,b=c",          "a&b",    "#",            "+/+/#",      "\xf0\x9f\x92\xa9",
    "$SYS", "\xe2\x80\xae" "x", "a b",  "'; drop --",
};

static void ignore(aliot_client *client, const aliot_message *message, void *userdata)
{
    (void)client, (void)message, (void)userdata;
}

static aliot_identity *identity;
static aliot_endpoint *endpoint;
static aliot_config *config;
static aliot_client *client;

typedef aliot_result (*taker)(const char *text);

#define TAKES(name, call) \
    static aliot_result name(const char *text) \
    { \
        return call; \
    }
#define MAKES(name, type, call, destroy) \
    static aliot_result name(const char *text) \
    { \
        type *out = NULL; \
        aliot_result result = call; \
        destroy(out); \
        return result; \
    }
#define MAKES_IDENTITY(name, call) MAKES(name, aliot_identity, call, aliot_identity_destroy)
#define MAKES_ENDPOINT(name, call) MAKES(name, aliot_endpoint, call, aliot_endpoint_destroy)

MAKES_IDENTITY(product_key, aliot_identity_create(text, "d", "s", &out))
MAKES_IDENTITY(device_name, aliot_identity_create("p", text, "s", &out))
MAKES_IDENTITY(device_secret, aliot_identity_create("p", "d", text, &out))
MAKES_IDENTITY(token_client_id, aliot_identity_create_with_token("p", "d", text, "t", &out))
MAKES_IDENTITY(device_token, aliot_identity_create_with_token("p", "d", "c", text, &out))
MAKES_IDENTITY(verbatim_client_id, aliot_identity_create_verbatim(text, "u", "p", &out))
MAKES_IDENTITY(verbatim_username, aliot_identity_create_verbatim("c", text, "p", &out))
MAKES_IDENTITY(verbatim_password, aliot_identity_create_verbatim("c", "u", text, &out))
MAKES_ENDPOINT(region_id, aliot_endpoint_create_for_region(text, &out))
MAKES_ENDPOINT(instance_id, aliot_endpoint_create_for_instance(text, &out))
MAKES_ENDPOINT(host, aliot_endpoint_create_for_host(text, 1, &out))
TAKES(server_name, aliot_endpoint_set_server_name(endpoint, text))
TAKES(ca_file, aliot_endpoint_set_ca_file(endpoint, text))
TAKES(client_id, aliot_config_set_client_id(config, text))
TAKES(timestamp, aliot_config_set_timestamp(config, text))
TAKES(param_key, aliot_config_add_client_param(config, text, "v"))
TAKES(param_value, aliot_config_add_client_param(config, "k", text))
TAKES(topic, aliot_client_publish(client, text, "x", 1, ALIOT_QOS_AT_LEAST_ONCE, NULL))
TAKES(expiring_topic, aliot_client_publish_expiring(client, text, "x", 1, 1000, NULL))
TAKES(filter, aliot_client_subscribe(client, text, ALIOT_QOS_AT_LEAST_ONCE, ignore, NULL, NULL,
                                     NULL))
TAKES(unsubscribed, aliot_client_unsubscribe(client, text, NULL))

static char buffer[256];

TAKES(user_suffix, aliot_topic_user(identity, text, buffer, sizeof buffer))
TAKES(sys_suffix, aliot_topic_sys(identity, text, buffer, sizeof buffer))

static bool matches;

TAKES(matched_filter, aliot_topic_matches(text, "t", &matches))
TAKES(matched_topic, aliot_topic_matches("f", text, &matches))

static aliot_sign_finding finding;

TAKES(checked_secret,
      aliot_sign_check(identity, text, NULL, "c", "u", "p", &finding, buffer, sizeof buffer))
TAKES(checked_client_id,
      aliot_sign_check(identity, NULL, NULL, text, "u", "p", &finding, buffer, sizeof buffer))
TAKES(checked_username,
      aliot_sign_check(identity, NULL, NULL, "c", text, "p", &finding, buffer, sizeof buffer))
TAKES(checked_password,
      aliot_sign_check(identity, NULL, NULL, "c", "u", text, &finding, buffer, sizeof buffer))

/* Where a text of any length is only looked at, 64 KiB are no mistake. */
static const struct {
    const char *name;
    taker take;
    bool takes_64k;
    bool takes_1m;
} TAKERS[] = {
    {"product_key", product_key, false, false},
    {"device_name", device_name, false, false},
    {"device_secret", device_secret, false, false},
    {"client_id", token_client_id, false, false},
    {"device_token", device_token, false, false},
    {"client_id", verbatim_client_id, false, false},
    {"username", verbatim_username, false, false},
    {"password", verbatim_password, false, false},
    {"region_id", region_id, false, false},
    {"instance_id", instance_id, false, false},
    {"host", host, false, false},
    {"server_name", server_name, false, false},
    {"path", ca_file, false, false},
    {"client_id", client_id, false, false},
    {"timestamp", timestamp, false, false},
    {"key", param_key, false, false},
    {"value", param_value, false, false},
    {"topic", topic, false, false},
    {"topic", expiring_topic, false, false},
    {"filter", filter, false, false},
    {"filter", unsubscribed, false, false},
    {"suffix", user_suffix, false, false},
    {"suffix", sys_suffix, false, false},
    {"filter", matched_filter, false, false},
    {"topic", matched_topic, true, true},
    {"product_secret", checked_secret, true, true},
    {"client_id", checked_client_id, true, true},
    {"username", checked_username, true, true},
    {"password", checked_password, true, true},
};

enum { TAKER_COUNT = sizeof TAKERS / sizeof *TAKERS };

/* A sentence for a log: short, on one line, without control characters. */
static void check_sentence(const char *name, const char *text)
{
    char error[4096];
    size_t length = aliot_last_error(error, sizeof error);
    bool clean = length < 700;
    for (size_t i = 0; clean && i < length; i++)
        clean = (unsigned char)error[i] >= 0x20 && error[i] != 0x7f;
    if (!clean) {
        fprintf(stderr, "%s with \"%.40s\": %s\n", name, text, error);
        CHECK(!"the sentence is fit for a log");
    }
}

static void invalid_utf8_is_refused_everywhere(void)
{
    for (size_t i = 0; i < TAKER_COUNT; i++) {
        for (size_t n = 0; n < sizeof INVALID_UTF8 / sizeof *INVALID_UTF8; n++) {
            CHECK_FAILS(TAKERS[i].take(INVALID_UTF8[n]), ALIOT_RESULT_INVALID_UTF8,
                        TAKERS[i].name);
            check_sentence(TAKERS[i].name, INVALID_UTF8[n]);
        }
    }
}

static void check_long(size_t i, const char *text, bool may_take)
{
    aliot_result result = TAKERS[i].take(text);
    check_sentence(TAKERS[i].name, "long");
    if (may_take)
        CHECK(result == ALIOT_RESULT_OK);
    else if (result != ALIOT_RESULT_INVALID_ARGUMENT && result != ALIOT_RESULT_TLS_CONFIG &&
             result != ALIOT_RESULT_BUFFER_TOO_SMALL) {
        fprintf(stderr, "%s: %s\n", TAKERS[i].name, aliot_result_name(result));
        CHECK(!"a text that is too long is refused");
    }
}

static void texts_beyond_every_limit_are_refused_everywhere(void)
{
    for (int n = 0; n < 2; n++)
        memset(texts_64k[n], 'a', sizeof texts_64k[n] - 1);
    memset(text_1m, 'a', sizeof text_1m - 1);
    texts_64k[0][65535] = '\0'; /* what MQTT can carry at most, and one more */
    for (size_t i = 0; i < TAKER_COUNT; i++) {
        check_sentence(TAKERS[i].name, "");
        (void)TAKERS[i].take(texts_64k[0]);
        check_sentence(TAKERS[i].name, "65535 bytes");
        check_long(i, texts_64k[1], TAKERS[i].takes_64k);
        check_long(i, text_1m, TAKERS[i].takes_1m);
    }
}

static void nasty_texts_get_a_result_and_a_clean_sentence(void)
{
    for (size_t i = 0; i < TAKER_COUNT; i++) {
        for (size_t n = 0; n < sizeof NASTY / sizeof *NASTY; n++) {
            aliot_result result = TAKERS[i].take(NASTY[n]);
            CHECK(result == ALIOT_RESULT_OK || result == ALIOT_RESULT_INVALID_ARGUMENT ||
                  result == ALIOT_RESULT_TLS_CONFIG);
            check_sentence(TAKERS[i].name, NASTY[n]);
        }
    }
}

int main(void)
{
    identity = fixture_identity();
    endpoint = fixture_endpoint();
    config = fixture_config();
    client = fixture_client();
    RUN(invalid_utf8_is_refused_everywhere);
    RUN(texts_beyond_every_limit_are_refused_everywhere);
    RUN(nasty_texts_get_a_result_and_a_clean_sentence);
    aliot_client_destroy(client);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return 0;
}
