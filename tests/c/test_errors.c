/* A failure says where it happened, with which number, and what to look at. */

#include "platform.h"

#include <errno.h>
#include <pthread.h>

/* The first failed attempt of a client, copied out of the event. */
typedef struct failure {
    pthread_mutex_t lock;
    bool seen;
    aliot_result reason;
    aliot_stage stage;
    int os_error;
    int connack_code;
    char text[512];
    char hint[512];
    char tls_detail[512];
} failure;

static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    failure *f = userdata;
    (void)client;
    CHECK(event->hint != NULL);
    CHECK(event->tls_detail != NULL);
    CHECK((event->reason == ALIOT_RESULT_OK) == (event->stage == ALIOT_STAGE_NONE));
    pthread_mutex_lock(&f->lock);
    if (event->kind == ALIOT_EVENT_KIND_CONNECT_FAILED && !f->seen) {
        f->seen = true;
        f->reason = event->reason;
        f->stage = event->stage;
        f->os_error = event->os_error;
        f->connack_code = event->connack_code;
        snprintf(f->text, sizeof f->text, "%s", event->text);
        snprintf(f->hint, sizeof f->hint, "%s", event->hint);
        snprintf(f->tls_detail, sizeof f->tls_detail, "%s", event->tls_detail);
    }
    pthread_mutex_unlock(&f->lock);
}

static bool has_failed(failure *f)
{
    pthread_mutex_lock(&f->lock);
    bool seen = f->seen;
    pthread_mutex_unlock(&f->lock);
    return seen;
}

static void check_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fprintf(stderr, "\"%s\" does not contain \"%s\"\n", text, part);
        CHECK(!"the text says enough");
    }
}

/* Starts a client of the config, which is destroyed, and waits for its first failure. What a
 * blocking call says must agree with the event. */
static failure failure_of(aliot_config *config)
{
    failure f = {.lock = PTHREAD_MUTEX_INITIALIZER};
    char text[1024];
    aliot_client *client = client_of(config);
    CHECK_OK(aliot_client_set_event_callback(client, on_event, &f, NULL));
    CHECK_OK(aliot_client_start(client));
    CHECK_EVENTUALLY(has_failed(&f));
    CHECK(aliot_client_wait_connected(client, 0) == ALIOT_RESULT_TIMEOUT);
    CHECK(aliot_last_error_stage() == f.stage);
    CHECK(aliot_last_error_os_error() == f.os_error);
    CHECK(aliot_last_error_connack_code() == f.connack_code);
    aliot_last_error(text, sizeof text);
    check_contains(text, f.text);
    CHECK(strstr(text, "canary") == NULL);
    CHECK(aliot_last_error_hint(text, sizeof text) == strlen(f.hint));
    CHECK(strcmp(text, f.hint) == 0);
    aliot_client_destroy(client);
    return f;
}

static aliot_endpoint *endpoint_to(const char *host, uint16_t port)
{
    aliot_endpoint *endpoint = NULL;
    CHECK_OK(aliot_endpoint_create_for_host(host, port, &endpoint));
    return endpoint;
}

static void a_closed_port_is_a_failure_of_tcp_with_the_systems_number(void)
{
    failure f = failure_of(config_to(endpoint_to("127.0.0.1", 1), "device", "x"));
    CHECK(f.reason == ALIOT_RESULT_NETWORK);
    CHECK(f.stage == ALIOT_STAGE_TCP);
    CHECK(f.os_error == ECONNREFUSED);
    CHECK(f.connack_code == 0);
    check_contains(f.hint, "8883");
}

static void an_unknown_name_is_a_failure_of_the_lookup(void)
{
    failure f = failure_of(config_to(endpoint_to("no-such-host.invalid", 1), "device", "x"));
    CHECK(f.reason == ALIOT_RESULT_DNS);
    CHECK(f.stage == ALIOT_STAGE_RESOLVE);
    check_contains(f.text, "no-such-host.invalid");
    check_contains(f.hint, "name server");
}

static void an_unknown_issuer_is_a_failure_of_tls_and_names_the_roots(void)
{
    uint16_t port = (uint16_t)atoi(environment("SIM_TLS_PORT"));
    failure f = failure_of(config_to(endpoint_to("localhost", port), "device", "x"));
    CHECK(f.reason == ALIOT_RESULT_TLS_CERTIFICATE);
    CHECK(f.stage == ALIOT_STAGE_TLS);
    check_contains(f.tls_detail, "UnknownIssuer");
    check_contains(f.hint, "8883 is signed by the platform's own root, 1883 and 443 by GlobalSign");
}

static void tls_to_a_port_without_it_is_a_failure_of_tls(void)
{
    uint16_t port = (uint16_t)atoi(environment("SIM_TCP_PORT"));
    failure f = failure_of(config_to(endpoint_to("localhost", port), "device", "x"));
    CHECK(f.stage == ALIOT_STAGE_TLS);
    check_contains(f.hint, "8883");
}

static void a_wrong_secret_is_connack_4(void)
{
    failure f = failure_of(config_to(platform_endpoint(), "device", "canary-wrong"));
    CHECK(f.reason == ALIOT_RESULT_BAD_CREDENTIALS);
    CHECK(f.stage == ALIOT_STAGE_PLATFORM);
    CHECK(f.connack_code == 4);
    CHECK(f.os_error == 0);
    check_contains(f.hint, "device secret");
}

static void each_connack_has_its_code_and_its_hint(void)
{
    const struct {
        int code;
        aliot_result reason;
        const char *hint;
    } refusals[] = {
        {1, ALIOT_RESULT_UNSUPPORTED_PROTOCOL, "endpoint"},
        {2, ALIOT_RESULT_BAD_CLIENT_ID, "both bars"},
        {3, ALIOT_RESULT_SERVER_UNAVAILABLE, "keep-alive is below 30"},
        {4, ALIOT_RESULT_BAD_CREDENTIALS, "aliot_sign_check"},
        {5, ALIOT_RESULT_NOT_AUTHORIZED, "region or instance"},
        {77, ALIOT_RESULT_PROTOCOL, ""},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char command[64];
        snprintf(command, sizeof command, "refuse a1test device %d", refusals[i].code);
        control(command);
        failure f = failure_of(platform_config());
        CHECK(f.reason == refusals[i].reason);
        CHECK(f.connack_code == refusals[i].code);
        check_contains(f.hint, refusals[i].hint);
    }
    control("refuse a1test device off");
}

static void a_failed_call_has_a_stage_and_the_systems_number(void)
{
    aliot_client *client = platform_client();
    aliot_endpoint *endpoint = platform_endpoint();
    char hint[16];
    CHECK(aliot_client_start(NULL) == ALIOT_RESULT_NULL_POINTER);
    CHECK(aliot_last_error_stage() == ALIOT_STAGE_ARGUMENT);
    CHECK(aliot_client_wait_connected(client, 0) == ALIOT_RESULT_INVALID_STATE);
    CHECK(aliot_last_error_stage() == ALIOT_STAGE_STATE);
    CHECK(aliot_last_error_hint(hint, sizeof hint) == 0);
    CHECK(strcmp(hint, "") == 0);
    CHECK(aliot_endpoint_set_ca_file(endpoint, "/no/such/file") == ALIOT_RESULT_TLS_CONFIG);
    CHECK(aliot_last_error_stage() == ALIOT_STAGE_TLS);
    CHECK(aliot_last_error_os_error() == ENOENT);
    CHECK(aliot_last_error_hint(NULL, 0) > 0);
    CHECK(aliot_last_error_hint(hint, sizeof hint) > sizeof hint);
    CHECK(strlen(hint) == sizeof hint - 1);
    CHECK_OK(aliot_client_stop(client, 0));
    CHECK(aliot_last_error_stage() == ALIOT_STAGE_NONE);
    CHECK(aliot_last_error_os_error() == 0);
    CHECK(aliot_last_error_connack_code() == 0);
    aliot_endpoint_destroy(endpoint);
    aliot_client_destroy(client);
}

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)client;
    CHECK(completion->result == ALIOT_RESULT_CANCELLED);
    CHECK(completion->stage == ALIOT_STAGE_SESSION);
    CHECK(completion->hint != NULL);
    ++*(int *)userdata;
}

static void a_failed_completion_has_a_stage(void)
{
    int completions = 0;
    aliot_client *client = platform_client();
    CHECK_OK(aliot_client_set_completion_callback(client, on_completion, &completions, NULL));
    CHECK_OK(aliot_client_publish(client, TOPIC, "x", 1, ALIOT_QOS_AT_LEAST_ONCE, NULL));
    aliot_client_destroy(client);
    CHECK(completions == 1);
}

/* Copies what it carries into a failure. */
static bool on_end(const aliot_registration_end *end, void *userdata)
{
    failure *f = userdata;
    CHECK(end->identity == NULL);
    CHECK(end->tls_detail != NULL);
    pthread_mutex_lock(&f->lock);
    f->seen = true;
    f->reason = end->result;
    f->stage = end->stage;
    f->os_error = end->os_error;
    f->connack_code = end->connack_code;
    snprintf(f->tls_detail, sizeof f->tls_detail, "%s", end->tls_detail);
    pthread_mutex_unlock(&f->lock);
    return false;
}

/* Of a registration at the endpoint, which is destroyed. A blocking call must say the same. */
static failure failure_to_register(aliot_endpoint *endpoint)
{
    failure f = {.lock = PTHREAD_MUTEX_INITIALIZER};
    aliot_identity *identity = NULL;
    aliot_registration *registration = NULL;
    CHECK_OK(aliot_registration_create(endpoint, "a1test", "nobody", "canary-wrong",
                                       ALIOT_REGISTRATION_KIND_PREREGISTERED, &registration));
    CHECK_OK(aliot_registration_set_connects_per_minute(registration, 0));
    aliot_endpoint_destroy(endpoint);
    CHECK_OK(aliot_registration_start(registration, NULL, PATIENCE_MS, on_end, &f, NULL));
    CHECK_EVENTUALLY(has_failed(&f));
    CHECK(aliot_registration_run(registration, PATIENCE_MS, NULL, NULL, &identity) == f.reason);
    CHECK(aliot_last_error_stage() == f.stage);
    CHECK(aliot_last_error_os_error() == f.os_error);
    CHECK(aliot_last_error_connack_code() == f.connack_code);
    CHECK(identity == NULL);
    aliot_registration_destroy(registration);
    return f;
}

static void a_failed_registration_carries_what_an_event_does(void)
{
    failure f = failure_to_register(endpoint_to("127.0.0.1", 1));
    CHECK(f.reason == ALIOT_RESULT_NETWORK);
    CHECK(f.os_error == ECONNREFUSED);
    CHECK(f.connack_code == 0);
    CHECK(strcmp(f.tls_detail, "") == 0);
    if (!uses_tls())
        return;
    f = failure_to_register(platform_endpoint());
    CHECK(f.reason == ALIOT_RESULT_REGISTRATION_REFUSED);
    CHECK(f.os_error == 0);
    CHECK(f.connack_code != 0);
    uint16_t port = (uint16_t)atoi(environment("SIM_TLS_PORT"));
    f = failure_to_register(endpoint_to("localhost", port));
    CHECK(f.reason == ALIOT_RESULT_TLS_CERTIFICATE);
    check_contains(f.tls_detail, "UnknownIssuer");
}

static void every_stage_has_a_name(void)
{
    for (int stage = ALIOT_STAGE_NONE; stage <= ALIOT_STAGE_WEBSOCKET; stage++) {
        CHECK(strlen(aliot_stage_name((aliot_stage)stage)) > 1);
        for (int other = ALIOT_STAGE_NONE; other < stage; other++) {
            CHECK(strcmp(aliot_stage_name((aliot_stage)stage),
                         aliot_stage_name((aliot_stage)other)) != 0);
        }
    }
    CHECK(strcmp(aliot_stage_name((aliot_stage)13), "?") == 0);
}

int main(void)
{
    RUN(a_closed_port_is_a_failure_of_tcp_with_the_systems_number);
    RUN(an_unknown_name_is_a_failure_of_the_lookup);
    if (uses_tls()) {
        RUN(an_unknown_issuer_is_a_failure_of_tls_and_names_the_roots);
        RUN(tls_to_a_port_without_it_is_a_failure_of_tls);
    }
    RUN(a_wrong_secret_is_connack_4);
    RUN(each_connack_has_its_code_and_its_hint);
    RUN(a_failed_call_has_a_stage_and_the_systems_number);
    RUN(a_failed_completion_has_a_stage);
    RUN(a_failed_registration_carries_what_an_event_does);
    RUN(every_stage_has_a_name);
    return 0;
}
